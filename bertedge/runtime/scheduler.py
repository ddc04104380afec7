"""What runs on how many cores: a text that is alone on all of them, all else on one core each.

Two sessions of one model serve two ends. One text is answered soonest by all cores together. Many
batches are done soonest where each stays on one core from beginning to end, with nothing to hand
over and nobody to wait for: on two cores that was 8 % more texts a second (MiniLM int8, 13 tokens
a text). So it is with single texts that several threads ask for at once: all cores for each in turn
was half as fast as for one thread alone. The second session is opened when the first long input
comes, or when calls have overlapped a few times; it takes the model's size in memory once more.
"""

import contextlib
import functools
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bertedge.bundle import Bundle
from bertedge.logs import log
from bertedge.runtime import forks, machine, tuning
from bertedge.runtime.batching import pad, plan
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.engine import PaddingAwareEngine
from bertedge.runtime.session import Session
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.runtime.tuning import BUDGETS, TokenBudget, Trial
from bertedge.runtime.variants import OpenVariant, open_again
from bertedge.spec import Task

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

Floats = NDArray[np.float32]

# Processor time does not count what else runs; on Windows it goes in steps of 16 ms.
_clock = time.perf_counter if sys.platform == "win32" else time.thread_time

OVERLAPS_WORTH_OPENING = 8
"""Calls that met another one before the second session is opened for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingBatches:
    """The batches of some rows, under way."""

    encoded: Sequence[Encoded]
    batches: Sequence[NDArray[np.int64]]
    answers: "Sequence[BatchResult | Future[BatchResult]]"
    """One a batch."""
    judge: Callable[[Sequence[Trial]], None] | None

    def logits(self) -> list[Floats]:
        """Wait, and give each row its logits in the order of `encoded`; see `session.infer`."""
        logits: list[Any] = [None] * len(self.encoded)
        trials = []
        for rows, given in zip(self.batches, self.answers, strict=True):
            answer = given if isinstance(given, BatchResult) else given.result()
            trials.append(answer.trial)
            for row, found in zip(rows.tolist(), answer.logits, strict=True):
                logits[row] = found if found.ndim == 1 else found[: len(self.encoded[row].ids)]
        if self.judge is not None:
            self.judge(trials)
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What a batch gave, and what it took."""

    logits: Floats | list[Floats]
    """Of the rows; of a model that fills masks only those at the masks."""
    trial: Trial


class InFlight:
    """Count of what is under way in this process, whichever predictor it belongs to."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin to count."""
        self._count = 0
        self._counting = threading.Lock()

    @contextlib.contextmanager
    def joined(self) -> Iterator[bool]:
        """Count in, and yield whether nothing else was there."""
        with self._counting:
            self._count += 1
            alone = self._count == 1
        try:
            yield alone
        finally:
            with self._counting:
                self._count -= 1


_IN_FLIGHT = InFlight()


@functools.cache
def _cores() -> threading.BoundedSemaphore:
    """The cores that this process is to use, of which a batch takes one."""
    return threading.BoundedSemaphore(machine.threads())


forks.in_children(_IN_FLIGHT.renew)
forks.in_children(_cores.cache_clear)


class Scheduler:
    """Gives the rows of one predictor to sessions and cores. Safe to share by threads."""

    def __init__(self, bundle: Bundle, opened: OpenVariant, tokenizer: Tokenizer) -> None:
        self._bundle = bundle
        self._opened = opened
        self._tokenizer = tokenizer
        fills = bundle.manifest.model.task is Task.FILL_MASK
        self._mask = tokenizer.mask if fills else None
        self._device = opened.device
        self.workers = 1 if self._device.one_run_at_a_time else opened.engine.threads
        """How many batches run at a time."""
        self._overlaps = 0
        self._choosing = threading.Lock()
        self._single: Session | PaddingAwareEngine | None = None
        self._budget: TokenBudget | None = None
        self._measuring = False

    def call(self) -> contextlib.AbstractContextManager[bool]:
        """Tell the process that rows are being prepared; yields whether nothing else is."""
        return _IN_FLIGHT.joined()

    def start(
        self,
        encoded: Sequence[Encoded],
        *,
        alone: bool,
        long: bool,
        token_budget: int | None,
        pool: "Executor | None",
    ) -> PendingBatches:
        """Begin to run rows in batches of like length; without a pool, end it too.

        The rows of a `long` input keep to one core a batch, as do those of a call that is not
        `alone`.
        """
        long = long and pool is not None and not self._device.one_run_at_a_time
        engine = self._one_core() if long or self._is_busy(alone) else self._opened.engine
        budgets = self._budgets(encoded, token_budget, long=long)
        batches = plan([len(row.ids) for row in encoded], *budgets)
        answers: list[BatchResult | Future[BatchResult]] = []
        for rows, budget in zip(batches, itertools.cycle(budgets), strict=False):
            run = partial(self._run, engine, [encoded[row] for row in rows], budget)
            answers.append(run() if pool is None else pool.submit(run))
        judge = self._judge if len(budgets) > 1 else None
        return PendingBatches(encoded=encoded, batches=batches, answers=answers, judge=judge)

    def _run(
        self, engine: Session | PaddingAwareEngine, rows: Sequence[Encoded], budget: int
    ) -> BatchResult:
        batch = pad(rows, self._bundle.manifest.model.pad_token_id)
        place = _cores() if engine.threads == 1 else contextlib.nullcontext()
        with place, _IN_FLIGHT.joined():
            began = _clock()
            logits = engine.logits(batch)
            seconds = _clock() - began
        trial = Trial(budget=budget, tokens=batch.input_ids.size, seconds=seconds)
        if self._mask is None:
            return BatchResult(logits=logits, trial=trial)
        pairs = zip(rows, logits, strict=True)
        at_masks = [own[: len(row.ids)][row.ids == self._mask] for row, own in pairs]
        return BatchResult(logits=at_masks, trial=trial)

    def _is_busy(self, alone: bool) -> bool:
        """Tell whether calls overlap, and have done so often enough to keep to one core each."""
        if alone or self._device.one_run_at_a_time:
            return False
        self._overlaps += 1
        return self._overlaps > OVERLAPS_WORTH_OPENING

    def _budgets(
        self, encoded: Sequence[Encoded], token_budget: int | None, *, long: bool
    ) -> tuple[int, ...]:
        """Tell how many tokens the batches hold; several numbers are to be tried in turn."""
        if token_budget is not None:
            return (token_budget,)
        if not long:
            return (self._device.token_budget,)
        with self._choosing:
            if self._budget is None:
                self._budget = tuning.recall(self._cache_file())
            if self._budget is not None:
                return (self._budget.tokens,)
            if self._measuring or not tuning.is_enough([len(row.ids) for row in encoded]):
                return (tuning.DEFAULT.tokens,)
            self._measuring = True
            return BUDGETS

    def _judge(self, trials: Sequence[Trial]) -> None:
        self._budget = budget = tuning.choose(trials)
        file = self._cache_file()
        kept = f"kept in {file}" if tuning.remember(file, budget) else f"{file} cannot be written"
        log(__name__, "batches hold %d tokens: %s; %s", budget.tokens, budget.why, kept)

    def _cache_file(self) -> Path:
        return tuning.cache_file(self._opened.variant.model.sha256, self.workers)

    def _one_core(self) -> Session | PaddingAwareEngine:
        """Open the session that keeps to one core, once."""
        with self._choosing:
            if self._single is None:
                log(__name__, "many texts: opening a second session, of one thread a run")
                self._single = self._open_again() or self._opened.engine
            return self._single

    def _open_again(self) -> Session | None:
        if self.workers == 1:
            return None
        return open_again(self._bundle, self._opened, self._tokenizer)
