"""Any model over labelled examples: its scores, and how far two models agree.

`evaluate(model, examples)` is the way in; `TextModel` pairs a model with the engine that runs it.
"""

from bertedge.evaluation.agreement import Agreement, compare_predictions, count_answers
from bertedge.evaluation.as_text import TextEvaluation, evaluate_as_text
from bertedge.evaluation.run import (
    Evaluation,
    collect,
    decide,
    evaluate,
    predict_each,
    summarize,
)
from bertedge.evaluation.temperature import FittedTemperature, fit_on_half
from bertedge.evaluation.wrong import write_wrong
from bertedge.model import TextModel
from bertedge.unspaced import join_words

__all__ = [
    "Agreement",
    "Evaluation",
    "FittedTemperature",
    "TextEvaluation",
    "TextModel",
    "collect",
    "compare_predictions",
    "count_answers",
    "decide",
    "evaluate",
    "evaluate_as_text",
    "fit_on_half",
    "join_words",
    "predict_each",
    "summarize",
    "write_wrong",
]
