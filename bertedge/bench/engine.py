"""An engine of a bench: what it is, and how to start its process."""

from dataclasses import dataclass

from bertedge.bench.process import python_command
from bertedge.bench.protocol import Open
from bertedge.runtime.providers import CPU, Device

BOTH = ("tokens", "texts")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """An engine, and how to start its process."""

    name: str
    kind: str
    """"torch", "pipeline", "optimum", "onnxruntime", "bundle", or what a peer's file says."""
    device: str
    precision: str
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
    prepare: tuple[str, ...] | None = None
    """A command to run before, once."""
    made: str | None = None
    """A folder that `prepare` fills with what the engine needs on disk."""


def baseline_of(device: Device) -> str:
    """Return the name of the engine that those of a device are compared with."""
    return f"torch{device_suffix(device)}-fp32"


def device_suffix(device: Device) -> str:
    """Return what the name of an engine ends with for its device."""
    return "" if device is CPU else f"-{device.name}"
