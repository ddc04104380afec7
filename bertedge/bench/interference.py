"""What else the machine does while a bench runs: processor time of other processes, load."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bertedge.bench.report import CpuUse, IdleWait
from bertedge.progress import Progress
from bertedge.runtime import machine

PROC = Path("/proc")
QUIET = 0.1
"""Cores that others may take, for each core of the machine, where it is called quiet."""
QUIET_S = 3
"""Seconds in a row that the machine must be quiet."""
BEFORE_S = 1.0
"""That others are watched before the first cold start."""
_USER, _IDLE, _IOWAIT, _STEAL = 0, 3, 4, 7
"""Columns of /proc/stat; those after steal are counted in user time already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ticks:
    """Processor time so far, in seconds."""

    at_s: float
    all: float
    own: float
    by_process: dict[int, tuple[str, float]]
    """Name and time of each process that is not ours."""


class Watch:
    """Tells what others took of the processor since it was last asked."""

    def __init__(self) -> None:
        self._last = _read()

    def restart(self) -> None:
        """Forget what was until now."""
        self._last = _read()

    def note(self, where: str) -> CpuUse:
        """Describe the time since the last note."""
        before, self._last = self._last, _read()
        return CpuUse(
            where=where,
            seconds=round(self._last.at_s - before.at_s, 3),
            other_cores=_other_cores(before, self._last),
            load=load_average(),
        )

    def busiest(self) -> tuple[CpuUse, str]:
        """Describe the time since the last note, and name the other process that took most."""
        before = self._last
        use = self.note("")
        took = {
            name: seconds - before.by_process.get(pid, (name, 0.0))[1]
            for pid, (name, seconds) in self._last.by_process.items()
        }
        return use, max(took, key=lambda name: took[name], default="")


def load_average() -> float | None:
    """Give the load of the last minute; None where the system does not tell."""
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
            quiet = _is_quiet(use, cores)
            in_a_row = in_a_row + 1 if quiet else 0
            progress.advance(1, "quiet" if quiet else _why(use, name, cores))
    finally:
        progress.finish()
    wait = IdleWait(
        limit_s=limit_s,
        waited_s=round(time.monotonic() - began, 1),
        quiet=in_a_row >= QUIET_S,
    )
    if not wait.quiet:
        progress.say(f"the machine was not quiet within {limit_s:g} s: measuring all the same")
    return wait


def _is_quiet(use: CpuUse, cores: int) -> bool:
    if use.other_cores is not None:
        return use.other_cores <= QUIET * cores
    return use.load is None or use.load <= QUIET * cores


def _why(use: CpuUse, name: str, cores: int) -> str:
    if use.other_cores is None:
        return f"load {use.load:.2f} on {cores} cores"
    most = f", most of it {name}" if name else ""
    return f"other processes take {use.other_cores:.2f} of {cores} cores{most}"


def _other_cores(before: _Ticks, after: _Ticks) -> float | None:
    passed = after.at_s - before.at_s
    if not after.all or passed <= 0:
        return None
    others = (after.all - before.all) - (after.own - before.own)
    return round(max(others, 0.0) / passed, 3)


def _read() -> _Ticks:
    """Read the processor time of the machine, of this process with its descendants, of others."""
    at_s = time.monotonic()
    whole = _whole()
    if whole is None:
        return _Ticks(at_s=at_s, all=0.0, own=0.0, by_process={})
    tick = os.sysconf("SC_CLK_TCK")
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit() and (row := _row(folder)):
            found[int(folder.name)] = row
    ours = _descendants({pid: parent for pid, (_, parent, _, _) in found.items()})
    return _Ticks(
        at_s=at_s,
        all=whole / tick,
        own=sum(own + ended for pid, (_, _, own, ended) in found.items() if pid in ours) / tick,
        by_process={
            pid: (name, own / tick) for pid, (name, _, own, _) in found.items() if pid not in ours
        },
    )


def _whole() -> int | None:
    """Sum the busy ticks of all processors."""
    try:
        first = (PROC / "stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
        ticks = [int(word) for word in first[_USER : _STEAL + 1]]
        return sum(n for i, n in enumerate(ticks) if i not in (_IDLE, _IOWAIT))
    except (OSError, ValueError, IndexError):
        return None


def _row(folder: Path) -> tuple[str, int, int, int] | None:
    """Read a process's name, its parent, its ticks and those of its children that have ended."""
    try:
        text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        name, _, rest = text.partition("(")[2].rpartition(")")
        words = rest.split()
        user, system, ended_user, ended_system = (int(word) for word in words[11:15])
        return name, int(words[1]), user + system, ended_user + ended_system
    except (OSError, ValueError, IndexError):
        return None


def _descendants(parents: dict[int, int]) -> set[int]:
    """Give this process and all below it."""
    ours = {os.getpid()}
    size = 0
    while size != len(ours):
        size = len(ours)
        ours |= {pid for pid, parent in parents.items() if parent in ours}
    return ours
