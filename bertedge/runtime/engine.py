"""The `Engine` seam: what turns a batch into logits, and rows run through it in batches."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bertedge.errors import BundleError
from bertedge.runtime.encoding import TOKEN_BUDGET, Batch, Encoded, pad, plan, split_rows
from bertedge.runtime.session import Session

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

Keep = Callable[[int, NDArray[np.float32]], NDArray[Any]]
"""Reduces the logits of a row, `(labels,)` or `(sequence, labels)`, given its number."""
BatchResult = list[NDArray[np.float32]]
"""What is kept of the logits of each row of a batch."""


class Engine(Protocol):
    """Anything that turns a batch into logits: onnxruntime, PyTorch, a test's fake."""

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Return `(batch, labels)` for texts, `(batch, sequence, labels)` for tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingBatches:
    """The batches of some rows, under way."""

    encoded: Sequence[Encoded]
    batches: Sequence[NDArray[np.int64]]
    """The row numbers of each."""
    results: "Sequence[BatchResult | Future[BatchResult]]"
    """One a batch."""

    def logits(self) -> list[NDArray[np.float32]]:
        """Wait, and return the logits of each row in the order of `encoded`; see `infer`."""
        logits: list[Any] = [None] * len(self.encoded)
        for rows, result in zip(self.batches, self.results, strict=True):
            found = result if isinstance(result, list) else result.result()
            for row, own in zip(rows.tolist(), found, strict=True):
                logits[row] = own
        return logits


def start(
    engine: Engine,
    encoded: Sequence[Encoded],
    *,
    pad_token_id: int,
    token_budget: int = TOKEN_BUDGET,
    keep: Keep | None = None,
    pool: "Executor | None" = None,
) -> PendingBatches:
    """Begin to run rows in batches of like length, see `infer`; without a pool, end it too."""

    def run(rows: NDArray[np.int64]) -> BatchResult:
        own = [encoded[row] for row in rows]
        logits = engine.logits(pad(own, pad_token_id))
        if logits.ndim > 2:
            kept = [each[: len(row.ids)] for row, each in zip(own, logits, strict=True)]
        else:
            kept = list(logits)
        return kept if keep is None else list(map(keep, rows.tolist(), kept))

    batches = plan([len(row.ids) for row in encoded], token_budget)
    results = [run(rows) if pool is None else pool.submit(run, rows) for rows in batches]
    return PendingBatches(encoded=encoded, batches=batches, results=results)


def infer(
    engine: Engine,
    encoded: Sequence[Encoded],
    *,
    pad_token_id: int,
    token_budget: int = TOKEN_BUDGET,
    keep: Keep | None = None,
) -> list[NDArray[np.float32]]:
    """Run rows in batches of like length; return the logits of each, in the order given.

    `(labels,)` for a text classifier, `(sequence, labels)` without padding for a token classifier.
    `keep` says what to keep of a row's: all of them would be too many where labels are words.
    """
    return start(
        engine, encoded, pad_token_id=pad_token_id, token_budget=token_budget, keep=keep
    ).logits()


class PaddingAwareEngine:
    """An engine that gives each batch to the graph made for it. Thread-safe.

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
    answers = [session.logits(alone)[0] for alone in split_rows(batch)]
    if answers[0].ndim == 1:
        return np.stack(answers)
    logits = np.zeros((*batch.input_ids.shape, answers[0].shape[-1]), np.float32)
    for row, answer in enumerate(answers):
        logits[row, : len(answer)] = answer
    return logits
