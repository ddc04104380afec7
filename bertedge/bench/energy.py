"""The energy that the processor takes, where the machine exposes Intel's RAPL counters."""

import contextlib
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


def read_counters(folder: Path = POWERCAP) -> dict[str, tuple[int, int]]:
    """Give each package's counter and its range in microjoules; empty where none can be read.

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
