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
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bertedge.logs import log
from bertedge.runtime import machine
from bertedge.runtime.encoding import Batch, Encoded
from bertedge.runtime.engine import Keep, PaddingAwareEngine, PendingBatches, start
from bertedge.runtime.process import in_children
from bertedge.runtime.session import Session
from bertedge.runtime.variants import OpenVariant, open_again

if TYPE_CHECKING:
    from concurrent.futures import Executor

OVERLAPS_WORTH_OPENING = 8
"""Calls that met another one before the second session is opened for them."""


class InFlight:
    """The number of calls and runs under way in this process, of all predictors."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Start again from none."""
        self._count = 0
        self._counting = threading.Lock()

    @contextlib.contextmanager
    def joined(self) -> Iterator[bool]:
        """Count the block as under way, and yield whether nothing else is."""
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


in_children(_IN_FLIGHT.renew)
in_children(_cores.cache_clear)


@dataclass(frozen=True, slots=True)
class _Counted:
    """An engine whose runs are counted, and of which one of a single thread takes a core."""

    engine: Session | PaddingAwareEngine

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        place = _cores() if self.engine.threads == 1 else contextlib.nullcontext()
        with place, _IN_FLIGHT.joined():
            return self.engine.logits(batch)


class Scheduler:
    """Chooses the session and the cores on which a predictor's rows run. Thread-safe."""

    def __init__(self, opened: OpenVariant) -> None:
        self._opened = opened
        self._device = opened.device
        self.workers = 1 if self._device.one_run_at_a_time else opened.engine.threads
        """How many batches run at a time."""
        self._overlaps = 0
        self._opening = threading.Lock()
        self._single: Session | PaddingAwareEngine | None = None

    def open_all(self) -> None:
        """Open the session for overlapping calls now, for who knows that there will be such."""
        if not self._device.one_run_at_a_time:
            self._one_core()

    def call(self) -> contextlib.AbstractContextManager[bool]:
        """Count a call that prepares rows; yields whether nothing else is under way."""
        return _IN_FLIGHT.joined()

    def start(
        self,
        encoded: Sequence[Encoded],
        keep: Keep | None,
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
        return start(
            _Counted(engine),
            encoded,
            pad_token_id=self._opened.bundle.manifest.model.pad_token_id,
            token_budget=token_budget or self._device.token_budget,
            keep=keep,
            pool=pool,
        )

    def _is_busy(self, alone: bool) -> bool:
        """Whether calls overlap, and have done so often enough to keep to one core each."""
        if alone or self._device.one_run_at_a_time:
            return False
        self._overlaps += 1
        return self._overlaps > OVERLAPS_WORTH_OPENING

    def _one_core(self) -> Session | PaddingAwareEngine:
        """Open the session that keeps to one core, once."""
        with self._opening:
            if self._single is None:
                log(__name__, "many texts: opening a second session, of one thread a run")
                again = open_again(self._opened) if self.workers > 1 else None
                self._single = again or self._opened.engine
            return self._single
