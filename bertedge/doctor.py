"""What of bertedge can run on this machine, tried out, and what to type where something cannot."""

import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from bertedge.errors import BertedgeError
from bertedge.libraries import ALL, has_optimum, installed_versions
from bertedge.runtime import machine, probe
from bertedge.runtime.providers import DEVICES, Device, first_device
from bertedge.runtime.session import import_onnxruntime
from bertedge.version import __version__

EXTRAS = (*(device.extra for device in DEVICES), "train", "export", "optimum", "bench", "serve")

_INT8_FLAGS = {
    "x86": ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8"),
    "arm": ("asimddp", "i8mm"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Hardware, and how much of it this process may use."""

    system: str
    cpu: str
    int8_features: dict[str, bool]
    """Instruction sets that matter for int8, by Linux's names."""
    cores: int
    """What onnxruntime is given."""
    host_cores: int
    quota: float | None
    """CPU quota of the control group in cores; None where there is none."""
    memory_bytes: int | None
    """What this process may use."""
    memory_limit: int | None
    """Of the control group, in bytes; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicting:
    """What a predictor does on this machine when nothing is set by hand."""

    threads: int
    """Shared by one text; or, of many, each with batches of its own."""
    spinning: str
    """When threads spin instead of sleeping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An execution provider that was asked to run a model."""

    name: str
    device: str
    runs: bool
    reason: str
    """Why not; empty where it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is wrong, and what to type."""

    what: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All that was found out."""

    bertedge: str
    python: str
    machine: Machine
    predicting: Predicting
    packages: dict[str, str | None]
    """Versions; None: not installed."""
    extras: dict[str, bool]
    """Which of bertedge's extras are complete."""
    providers: tuple[Provider, ...]
    other_providers: tuple[str, ...]
    """What onnxruntime offers besides; bertedge does not use them."""
    int8_exact: bool | None
    """Whether int8 products come out right on this CPU; None where nothing runs."""
    problems: tuple[Problem, ...]

    @property
    def usable(self) -> bool:
        """False where neither a bundle nor a checkpoint can run."""
        return any(each.runs for each in self.providers) or bool(self.packages["torch"])


def diagnose() -> Diagnosis:
    """Look at the machine and the packages, and run a small model on each provider."""
    flags = machine.cpu_flags()
    family = "arm" if platform.machine().lower() in ("arm64", "aarch64") else "x86"
    hardware = Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=machine.cpu_model(),
        int8_features={flag: flag in flags for flag in _INT8_FLAGS[family]},
        cores=machine.cores(),
        host_cores=os.cpu_count() or 1,
        quota=machine.cgroup_quota(),
        memory_bytes=machine.memory_bytes(),
        memory_limit=machine.cgroup_memory(),
    )
    versions = installed_versions(ALL)
    packages = {name: versions.get(name) for name in ALL}
    providers = tuple(_try(device) for device in DEVICES)
    int8_exact = probe.int8_is_exact() if providers[0].runs else None
    threads = machine.threads()
    return Diagnosis(
        bertedge=__version__,
        python=platform.python_version(),
        machine=hardware,
        predicting=Predicting(
            threads=threads, spinning="inside a run only" if threads > 1 else "never"
        ),
        packages=packages,
        extras=_extras(),
        providers=providers,
        other_providers=_other_providers(),
        int8_exact=int8_exact,
        problems=tuple(_problems(hardware, packages, providers, int8_exact)),
    )


def _try(device: Device) -> Provider:
    try:
        probe.check_device(device)
        reason = ""
    except BertedgeError as error:
        reason = str(error)
    return Provider(name=device.provider, device=device.name, runs=not reason, reason=reason)


def _other_providers() -> tuple[str, ...]:
    try:
        available = import_onnxruntime().get_available_providers()
    except BertedgeError:
        return ()
    return tuple(name for name in available if first_device((name,)) is None)


def _extras() -> dict[str, bool]:
    try:
        wanted = metadata.requires("bertedge") or []
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        wanted = []
    needs: dict[str, list[str]] = {extra: [] for extra in EXTRAS}
    for line in wanted:
        found = re.match(r"([\w.-]+)(?:\[(\w+)[^]]*\])?.*extra == [\"'](\w+)", line)
        if found and found[3] in needs:
            needs[found[3]].append(found[2] if found[1] == "bertedge" else found[1])
    complete = {extra: bool(needs[extra]) and _complete(extra, needs) for extra in EXTRAS}
    # Beside transformers 5 it is installed, and cannot be imported.
    return complete | {"optimum": complete["optimum"] and has_optimum()}


def _complete(extra: str, needs: dict[str, list[str]]) -> bool:
    return all(
        _complete(need, needs) if need in needs else bool(installed_versions((need,)))
        for need in needs[extra]
    )


def _problems(
    hardware: Machine,
    packages: dict[str, str | None],
    providers: tuple[Provider, ...],
    int8_exact: bool | None,
) -> Iterator[Problem]:
    if packages["onnxruntime"] and packages["onnxruntime-gpu"]:
        yield Problem(
            what="onnxruntime and onnxruntime-gpu are both installed, one over the other",
            fix="pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'bertedge[gpu]'",
        )
    for device, provider in zip(DEVICES, providers, strict=True):
        # A machine without an NVIDIA GPU has no problem with CUDA.
        if not provider.runs and (device.is_there or packages[device.package]):
            what, _, fix = provider.reason.rpartition("; ")
            yield Problem(what=f"{provider.name} does not run: {what}", fix=fix)
    if int8_exact is False:
        yield Problem(
            what="this CPU saturates int8 products, so int8 variants can answer wrongly",
            fix="bertedge predict BUNDLE --variant cpu-fp32 … (or export on this machine)",
        )
    elif not any(hardware.int8_features.values()):
        yield Problem(
            what="this CPU has no instructions for int8 products; int8 gains little here",
            fix="bertedge bench BUNDLE, to see which variant is the fastest",
        )
    if hardware.quota is not None and hardware.quota < 1:
        yield Problem(
            what=f"the control group allows {hardware.quota:.2g} of one core",
            fix="raise the container's CPU limit to a whole core at least",
        )
