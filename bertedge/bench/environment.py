"""The machine and the software that a bench ran on."""

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime

from bertedge import __version__
from bertedge.runtime import machine

LIBRARIES = (
    "numpy",
    "tokenizers",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
    "transformers",
)
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
    """That this process may use."""
    cpu_flags: tuple[str, ...]
    """Of those that matter to int8 and bf16."""
    memory_bytes: int | None
    load: float | None
    """Processes that wanted to run in the minute before, on average."""
    versions: dict[str, str]


def describe_environment() -> Environment:
    """Look at this machine, now."""
    flags = machine.cpu_flags()
    return Environment(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        cpu=machine.cpu_model(),
        cores=machine.cores(),
        cpu_flags=tuple(flag for flag in TELLING_FLAGS if flag in flags),
        memory_bytes=machine.memory_bytes(),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        versions={"bertedge": __version__, **_versions()},
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
