"""Where a figure comes from: what every result file of benchmarks/ says of itself."""

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bertedge.runtime import machine


def provenance(program: str, *packages: str) -> dict[str, object]:
    """Describe the program (its `__file__`), the time, the machine and the packages' versions."""
    return {
        "program": f"benchmarks/{Path(program).name}",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": machine.cpu_model(),
        "cores": machine.cores(),
        "versions": {package: version(package) for package in ("bertedge", *packages)},
    }
