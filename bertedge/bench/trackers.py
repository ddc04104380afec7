"""What processes take: memory, as the system tells it, and energy by Intel's RAPL counters."""

import contextlib
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from bertedge.bench.report import MemoryPoint

POWERCAP = Path("/sys/class/powercap")


def memory_of(pid: int, where: str, at_s: float) -> MemoryPoint | None:
    """Return the memory of another process; None where it has ended.

    Its peak is Linux's and Windows' own figure; elsewhere what it takes now.
    """
    try:
        found = psutil.Process(pid).memory_info()
        peak_bytes = getattr(found, "peak_wset", found.rss)
        if sys.platform == "linux":
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            peak_bytes = int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (psutil.Error, OSError, IndexError):  # IndexError: it is a zombie
        return None
    return MemoryPoint(
        where=where, at_s=round(at_s, 3), resident_bytes=found.rss, peak_bytes=peak_bytes
    )


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
