"""How much a text's answer depends on its padding and on what else is in its batch."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bertedge import evaluation
from bertedge.bundle import BatchEffect
from bertedge.data import Example
from bertedge.evaluation import TextModel
from bertedge.export.config import BATCH_TOLERANCE
from bertedge.export.parity_inputs import texts_of
from bertedge.export.reference import Reference
from bertedge.export.verify import Answers
from bertedge.runtime.encoding import Batch
from bertedge.runtime.engine import Engine
from bertedge.runtime.logits import subsample_logits
from bertedge.spec import LabelKind, ProblemType

TOKEN_BUDGETS = (128, 512, 4096)
"""Of the batches that texts alone are compared with; `predict` chooses among such sizes."""
TEXTS = 256
CHARACTERS = 65_536
"""Fewer texts are compared where they are long."""


class _RowRecorder:
    """An engine that compares each row's logits with those it had in the first batch."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._first: dict[bytes, NDArray[np.float32]] = {}
        self.largest = 0.0

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Answer a batch."""
        logits = self._engine.logits(batch)
        kept = subsample_logits(logits)
        for row, mask in enumerate(batch.attention_mask.astype(bool)):
            key = batch.input_ids[row, mask].tobytes() + batch.token_type_ids[row, mask].tobytes()
            own = kept[row, : len(mask)][mask] if kept.ndim == 3 else kept[row]
            first = self._first.setdefault(key, own.copy())
            self.largest = float(np.maximum(self.largest, np.abs(own - first).max()))
        return logits


def measure_batch_effect(reference: Reference, engine: Engine, answers: Answers) -> BatchEffect:
    """Compare texts alone with the same texts in batches of several sizes.

    The texts are those of the parity check, in batches of long and short rows, whose `answers`
    `engine` gave already, and the first ones of the labelled data, in batches of like length.
    """
    recorder = _RowRecorder(engine)
    texts = reference.parity.texts
    changed = None
    if reference.evaluation is not None:
        path = reference.evaluation.examples.path
        examples = list(_first(reference))
        text_model = TextModel.of(
            reference.checkpoint.model, reference.checkpoint.tokenizer_json, recorder
        )
        found = [
            evaluation.predict_each(replace(text_model, token_budget=budget), examples, path)
            for budget in (1, *TOKEN_BUDGETS)
        ]
        texts += len(examples)
        if _is_discrete(reference):
            changed = sum(
                any(not np.array_equal(alone, other) for other in others)
                for alone, *others in zip(*found, strict=True)
            )
    largest = max(recorder.largest, answers.movement) / reference.parity.spread
    return BatchEffect(
        independent=largest <= BATCH_TOLERANCE and not changed,
        max_difference=largest,
        tolerance=BATCH_TOLERANCE,
        texts=texts,
        answers_changed=changed,
    )


def _first(reference: Reference) -> Iterator[Example]:
    assert reference.evaluation is not None
    characters = 0
    for example in itertools.islice(reference.evaluation.examples, TEXTS):
        yield example
        texts = texts_of(example, pair=reference.pair)
        characters += sum(len("".join(text)) for text in texts)
        if characters > CHARACTERS:
            return


def _is_discrete(reference: Reference) -> bool:
    checkpoint = reference.checkpoint
    return (
        checkpoint.model.task.labels_are is not LabelKind.VECTOR
        and checkpoint.model.rule.problem_type is not ProblemType.REGRESSION
    )
