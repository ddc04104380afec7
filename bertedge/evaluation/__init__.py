"""Any engine over labelled examples: what it predicts, its scores, and how two engines agree."""

from bertedge.evaluation.agreement import Agreement, compare_answers, count_answers
from bertedge.evaluation.labeller import Labeller, Model
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
from bertedge.evaluation.texts import Answers, judge, score_texts
from bertedge.evaluation.words import score_frames, score_words

__all__ = [
    "Agreement",
    "Answers",
    "Asked",
    "Labeller",
    "Labelling",
    "Model",
    "agreement",
    "answer_all",
    "ask_all",
    "compare_answers",
    "count_answers",
    "decide_questions",
    "grade_file",
    "judge",
    "predict_each",
    "run",
    "score_frames",
    "score_texts",
    "score_words",
    "summarize",
]
