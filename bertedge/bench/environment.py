"""The machine and the software that a bench ran on."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import bertedge
from bertedge.bench.interference import load_average
from bertedge.libraries import INFERENCE, installed_versions
from bertedge.runtime import machine

ROOT = Path(bertedge.__file__).parent.parent
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
TELLING_FLAGS = (
    "avx2",
    "avx512f",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimddp",
    "i8mm",
    "bf16",
)
"""CPU flags that decide how fast int8 and bf16 run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where and with what."""

    created: str
    """UTC, ISO 8601."""
    system: str
    python: str
    cpu: str
    cores: int
    """That this process may use, by its control group's quota and its affinity."""
    host_cores: int | None
    """Of the whole machine."""
    cpu_flags: tuple[str, ...]
    """Of those that matter to int8 and bf16."""
    governor: str | None
    """Of the CPU's frequency, such as "performance"; None where it cannot be read."""
    memory_bytes: int | None
    load: float | None
    """Processes that wanted to run in the minute before, on average."""
    versions: dict[str, str]
    git_commit: str | None
    """Of bertedge's own working tree, "-dirty" where that differs; None where installed."""


def describe_environment() -> Environment:
    """Look at this machine, now."""
    flags = machine.cpu_flags()
    return Environment(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        cpu=machine.cpu_model(),
        cores=machine.cores(),
        host_cores=os.cpu_count(),
        cpu_flags=tuple(flag for flag in TELLING_FLAGS if flag in flags),
        governor=_governor(),
        memory_bytes=machine.memory_bytes(),
        load=load_average(),
        versions={"bertedge": bertedge.__version__, **installed_versions(INFERENCE)},
        git_commit=git_commit(ROOT),
    )


def git_commit(tree: Path) -> str | None:
    """Name the commit of a working tree, "-dirty" at its end where that is not all there is."""
    if not (tree / ".git").exists():
        return None
    asked = [
        "git",
        "-C",
        str(tree),
        "describe",
        "--always",
        "--abbrev=40",
        "--dirty",
        "--exclude=*",
    ]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.strip() or None


def _governor() -> str | None:
    try:
        return GOVERNOR.read_text(encoding="utf-8").strip()
    except OSError:
        return None
