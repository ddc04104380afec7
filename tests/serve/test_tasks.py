"""The queue answers every task as its model does, however inputs are cut into batches."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bertedge.model import TextModel
from bertedge.runtime.encoding import Batch, Encoded
from bertedge.serve import native
from bertedge.serve.queue import TokenQueue
from bertedge.spec import CHOICE_LABELS, SPAN_LABELS, ModelSpec, Task, Text
from bertedge.tasks.contract import PredictOptions

from .conftest import TEXTS

TOKENIZER = (TEXTS / "tokenizer.json").read_text(encoding="utf-8")
LONG = "the lights in the kitchen are off and the door is open " * 20
INPUTS: dict[Task, tuple[tuple[str, ...], list[Text]]] = {
    Task.TEXT_CLASSIFICATION: (("a", "b", "c"), ["lights off", LONG, "", "play jazz"]),
    Task.TOKEN_CLASSIFICATION: (("O", "B-x", "I-x"), ["lights off", LONG, "", "play jazz"]),
    Task.INTENT_SLOTS: (
        ("intent:find", "intent:get", "O", "B-x", "I-x"),
        ["lights off", LONG, "play jazz"],
    ),
    Task.FILL_MASK: ((), ["turn the [MASK] off", f"play [MASK] {LONG}", "[MASK] [MASK]"]),
    Task.FEATURE_EXTRACTION: ((), ["lights off", LONG, "", "play jazz"]),
    Task.QUESTION_ANSWERING: (
        SPAN_LABELS,
        [("what is off", LONG), ("where", "in the kitchen"), ("who", "me and the door")],
    ),
    Task.MULTIPLE_CHOICE: (
        CHOICE_LABELS,
        [("it is dark", "lights on", "play jazz"), ("a", "b", "c", LONG, "e"), ("x", "y")],
    ),
}


class ByToken:
    """Logits that depend on a row's own tokens alone, so that no batch changes them."""

    def __init__(self, task: Task, labels: int) -> None:
        self._tokens = task.has_token_logits
        self._labels = np.arange(1, labels + 1)

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """See `Engine.logits`."""
        values = np.sin(batch.input_ids[..., None] * self._labels + batch.token_type_ids[..., None])
        if not self._tokens:
            values = (values * batch.attention_mask[..., None]).sum(axis=1).round(6)
        return np.asarray(values, np.float32)


def model_of(task: Task) -> TextModel:
    labels = INPUTS[task][0]
    spec = ModelSpec(task=task, labels=labels, pair=False, max_length=32, pad_token_id=0)
    spec = replace(spec, pair=task is Task.QUESTION_ANSWERING or task is Task.MULTIPLE_CHOICE)
    return TextModel.of(spec, TOKENIZER, ByToken(task, len(labels) or 209))


@pytest.mark.parametrize("task", Task)
def test_every_task_is_answered_as_the_model_answers_it(task: Task) -> None:
    model = replace(model_of(task), token_budget=40)  # few rows a batch: parts of inputs are mixed
    inputs = INPUTS[task][1] * 3
    expected = [each.to_dict() for each in model_of(task).predict(inputs)]
    options = model.task.settle(PredictOptions())

    def run(rows: Sequence[Encoded]) -> list[NDArray[np.float32]]:
        return model.infer(rows, keep=model.keep(rows))

    queue = TokenQueue(model, run)
    other = queue.submit(inputs[::-1], options)
    future = queue.submit(inputs, options)
    while queue.step():
        pass
    assert [each.to_dict() for each in future.result(0).value] == expected
    assert [each.to_dict() for each in other.result(0).value] == expected[::-1]


@pytest.mark.parametrize("task", Task)
def test_every_task_is_read_and_written_as_json(task: Task) -> None:
    model = model_of(task)
    inputs = INPUTS[task][1]
    asked = native.read(json.dumps(inputs).encode(), model.shape)
    assert list(asked.inputs) == inputs
    written = json.loads(native.writer(asked, model.shape)(model.predict(inputs)))
    for row, text in zip(written, inputs, strict=True):
        assert row["text"] == (text if isinstance(text, str) else text[0])
    by_key = [
        text if isinstance(text, str) else dict(zip(model.shape.keys, text, strict=False))
        for text in inputs
    ]
    if task is not Task.MULTIPLE_CHOICE:
        assert list(native.read(json.dumps(by_key).encode(), model.shape).inputs) == inputs
