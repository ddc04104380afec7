"""Any engine over labelled examples: what it predicts, its scores, and how two engines agree."""

from bertedge.evaluation.labeller import Labeller, Model
from bertedge.evaluation.labelling import Labelling, agreement, answer_all, run, summarize
from bertedge.evaluation.texts import Answers, judge, score_texts
from bertedge.evaluation.words import score_frames, score_words

__all__ = [
    "Answers",
    "Labeller",
    "Labelling",
    "Model",
    "agreement",
    "answer_all",
    "judge",
    "run",
    "score_frames",
    "score_texts",
    "score_words",
    "summarize",
]
