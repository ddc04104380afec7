"""The `Engine` seam: what turns a batch into logits, and rows run through it in batches."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bertedge.errors import BundleError
from bertedge.runtime.batching import TOKEN_BUDGET, Batch, pad, plan
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.session import Session

Keep = Callable[[int, NDArray[np.float32]], NDArray[Any]]
"""Reduces the logits of a row, given its number."""


class Engine(Protocol):
    """Anything that turns a batch into logits: onnxruntime, PyTorch, a test's fake."""

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Give `(batch, labels)` for texts, `(batch, sequence, labels)` for tokens."""


def infer(
    engine: Engine,
    encoded: Sequence[Encoded],
    *,
    pad_token_id: int,
    token_budget: int = TOKEN_BUDGET,
    keep: Keep | None = None,
) -> list[NDArray[np.float32]]:
    """Run rows in batches of like length and give each its logits, in the order given.

    `(labels,)` for a text classifier, `(sequence, labels)` without padding for a token classifier.
    `keep` says what to keep of a row's: all of them would be too many where labels are words.
    """
    answers: list[Any] = [None] * len(encoded)
    for rows in plan([len(row.ids) for row in encoded], token_budget):
        logits = engine.logits(pad([encoded[row] for row in rows], pad_token_id))
        for row, answer in zip(rows.tolist(), logits, strict=True):
            own = answer if answer.ndim == 1 else answer[: len(encoded[row].ids)]
            answers[row] = keep(row, own) if keep else own
    return answers


class PaddingAwareEngine:
    """Gives each batch to the graph made for it. Thread-safe.

    The graph that single texts need is opened at once, the other one with the first batch that
    needs it: a program that never pads loads its weights once. Where that one cannot be opened any
    more, as when the bundle was exported anew meanwhile, rows go to the first one by one.
    """

    def __init__(
        self, padded: Callable[[], Session], unpadded: Callable[[], Session] | None = None
    ) -> None:
        self._open = {True: padded, False: unpadded or padded}
        self._opening = threading.Lock()
        first = self._open[False]()
        self._sessions = {False: first} if unpadded else {False: first, True: first}

    @property
    def providers(self) -> tuple[str, ...]:
        """Execution providers in use, best first."""
        return self._sessions[False].providers

    @property
    def threads(self) -> int:
        """Threads that share in a run."""
        return self._sessions[False].threads

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Run the graph for padded batches where the batch is one; see `Engine.logits`."""
        padded = not batch.attention_mask.all()
        session = self._sessions.get(padded)
        if session is None:
            try:
                session = self._open_once(padded)
            except BundleError:
                return _row_by_row(self._sessions[False], batch)
        return session.logits(batch)

    def _open_once(self, padded: bool) -> Session:
        with self._opening:
            if padded not in self._sessions:
                self._sessions[padded] = self._open[padded]()
            return self._sessions[padded]


def _row_by_row(session: Session, batch: Batch) -> NDArray[np.float32]:
    """Run every row without its padding; positions of padding get zeros for logits."""
    rows, length = batch.input_ids.shape
    answers = []
    for row in range(rows):
        inside = np.s_[row : row + 1, : int(batch.attention_mask[row].sum())]
        alone = Batch(
            input_ids=batch.input_ids[inside],
            attention_mask=batch.attention_mask[inside],
            token_type_ids=batch.token_type_ids[inside],
        )
        answers.append(session.logits(alone)[0])
    if answers[0].ndim == 1:
        return np.stack(answers)
    logits = np.zeros((rows, length, answers[0].shape[-1]), np.float32)
    for row, answer in enumerate(answers):
        logits[row, : len(answer)] = answer
    return logits
