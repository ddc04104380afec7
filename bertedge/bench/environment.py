"""The machine and the software that a bench ran on."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from bertedge.bench.interference import load_average
from bertedge.bench.report import Environment
from bertedge.libraries import INFERENCE, installed_versions
from bertedge.runtime import machine
from bertedge.version import __version__

ROOT = Path(__file__).parents[2]
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
TELLING_FLAGS = (
    *("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    *("asimddp", "i8mm", "bf16"),
)
"""CPU flags that decide how fast int8 and bf16 run."""


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
        versions={"bertedge": __version__, **installed_versions(INFERENCE)},
        git_commit=git_commit(ROOT),
    )


def git_commit(tree: Path) -> str | None:
    """Return the commit of a working tree, "-dirty" at its end where that is not all there is."""
    if not (tree / ".git").exists():
        return None
    words = ("describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    asked = ["git", "-C", str(tree), *words]
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
