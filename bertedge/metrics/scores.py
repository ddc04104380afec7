"""The scores of any task."""

from bertedge.metrics.classification import Scores
from bertedge.metrics.entities import FrameScores
from bertedge.metrics.regression import ValueScores
from bertedge.metrics.squad import AnswerScores

AnyScores = Scores | ValueScores | FrameScores | AnswerScores
