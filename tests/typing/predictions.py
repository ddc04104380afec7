"""What a type checker knows of a predictor: read by mypy, never run."""

from collections.abc import Iterator
from typing import assert_type

import bertedge
from bertedge import (
    Answers,
    Classification,
    Embedding,
    Entities,
    FilledMasks,
    IntentSlots,
    MultiLabelClassification,
    MultipleChoice,
    Prediction,
    Predictor,
    ProblemType,
    Regression,
    Task,
)

PATH = "bundles/mine"

one = bertedge.load(PATH, task="text-classification")
assert_type(one, Predictor[Classification])
assert_type(one.predict(["a"]), list[Classification])
assert_type(one.predict_one("a").label, str)
assert_type(one.predict_iter(["a"]), Iterator[Classification])
assert_type(bertedge.load(PATH, task=Task.TEXT_CLASSIFICATION), Predictor[Classification])

several = bertedge.load(PATH, task="text-classification", problem_type="multi_label_classification")
assert_type(several.predict_one("a"), MultiLabelClassification)
value = bertedge.load(PATH, task=Task.TEXT_CLASSIFICATION, problem_type=ProblemType.REGRESSION)
assert_type(value.predict_one("a").value, float)
assert_type(value, Predictor[Regression])

assert_type(bertedge.load(PATH, task="token-classification"), Predictor[Entities])
assert_type(bertedge.load(PATH, task="intent-slots"), Predictor[IntentSlots])
assert_type(bertedge.load(PATH, task="question-answering"), Predictor[Answers])
assert_type(bertedge.load(PATH, task="multiple-choice"), Predictor[MultipleChoice])
assert_type(bertedge.load(PATH, task="fill-mask"), Predictor[FilledMasks])
assert_type(bertedge.load(PATH, task=Task.FEATURE_EXTRACTION), Predictor[Embedding])

with bertedge.load(PATH, device="cpu", threads=1) as model:
    assert_type(model.predict_one("a"), Prediction)
