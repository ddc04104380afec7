"""What else the machine does while a bench runs: processor time of other processes, load."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from bertedge.bench.report import CpuUse, IdleWait
from bertedge.progress import Progress
from bertedge.runtime import machine

QUIET = 0.1
"""Cores that others may take, for each core of the machine, where it is called quiet."""
QUIET_S = 3
"""Seconds in a row that the machine must be quiet."""
BEFORE_S = 1.0
"""That others are watched before the first cold start."""
IDLE = ("idle", "iowait", "guest", "guest_nice")
"""Times of the processor at rest, and those that are part of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seconds:
    """Processor time so far."""

    at_s: float
    all: float
    own: float
    by_process: dict[int, tuple[str, float]]
    """Name and time of each process that is not ours."""


class Watch:
    """Measures what others took of the processor since it was last asked."""

    def __init__(self) -> None:
        self._last = _read()

    def restart(self) -> None:
        """Forget what was until now."""
        self._last = _read()

    def note(self, where: str) -> CpuUse:
        """Describe the time since the last note."""
        before, self._last = self._last, _read()
        now = self._last
        others = (now.all - before.all) - (now.own - before.own)
        return CpuUse(
            where=where,
            seconds=round(now.at_s - before.at_s, 3),
            other_cores=round(max(others, 0.0) / (now.at_s - before.at_s), 3),
            load=load_average(),
        )

    def busiest(self) -> tuple[CpuUse, str]:
        """Describe the time since the last note, and name the other process that took most."""
        before = self._last.by_process
        use = self.note("")
        took = {
            name: seconds - before.get(pid, (name, 0.0))[1]
            for pid, (name, seconds) in self._last.by_process.items()
        }
        return use, max(took, key=lambda name: took[name], default="")


def load_average() -> float | None:
    """Return the load of the last minute; None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def wait_until_idle(
    limit_s: float, progress: Progress, sleep: Callable[[float], None] = time.sleep
) -> IdleWait:
    """Wait until the machine has been quiet for some seconds, or for `limit_s` at most."""
    cores = os.cpu_count() or machine.cores()
    watch, began, in_a_row = Watch(), time.monotonic(), 0
    progress.say(f"waiting up to {limit_s:g} s for a quiet machine (--wait-idle)")
    progress.start("wait", round(limit_s) or 1, "checks")
    try:
        while in_a_row < QUIET_S and (waited := time.monotonic() - began) < limit_s:
            sleep(min(1.0, limit_s - waited))
            use, name = watch.busiest()
            others = use.other_cores or 0.0
            in_a_row = in_a_row + 1 if others <= QUIET * cores else 0
            most = f", most of it {name}" if name else ""
            why = f"other processes take {others:.2f} of {cores} cores{most}"
            progress.advance(1, "quiet" if in_a_row else why)
    finally:
        progress.finish()
    waited_s, quiet = round(time.monotonic() - began, 1), in_a_row >= QUIET_S
    if not quiet:
        progress.say(f"the machine was not quiet within {limit_s:g} s: measuring all the same")
    return IdleWait(limit_s=limit_s, waited_s=waited_s, quiet=quiet)


def _read() -> _Seconds:
    """Read the processor time of the machine, of this process with its descendants, of others."""
    import psutil  # type: ignore[import-untyped]

    at_s, whole = time.monotonic(), psutil.cpu_times()._asdict()
    rows = [
        (each.pid, each.info["ppid"], each.info["name"], each.info["cpu_times"])
        for each in psutil.process_iter(["ppid", "name", "cpu_times"])
        if each.info["cpu_times"]  # None of what may not be seen
    ]
    ours, size = {os.getpid()}, 0
    while size != len(ours):
        size = len(ours)
        ours |= {pid for pid, parent, _, _ in rows if parent in ours}
    others = {pid: (name, t.user + t.system) for pid, _, name, t in rows if pid not in ours}
    return _Seconds(
        at_s=at_s,
        all=sum(seconds for name, seconds in whole.items() if name not in IDLE),
        # Those of children that have ended included.
        own=sum(sum(t[:4]) for pid, _, _, t in rows if pid in ours),
        by_process=others,
    )
