"""All engines of a bench: the bundle's variants, PyTorch, and what else people run.

Each finder yields engines, and with the reason those that are left out.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertedge.bench import installed
from bertedge.bench.backends import BACKENDS
from bertedge.bench.engine import EngineSpec, checkpoint_bytes, device_suffix, own_engine
from bertedge.bench.external import Peer, find_peers
from bertedge.bench.process import Worker, WorkerError, python_command
from bertedge.bench.protocol import Export, Exported, Open
from bertedge.bench.report import LeftOut
from bertedge.bundle import MANIFEST, Bundle, Variant
from bertedge.errors import BundleError, DeviceError
from bertedge.libraries import has_optimum, has_transformers_4
from bertedge.progress import Progress
from bertedge.runtime import machine
from bertedge.runtime.providers import AUTO, CPU, DEVICES, Device, find_devices, first_device
from bertedge.spec import LabelKind

if TYPE_CHECKING:
    from bertedge.checkpoint import Checkpoint

COMPILERS = ("g++", "clang++", "c++")
"""What torch.compile looks for on Linux and macOS, after $CXX."""
EXPORT_TIMEOUT_S = 600.0
FILLS_MASKS = "bench compares labels, and this model fills masks"
QUICK = "--quick leaves out what takes long to start"
SETFIT = "transformers opens a SetFit model's encoder, not its head"
EXPORTED_PROFILE = "profile of the exported graph"


Found = Iterator[EngineSpec | LeftOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What of the machine decides on the engines."""

    cpu_flags: frozenset[str]
    devices: tuple[Device, ...] = (CPU,)
    """Those that PyTorch sees."""
    compiler: bool = False
    """True where there is a C++ compiler, which torch.compile needs."""

    def precisions(self, device: Device) -> tuple[str, ...]:
        """Return the precisions that PyTorch computes in on `device`, the fastest last."""
        bf16 = device is CPU and self.cpu_flags & machine.BF16_FLAGS
        return (*device.torch_precisions, "bf16") if bf16 else device.torch_precisions


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What decides on the engines."""

    bundle: Bundle
    checkpoint: "Checkpoint"
    base: Open
    """What all engines are told alike, filled in for the baseline."""
    machine: Machine
    device: str = AUTO
    """"auto": all devices that are there and that a variant is for."""
    quick: bool = False
    """True leaves out what takes long to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineup:
    """The engines of a bench, and the graphs that some of them were made from."""

    specs: tuple[EngineSpec, ...]
    left_out: tuple[LeftOut, ...]
    exported: Exported = Exported()  # noqa: RUF009 (frozen)

    @classmethod
    def of(cls, found: Iterable[EngineSpec | LeftOut]) -> "Lineup":
        """Part what was found; of two engines with one name the second is left out."""
        specs: dict[str, EngineSpec] = {}
        left_out = []
        for each in found:
            if isinstance(each, LeftOut):
                left_out.append(each)
            elif each.name in specs:
                left_out.append(LeftOut(name=each.name, why="another engine has this name"))
            else:
                specs[each.name] = each
        return cls(specs=tuple(specs.values()), left_out=tuple(left_out))


def check_comparable(bundle: Bundle, checkpoint: "Checkpoint") -> None:
    """Raise BundleError where the two do not give the same labels for the same task."""
    ours, theirs = bundle.manifest.model, checkpoint.model
    fix = "give the checkpoint that the bundle was made from"
    if ours.task.labels_are is LabelKind.VOCABULARY:
        raise BundleError(f"{bundle.folder} cannot be measured: {FILLS_MASKS}")
    if ours.task != theirs.task:
        found = f"is for {ours.task}, the baseline {checkpoint.name} for {theirs.task}"
        raise BundleError(f"{bundle.folder} {found}; {fix}")
    if ours.labels != theirs.labels:
        own, other = (
            f"{len(names)} labels ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for names in (ours.labels, theirs.labels)
        )
        raise BundleError(
            f"{bundle.folder} has {own}, the baseline {checkpoint.name} {other}; {fix}"
        )


def line_up(candidates: Candidates, peers: Sequence[Peer], progress: Progress) -> Lineup:
    """Find all engines, and make what they need; what cannot be run is listed with the reason."""
    variants = list(find_variants(candidates))
    exported, onnx = Exported(), []
    if CPU in choose_devices(candidates):
        exported = _export(candidates, progress)
        onnx = list(find_onnx(candidates, exported))
    found = Lineup.of(
        [
            *find_torch(candidates),
            *find_rivals(candidates),
            *onnx,
            *find_peers(peers, candidates.base, exported.exported, progress),
            *(each for each in variants if isinstance(each, EngineSpec)),
            *(each for each in variants if isinstance(each, LeftOut)),
        ]
    )
    return replace(found, exported=exported)


def choose_devices(candidates: Candidates) -> tuple[Device, ...]:
    """Return the devices to compare on, of those that are there; "auto": all with a variant.

    Raises SettingError for a device that is none, DeviceError for one that is not there.
    """
    asked, there = find_devices(candidates.device), candidates.machine.devices
    if candidates.device == AUTO:
        variants = candidates.bundle.manifest.variants
        wanted = [first_device(variant.providers) for variant in variants]
        return tuple(each for each in there if each in wanted) or (CPU,)
    if asked[0] in there:
        return asked
    name = asked[0].name.upper()
    raise DeviceError(
        f"PyTorch sees no {name} device to compare with; use --device cpu, or install a "
        f"{name} build of torch"
    )


def find_torch(candidates: Candidates) -> Found:
    """Yield eager PyTorch in the precisions of each device."""
    devices, machine = choose_devices(candidates), candidates.machine
    for device in devices:
        for precision in machine.precisions(device):
            name = f"torch{device_suffix(device.name)}-{precision}"
            yield _checkpoint(candidates, name, "torch", device, precision)
    if CPU in devices and "bf16" not in machine.precisions(CPU):
        yield LeftOut(name="torch-bf16", why="this CPU has no bf16 instructions")


def find_variants(candidates: Candidates) -> Found:
    """Yield the bundle's variants; DeviceError where none has its device here."""
    bundle, devices, left_out = candidates.bundle, choose_devices(candidates), []
    for variant in bundle.manifest.variants:
        place = first_device(variant.providers)
        if place is not None and place in devices:
            yield _variant(candidates, variant, place)
            continue
        why = f"bench cannot run {', '.join(variant.providers)}"
        if place is not None:
            unseen = "which PyTorch does not see here"
            asked = unseen if candidates.device == AUTO else f"--device is {candidates.device}"
            why = f"needs {place.name}, {asked}"
        left_out.append(LeftOut(name=variant.name, why=why))
    if len(left_out) == len(bundle.manifest.variants):
        raise DeviceError(
            f"{bundle.folder} has no variant for {' or '.join(each.name for each in devices)}; "
            + ", ".join(f"{item.name}: {item.why}" for item in left_out)
        )
    yield from left_out


def find_rivals(candidates: Candidates) -> Found:
    """Yield torch.compile, in the fastest precision, and what people run texts through.

    That is transformers' pipeline, and for embeddings sentence-transformers.
    """
    embeds = candidates.base.model.task.labels_are is LabelKind.VECTOR
    rival = "sentence-transformers" if embeds else "pipeline"
    for device in choose_devices(candidates):
        suffix, fastest = device_suffix(device.name), candidates.machine.precisions(device)[-1]
        yield _checkpoint(candidates, f"torch{suffix}-compile", "compile", device, fastest)
        yield _checkpoint(candidates, f"{rival}{suffix}-fp32", rival, device, "fp32")


def find_onnx(candidates: Candidates, exported: Exported) -> Found:
    """Yield Optimum's pipelines and plain onnxruntime on the graphs that could be made."""
    base = candidates.base
    problem = exported.problem or "it could not be exported"
    graphs = {
        "optimum-fp32": exported.exported,
        "optimum-int8": exported.int8,
        "onnxruntime-fp32": exported.exported,
    }
    for name, graph in graphs.items():
        backend, precision = name.split("-")
        if left_out := why_not(candidates, name, backend):
            yield left_out
        elif graph is None:
            yield LeftOut(name=name, why=problem)
        else:
            file = Path(graph)
            path = file.parent if backend == "optimum" else file
            opening = replace(base, path=str(path), variant=file.name, precision=precision)
            size = file.stat().st_size + Path(base.tokenizer).stat().st_size
            yield own_engine(name, backend, opening, size=size)
    if exported.exported is None:
        left_out = why_not(candidates, EXPORTED_PROFILE, "optimum")
        yield left_out or LeftOut(name=EXPORTED_PROFILE, why=problem)


def why_not(candidates: Candidates, name: str, backend: str) -> LeftOut | None:
    """Return why a backend of the table is not run; None where it can be."""
    row, labels_are = BACKENDS[backend], candidates.base.model.task.labels_are
    model = candidates.base.model
    if model.pooling and model.labels and backend in ("pipeline", "optimum", "onnxruntime"):
        return LeftOut(name=name, why=SETFIT)
    if candidates.quick and row.slow:
        return LeftOut(name=name, why=QUICK)
    if labels_are in row.without:
        return LeftOut(name=name, why=row.without[labels_are])
    if backend == "compile" and not candidates.machine.compiler:
        return LeftOut(name=name, why="there is no C++ compiler", fix="apt-get install g++")
    if backend == "pipeline" and labels_are is LabelKind.SPANS and not has_transformers_4():
        return LeftOut(name=name, why="transformers 5 has no pipeline of it")
    if row.install and not _installed(row.needs):
        return LeftOut(name=name, why=f"{row.needs} is not installed", fix=row.install)
    return None


def _installed(name: str) -> bool:
    return has_optimum() if name == "optimum" else importlib.util.find_spec(name) is not None


def with_noise_controls(specs: Iterable[EngineSpec]) -> tuple[EngineSpec, ...]:
    """Add a second process of each baseline at the end."""
    own = tuple(specs)
    return own + tuple(
        replace(
            each,
            name=f"{each.name} again",
            baseline=each.name,
            noise_control_of=each.name,
            starts=1,
        )
        for each in own
        if each.baseline is None
    )


def this_machine() -> Machine:
    """Return what of this machine decides on the engines."""
    import torch

    return Machine(
        cpu_flags=machine.cpu_flags(),
        devices=tuple(each for each in DEVICES if getattr(torch, each.name).is_available()),
        compiler=any(shutil.which(name) for name in (os.environ.get("CXX"), *COMPILERS) if name),
    )


def sum_installed(specs: Iterable[EngineSpec]) -> dict[str, int]:
    """Return the bytes of the packages that each engine needs, in that engine's own Python."""
    sizes: dict[tuple[str, ...], int] = {}
    found = {}
    for spec in specs:
        asked = (spec.command[0], installed.__file__, *spec.packages)
        if spec.packages and asked not in sizes:
            with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
                told = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
                sizes[asked] = int(told.stdout)
        if asked in sizes:
            found[spec.name] = sizes[asked]
    return found


def _checkpoint(
    candidates: Candidates, name: str, backend: str, device: Device, precision: str
) -> EngineSpec | LeftOut:
    """Return an engine that runs the checkpoint itself."""
    folder, base = candidates.checkpoint.folder, candidates.base
    opening = replace(
        base,
        path=str(folder),
        precision=precision,
        device=device.name,
        scratch=str(Path(base.scratch) / name),
    )
    own = own_engine(name, backend, opening, size=checkpoint_bytes(folder))
    return why_not(candidates, name, backend) or own


def _variant(candidates: Candidates, variant: Variant, device: Device) -> EngineSpec:
    bundle, base = candidates.bundle, candidates.base
    manifest = bundle.manifest
    opening = replace(
        base,
        path=str(bundle.folder.resolve()),
        variant=variant.name,
        precision=variant.precision,
        device=device.name,
        tokenizer=str(bundle.path(manifest.tokenizer).resolve()),
        model=replace(base.model, pad_token_id=manifest.model.pad_token_id),
    )
    size = variant.bytes + manifest.tokenizer.bytes + (bundle.folder / MANIFEST).stat().st_size
    return own_engine(variant.name, "bundle", opening, size=size)


def _export(candidates: Candidates, progress: Progress) -> Exported:
    """Make Optimum's graphs, in a process of their own."""
    base = candidates.base
    if left_out := why_not(candidates, "", "optimum"):
        return Exported(problem=left_out.why)
    progress.say("exporting the checkpoint by Optimum, for the engines that run it so")
    folder = Path(base.scratch) / "exports"
    folder.mkdir()
    request = Export(checkpoint=base.path, task=base.model.task, folder=str(folder))
    try:
        with Worker(python_command("bertedge.bench.worker"), threads=base.threads) as worker:
            return worker.ask(request, Exported, timeout_s=EXPORT_TIMEOUT_S)
    except WorkerError as error:
        return Exported(problem=f"the export {error}")
