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
from bertedge.bench.engine import EngineSpec, baseline_of, device_suffix
from bertedge.bench.external import Peer, find_peers
from bertedge.bench.process import Worker, WorkerError, python_command, run_to_end
from bertedge.bench.protocol import Export, Exported, Open
from bertedge.bench.report import LeftOut
from bertedge.bundle import MANIFEST, Bundle, Variant
from bertedge.errors import BundleError, DeviceError
from bertedge.progress import Progress
from bertedge.runtime.machine import BF16_FLAGS
from bertedge.runtime.providers import AUTO, CPU, DEVICES, Device, find_devices, first_device
from bertedge.spec import LabelKind

if TYPE_CHECKING:
    from bertedge.checkpoint import Checkpoint

TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt")
TORCH_PACKAGES = ("torch", "transformers", "safetensors")
ONNXRUNTIME = tuple(device.package for device in DEVICES)
COMPILERS = ("g++", "clang++", "c++")
"""What torch.compile looks for on Linux and macOS, after $CXX."""
PACKED = "batches of a token budget, sorted by length"
PIPELINE_BATCHING = "32 texts a batch, in their order"
SENTENCES_BATCHING = "32 texts a batch, sorted by length"
EXPORT_TIMEOUT_S, PREPARE_TIMEOUT_S = 600.0, 1800.0

FILLS_MASKS = "bench compares labels, and this model fills masks"
QUICK = "--quick leaves out what takes long to start"
ALONE = "bench gives intents with slots to PyTorch and the bundle alone: no pipeline finds both"
NOT_POOLED = "it gives every token a vector, and leaves it to the user to pool them"
NO_WINDOWS = "it makes no windows over contexts"
NO_ONNX = {LabelKind.VECTOR: NOT_POOLED, LabelKind.INTENT_AND_TAGS: ALONE}
"""Why engines that run Optimum's export have nothing to say of these tasks."""
ONNX_ENGINES = ("optimum-fp32", "optimum-int8", "onnxruntime-fp32")
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

    @property
    def bf16(self) -> bool:
        """True where the CPU computes in bf16 itself."""
        return bool(self.cpu_flags & BF16_FLAGS)

    def precisions(self, device: Device) -> tuple[str, ...]:
        """Return the precisions that PyTorch computes in on `device`, the fastest last."""
        own = device.torch_precisions
        return (*own, "bf16") if device is CPU and self.bf16 else own


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
    if ours.task.labels_are is LabelKind.VOCABULARY:
        raise BundleError(f"{bundle.folder} cannot be measured: {FILLS_MASKS}")
    if ours.task != theirs.task:
        raise BundleError(
            f"{bundle.folder} is for {ours.task}, the baseline {checkpoint.name} for "
            f"{theirs.task}; give the checkpoint that the bundle was made from"
        )
    if ours.labels != theirs.labels:
        raise BundleError(
            f"{bundle.folder} has {_some(ours.labels)}, the baseline {checkpoint.name} "
            f"{_some(theirs.labels)}; give the checkpoint that the bundle was made from"
        )


def line_up(candidates: Candidates, peers: Sequence[Peer], progress: Progress) -> Lineup:
    """Find all engines, and make what they need; what cannot be run is listed with the reason."""
    devices = choose_devices(candidates)
    variants = list(find_variants(candidates))
    exported = Exported()
    onnx: list[EngineSpec | LeftOut] = []
    if CPU in devices:
        exported, onnx = _find_onnx(candidates, progress)
    base = candidates.base
    found = Lineup.of(
        [
            *find_torch(candidates),
            *find_rivals(candidates),
            *onnx,
            *_prepare(find_peers(peers, base, exported.exported), base, progress),
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
    if candidates.device != AUTO:
        if asked[0] not in there:
            name = asked[0].name.upper()
            raise DeviceError(
                f"PyTorch sees no {name} device to compare with; use --device cpu, or install a "
                f"{name} build of torch"
            )
        return asked
    variants = candidates.bundle.manifest.variants
    wanted = [first_device(variant.providers) for variant in variants]
    return tuple(each for each in there if each in wanted) or (CPU,)


def find_torch(candidates: Candidates) -> Found:
    """Yield eager PyTorch in the precisions of each device."""
    devices, machine = choose_devices(candidates), candidates.machine
    for device in devices:
        for precision in machine.precisions(device):
            yield _torch(candidates, device, precision, f"torch{device_suffix(device)}-{precision}")
    if CPU in devices and not machine.bf16:
        yield LeftOut(name="torch-bf16", why="this CPU has no bf16 instructions")


def find_variants(candidates: Candidates) -> Found:
    """Yield the bundle's variants; DeviceError where none has its device here."""
    bundle, devices, left_out = candidates.bundle, choose_devices(candidates), []
    ours = bundle.manifest.variants
    for variant in ours:
        place = first_device(variant.providers)
        if place is not None and place in devices:
            yield _variant(candidates, variant, place)
        else:
            left_out.append(LeftOut(name=variant.name, why=_why(variant, candidates.device)))
    if len(left_out) == len(ours):
        raise DeviceError(
            f"{bundle.folder} has no variant for {' or '.join(each.name for each in devices)}; "
            + ", ".join(f"{item.name}: {item.why}" for item in left_out)
        )
    yield from left_out


def find_rivals(candidates: Candidates) -> Found:
    """Yield torch.compile, in the fastest precision, and what people run texts through.

    That is transformers' pipeline, and for embeddings sentence-transformers.
    """
    task, machine, base = candidates.base.model.task, candidates.machine, candidates.base
    embeds = task.labels_are is LabelKind.VECTOR
    rival = "sentence-transformers" if embeds else "pipeline"
    for device in choose_devices(candidates):
        compiled, other = (
            f"torch{device_suffix(device)}-compile",
            f"{rival}{device_suffix(device)}-fp32",
        )
        spec = _torch(candidates, device, machine.precisions(device)[-1], compiled)
        if candidates.quick:
            yield from (LeftOut(name=name, why=QUICK) for name in (compiled, other))
            continue
        if machine.compiler:
            scratch = str(Path(base.scratch) / compiled)
            opening = replace(spec.open, engine="compile", scratch=scratch)
            yield replace(spec, open=opening, starts=1)
        else:
            fix = "apt-get install g++"
            yield LeftOut(name=compiled, why="there is no C++ compiler", fix=fix)
        if task.labels_are is LabelKind.INTENT_AND_TAGS:
            yield LeftOut(name=other, why=ALONE)
        elif embeds and importlib.util.find_spec("sentence_transformers") is None:
            fix = "pip install sentence-transformers"
            yield LeftOut(name=other, why="it is not installed", fix=fix)
        else:
            yield replace(
                spec,
                name=other,
                kind=rival,
                precision="fp32",
                open=replace(spec.open, engine=rival, precision="fp32"),
                batching=SENTENCES_BATCHING if embeds else PIPELINE_BATCHING,
                packages=(*TORCH_PACKAGES, rival) if embeds else TORCH_PACKAGES,
                takes=("texts",),
            )


def find_onnx(exported: Exported, base: Open, tokenizer_bytes: int) -> Found:
    """Yield Optimum's pipelines and plain onnxruntime on the graphs that could be made."""
    graphs = (exported.exported, exported.int8, exported.exported)
    for name, graph in zip(ONNX_ENGINES, graphs, strict=True):
        kind, precision = name.split("-")
        optimum = kind == "optimum"
        if base.model.task.labels_are is LabelKind.SPANS and not optimum:
            yield LeftOut(name=name, why=NO_WINDOWS)
        elif graph is None:
            yield LeftOut(name=name, why=exported.problem or "it could not be exported")
        else:
            path = Path(graph)
            yield EngineSpec(
                name=name,
                kind=kind,
                device=CPU.name,
                precision=precision,
                open=replace(
                    base,
                    engine=kind,
                    path=str(path.parent if optimum else path),
                    variant=path.name,
                    precision=precision,
                ),
                bytes_on_disk=path.stat().st_size + tokenizer_bytes,
                baseline=baseline_of(CPU),
                batching=PIPELINE_BATCHING,
                packages=(
                    ("optimum-onnx", *ONNXRUNTIME, *TORCH_PACKAGES)
                    if optimum
                    else (*ONNXRUNTIME, "tokenizers")
                ),
            )
    if exported.exported is None:
        yield LeftOut(name=EXPORTED_PROFILE, why=exported.problem or "it has no graph")


def with_noise_controls(specs: Iterable[EngineSpec]) -> tuple[EngineSpec, ...]:
    """Add a second process of each baseline at the end."""
    own = tuple(specs)
    controls = tuple(
        replace(
            spec,
            name=f"{spec.name} again",
            baseline=spec.name,
            noise_control_of=spec.name,
            starts=1,
        )
        for spec in own
        if spec.baseline is None
    )
    return own + controls


def checkpoint_bytes(folder: Path) -> int:
    """Return the bytes of what a program needs of a checkpoint: weights, tokenizer, config."""
    files = [*folder.glob("model*.safetensors"), folder / "config.json"]
    vocabulary = [folder / name for name in TOKENIZER_FILES if (folder / name).exists()]
    files += vocabulary[:1] if vocabulary and vocabulary[0].name == "tokenizer.json" else vocabulary
    return sum(path.stat().st_size for path in files)


def has_compiler() -> bool:
    """Return whether torch.compile will find a C++ compiler."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), *COMPILERS) if name)


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


def _torch(candidates: Candidates, device: Device, precision: str, name: str) -> EngineSpec:
    folder = candidates.checkpoint.folder
    opening = replace(
        candidates.base, path=str(folder), precision=precision, device=device.name, engine="torch"
    )
    baseline = baseline_of(device)
    return EngineSpec(
        name=name,
        kind="torch",
        device=device.name,
        precision=precision,
        open=opening,
        bytes_on_disk=checkpoint_bytes(folder),
        baseline=None if name == baseline else baseline,
        batching=PACKED,
        packages=TORCH_PACKAGES,
    )


def _variant(candidates: Candidates, variant: Variant, device: Device) -> EngineSpec:
    bundle, base = candidates.bundle, candidates.base
    manifest = bundle.manifest
    size = variant.bytes + manifest.tokenizer.bytes + (bundle.folder / MANIFEST).stat().st_size
    pad_token_id = manifest.model.pad_token_id
    return EngineSpec(
        name=variant.name,
        kind="bundle",
        device=device.name,
        precision=variant.precision,
        open=replace(
            base,
            engine="bundle",
            path=str(bundle.folder.resolve()),
            variant=variant.name,
            precision=variant.precision,
            device=device.name,
            tokenizer=str(bundle.path(manifest.tokenizer).resolve()),
            model=replace(base.model, pad_token_id=pad_token_id),
        ),
        bytes_on_disk=size,
        baseline=baseline_of(device),
        batching="as the predictor packs them, sorted by length",
        packages=("bertedge", *ONNXRUNTIME),
    )


def _find_onnx(
    candidates: Candidates, progress: Progress
) -> tuple[Exported, list[EngineSpec | LeftOut]]:
    """Make Optimum's graphs, and list the engines that run them."""
    base = candidates.base
    why, fix = None, None
    if candidates.quick:
        why = QUICK
    elif base.model.task.labels_are in NO_ONNX:
        why = NO_ONNX[base.model.task.labels_are]
    elif importlib.util.find_spec("optimum") is None:
        why, fix = "Optimum is not installed", "pip install 'bertedge[export]'"
    else:
        progress.say("exporting the checkpoint by Optimum, for the engines that run it so")
        folder = Path(base.scratch) / "exports"
        folder.mkdir()
        request = Export(checkpoint=base.path, task=base.model.task, folder=str(folder))
        try:
            command = python_command("bertedge.bench.worker")
            with Worker(command, threads=base.threads) as worker:
                answer = worker.ask(request, timeout_s=EXPORT_TIMEOUT_S)
            assert isinstance(answer, Exported)
            return answer, [*find_onnx(answer, base, Path(base.tokenizer).stat().st_size)]
        except WorkerError as error:
            why = f"the export {error}"
    names = (*ONNX_ENGINES, EXPORTED_PROFILE)
    return Exported(), [LeftOut(name=name, why=why, fix=fix) for name in names]


def _prepare(found: Iterable[EngineSpec | LeftOut], base: Open, progress: Progress) -> Found:
    """Run what peers need to be made before, and weigh what it made."""
    for each in found:
        if isinstance(each, LeftOut):
            yield each
        elif each.prepare is None or each.made is None:
            yield replace(each, bytes_on_disk=checkpoint_bytes(Path(each.open.path)))
        else:
            progress.say(f"preparing {each.name}")
            made = Path(each.made)
            made.mkdir()
            try:
                run_to_end(each.prepare, timeout_s=PREPARE_TIMEOUT_S)
            except WorkerError as error:
                yield LeftOut(name=each.name, why=f"its preparation failed: {error}")
                continue
            files = (path for path in made.rglob("*") if path.is_file())
            size = sum(path.stat().st_size for path in [*files, Path(base.tokenizer)])
            yield replace(each, bytes_on_disk=size)


def _why(variant: Variant, device: str) -> str:
    place = first_device(variant.providers)
    if place is None:
        return f"bench cannot run {', '.join(variant.providers)}"
    return f"needs {place.name}, " + (
        "which PyTorch does not see here" if device == AUTO else f"--device is {device}"
    )


def _some(labels: Iterable[str]) -> str:
    names = list(labels)
    return f"{len(names)} labels ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
