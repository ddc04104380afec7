"""What processes take: memory, as the system tells it, and energy by Intel's RAPL counters."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertedge.bench.report import MemoryPoint

POWERCAP = Path("/sys/class/powercap")


def memory_of(pid: int, where: str, at_s: float) -> "MemoryPoint | None":
    """Look at another process; None where the system does not tell."""
    if sys.platform != "linux":
        return None
    from bertedge.bench.report import MemoryPoint  # a worker would pay for its imports

    status = _status(str(pid))
    if "VmRSS" not in status or "VmHWM" not in status:
        return None
    return MemoryPoint(
        where=where,
        at_s=round(at_s, 3),
        resident_bytes=status["VmRSS"],
        peak_bytes=status["VmHWM"],
    )


def peak_memory_bytes() -> int | None:
    """Return the largest resident size that this process has had; None where that is not told.

    Linux's `getrusage` would carry the parent's own peak over to a process started from it, so
    there the kernel's figure for this very program is read.
    """
    if sys.platform == "linux":
        return _status("self").get("VmHWM")
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def _status(process: str) -> dict[str, int]:
    """Read the sizes in bytes that Linux lists of a process; none where it has ended."""
    try:
        text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return {}
    rows = (line.split() for line in text.splitlines() if line.endswith(" kB"))
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows}


def read_counters(folder: Path = POWERCAP) -> dict[str, tuple[int, int]]:
    """Return each package's counter and its range in microjoules; empty where none can be read.

    AMD's processors have the same counters under the same name. Reading may need root.
    """
    counters = {}
    for zone in sorted(folder.glob("intel-rapl:[0-9]*")):
        with contextlib.suppress(OSError, ValueError):
            if zone.name.count(":") == 1 and _read(zone / "name").startswith("package"):
                range_uj = int(_read(zone / "max_energy_range_uj"))
                counters[zone.name] = (int(_read(zone / "energy_uj")), range_uj)
    return counters


def joules_between(
    before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]
) -> float | None:
    """Sum what the packages took; a counter that has passed its range has begun again at 0."""
    both = before.keys() & after.keys()
    if not both:
        return None
    return sum((after[zone][0] - before[zone][0]) % (after[zone][1] + 1) for zone in both) / 1e6


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


def cpu_seconds(pid: int) -> float | None:
    """Sum the CPU time of a process's threads; None where the system does not tell."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        rows = [(thread / "schedstat").read_text(encoding="ascii") for thread in threads]
        return sum(int(row.split()[0]) for row in rows) / 1e9
    except (OSError, ValueError, IndexError):
        return None
