"""Any engine over labelled examples: what it predicts, its scores, and how two engines agree."""

from bertedge.evaluation.agreement import Agreement, compare_answers, count_answers
from bertedge.evaluation.as_text import TextEvaluation, join_words, run_as_text
from bertedge.evaluation.labeller import Labeller
from bertedge.evaluation.labelling import (
    Labelling,
    agreement,
    answer_all,
    ask_all,
    predict_each,
    run,
    summarize,
)
from bertedge.evaluation.questions import Asked, decide_questions, grade_file
from bertedge.evaluation.temperature import FittedTemperature, fit_on_half
from bertedge.evaluation.texts import Answers, judge, score_texts
from bertedge.evaluation.words import score_frames, score_words

__all__ = [
    "Agreement",
    "Answers",
    "Asked",
    "FittedTemperature",
    "Labeller",
    "Labelling",
    "TextEvaluation",
    "agreement",
    "answer_all",
    "ask_all",
    "compare_answers",
    "count_answers",
    "decide_questions",
    "fit_on_half",
    "grade_file",
    "join_words",
    "judge",
    "predict_each",
    "run",
    "run_as_text",
    "score_frames",
    "score_texts",
    "score_words",
    "summarize",
]
