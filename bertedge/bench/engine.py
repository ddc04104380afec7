"""An engine of a bench: what it is, and how to start its process."""

from dataclasses import dataclass, replace
from pathlib import Path

from bertedge.bench.backends import BACKENDS, BOTH
from bertedge.bench.process import python_command
from bertedge.bench.protocol import Open
from bertedge.runtime.providers import CPU

TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """An engine, and how to start its process."""

    name: str
    kind: str
    """"torch", "pipeline", "optimum", "onnxruntime", "bundle", or what a peer's file says."""
    command: tuple[str, ...] = python_command("bertedge.bench.worker")
    """Starts a worker that speaks `bertedge.bench.protocol`."""
    open: Open
    """What it is told first."""
    bytes_on_disk: int = 0
    """Of weights or graph, tokenizer, and config or manifest."""
    baseline: str | None
    """Name of the engine it is compared with; None for a baseline."""
    batching: str = ""
    """How it makes batches of many texts, where it does not tell itself."""
    takes: tuple[str, ...] = BOTH
    """"tokens", "texts" or both: the workloads it can be given."""
    packages: tuple[str, ...] = ()
    """Distributions that it needs, without what those need in turn."""
    starts: int | None = None
    """Cold starts, where it should have fewer than the others."""
    noise_control_of: str | None = None
    """The baseline that this is a second process of, to measure the machine's noise."""

    @property
    def device(self) -> str:
        """Return the name of its device."""
        return self.open.device

    @property
    def precision(self) -> str:
        """Return what it computes in."""
        return self.open.precision


def own_engine(name: str, backend: str, opening: Open, *, size: int) -> EngineSpec:
    """Return an engine of the table of backends, with what the table says of it."""
    row, baseline = BACKENDS[backend], baseline_of(opening.device)
    packages = tuple(each for name in row.libraries for each in (name, f"{name}-gpu"))
    return EngineSpec(
        name=name,
        kind="torch" if backend == "compile" else backend,
        open=replace(opening, engine=backend),
        bytes_on_disk=size,
        baseline=None if name == baseline else baseline,
        batching=row.batching,
        takes=row.takes,
        packages=packages,
        starts=1 if backend == "compile" else None,
    )


def baseline_of(device: str) -> str:
    """Return the name of the engine that those of a device are compared with."""
    return f"torch{device_suffix(device)}-fp32"


def device_suffix(device: str) -> str:
    """Return what the name of an engine ends with for its device."""
    return "" if device == CPU.name else f"-{device}"


def checkpoint_bytes(folder: Path) -> int:
    """Return the bytes of what a program needs of a checkpoint: weights, tokenizer, config."""
    files = [*folder.glob("model*.safetensors"), folder / "config.json"]
    vocabulary = [folder / name for name in TOKENIZER_FILES if (folder / name).exists()]
    files += vocabulary[:1] if vocabulary and vocabulary[0].name == "tokenizer.json" else vocabulary
    return sum(path.stat().st_size for path in files)
