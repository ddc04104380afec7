"""Which engines there are to compare: PyTorch in its precisions, and the bundle's variants."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertedge.bench.config import FILLS_MASKS
from bertedge.bench.messages import Open
from bertedge.bench.process import python_command
from bertedge.bundle import MANIFEST, Bundle, Variant
from bertedge.errors import BundleError, DeviceError
from bertedge.runtime.machine import BF16_FLAGS
from bertedge.runtime.providers import AUTO, CPU, DEVICES, Device, find_devices, first_device
from bertedge.spec import Task

if TYPE_CHECKING:
    from bertedge.checkpoint import Checkpoint

BOTH = ("tokens", "texts")
PACKED = "batches of a token budget, sorted by length"
TORCH_PACKAGES = ("torch", "transformers", "safetensors")
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """An engine, and how to start its process."""

    name: str
    kind: str
    """"torch", "pipeline", "optimum", "onnxruntime", "bundle", or what a peer's file says."""
    device: str
    precision: str
    command: tuple[str, ...]
    """Starts a worker that speaks `bertedge.bench.protocol`."""
    open: Open
    """What it is told first."""
    bytes_on_disk: int
    """Of weights or graph, tokenizer, and config or manifest."""
    baseline: str | None
    """Name of the engine it is compared with; None for a baseline."""
    batching: str
    """How it labels many texts at once, where it does not tell itself."""
    takes: tuple[str, ...] = BOTH
    """"tokens", "texts" or both: the workloads it can be given."""
    packages: tuple[str, ...] = ()
    """Distributions that it needs, without what those need in turn."""
    starts: int | None = None
    """Cold starts, where it should have fewer than the others."""
    noise_control_of: str | None = None
    """The baseline that this is a second process of, to measure the machine's noise."""
    prepare: tuple[str, ...] | None = None
    """A command to run before, once."""
    made: str | None = None
    """A folder that `prepare` fills with what the engine needs on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """An engine that is not run."""

    name: str
    why: str
    fix: str | None = None
    """The command that would bring it, where one would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineup:
    """The engines of a bench."""

    specs: tuple[EngineSpec, ...]
    left_out: tuple[LeftOut, ...]


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


def check_comparable(bundle: Bundle, checkpoint: "Checkpoint") -> None:
    """Raise BundleError where the two do not give the same labels for the same task."""
    ours, theirs = bundle.manifest, checkpoint
    if ours.model.task is Task.FILL_MASK:
        raise BundleError(f"{bundle.folder} cannot be measured: {FILLS_MASKS}")
    if ours.model.task != theirs.model.task:
        raise BundleError(
            f"{bundle.folder} is for {ours.model.task}, the baseline {theirs.name} for "
            f"{theirs.model.task}; "
            "give the checkpoint that the bundle was made from"
        )
    if ours.model.labels != theirs.model.labels:
        raise BundleError(
            f"{bundle.folder} has {_some(ours.model.labels)}, the baseline {theirs.name} "
            f"{_some(theirs.model.labels)}; give the checkpoint that the bundle was made from"
        )


def find_engines(
    bundle: Bundle, checkpoint: "Checkpoint", base: Open, machine: Machine, *, device: str
) -> Lineup:
    """List PyTorch and the variants for `device` ("auto": all there are with a variant).

    `base` is what every engine is told alike: threads, task, first text, and the baseline's
    tokenizer. Raises SettingError or DeviceError where nothing could be compared.
    """
    devices = choose_devices(bundle, machine, device)
    specs, left_out = [], []
    for each in devices:
        specs += [_torch(checkpoint, base, each, p) for p in machine.precisions(each)]
    if CPU in devices and not machine.bf16:
        left_out.append(LeftOut(name="torch-bf16", why="this CPU has no bf16 instructions"))
    for variant in bundle.manifest.variants:
        place = first_device(variant.providers)
        if place in devices:
            specs.append(_variant(bundle, variant, base, place))
        else:
            left_out.append(LeftOut(name=variant.name, why=_why(variant, device)))
    if not any(spec.kind == "bundle" for spec in specs):
        raise DeviceError(
            f"{bundle.folder} has no variant for {' or '.join(each.name for each in devices)}; "
            + ", ".join(f"{item.name}: {item.why}" for item in left_out)
        )
    return Lineup(specs=tuple(specs), left_out=tuple(left_out))


def with_noise_controls(specs: Iterable[EngineSpec]) -> tuple[EngineSpec, ...]:
    """Add a second process of each baseline at the end."""
    own = tuple(specs)
    twins = tuple(
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
    return own + twins


def checkpoint_bytes(folder: Path) -> int:
    """Sum what a program needs of a checkpoint: weights, tokenizer, config."""
    files = [*folder.glob("model*.safetensors"), folder / "config.json"]
    vocabulary = [folder / name for name in TOKENIZER_FILES if (folder / name).exists()]
    files += vocabulary[:1] if vocabulary and vocabulary[0].name == "tokenizer.json" else vocabulary
    return sum(path.stat().st_size for path in files)


def choose_devices(bundle: Bundle, machine: Machine, device: str) -> tuple[Device, ...]:
    """Return the devices to compare on, of those that are there; "auto": all with a variant."""
    asked = find_devices(device)
    if device != AUTO:
        if asked[0] not in machine.devices:
            name = device.upper()
            raise DeviceError(
                f"PyTorch sees no {name} device to compare with; use --device cpu, or install a "
                f"{name} build of torch"
            )
        return asked
    wanted = [first_device(variant.providers) for variant in bundle.manifest.variants]
    return tuple(each for each in machine.devices if each in wanted) or (CPU,)


def _torch(checkpoint: "Checkpoint", base: Open, device: Device, precision: str) -> EngineSpec:
    return EngineSpec(
        name=f"torch{suffix_of(device)}-{precision}",
        kind="torch",
        device=device.name,
        precision=precision,
        command=python_command("bertedge.bench.worker"),
        open=replace(base, path=str(checkpoint.folder), precision=precision, device=device.name),
        bytes_on_disk=checkpoint_bytes(checkpoint.folder),
        baseline=None if precision == "fp32" else baseline_of(device),
        batching=PACKED,
        packages=TORCH_PACKAGES,
    )


def _variant(bundle: Bundle, variant: Variant, base: Open, device: Device) -> EngineSpec:
    manifest = bundle.manifest
    return EngineSpec(
        name=variant.name,
        kind="bundle",
        device=device.name,
        precision=variant.precision,
        command=python_command("bertedge.bench.worker"),
        open=replace(
            base,
            engine="bundle",
            path=str(bundle.folder.resolve()),
            variant=variant.name,
            precision=variant.precision,
            device=device.name,
            tokenizer=str(bundle.path(manifest.tokenizer).resolve()),
            pad_token_id=manifest.model.pad_token_id,
        ),
        bytes_on_disk=variant.bytes
        + manifest.tokenizer.bytes
        + (bundle.folder / MANIFEST).stat().st_size,
        baseline=baseline_of(device),
        batching="as the predictor packs them, sorted by length",
        packages=("bertedge", *(each.package for each in DEVICES)),
    )


def suffix_of(device: Device) -> str:
    """Return what the names of a device's engines have after their kind."""
    return "" if device is CPU else f"-{device.name}"


def baseline_of(device: Device) -> str:
    """Return the name of the engine that those of a device are compared with."""
    return f"torch{suffix_of(device)}-fp32"


def _why(variant: Variant, device: str) -> str:
    needs = first_device(variant.providers)
    if needs is None:
        return f"bench cannot run {', '.join(variant.providers)}"
    return f"needs {needs.name}, " + (
        "which PyTorch does not see here" if device == AUTO else f"--device is {device}"
    )


def _some(labels: Iterable[str]) -> str:
    names = list(labels)
    return f"{len(names)} labels ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
