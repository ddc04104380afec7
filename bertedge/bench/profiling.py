"""Where the time of a graph goes, operator by operator."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime:
    """All nodes of one operator together."""

    name: str
    """As onnxruntime runs it, after its own fusions at load."""
    calls: int
    """A run."""
    ms: float
    """A run."""
    share: float
    """Of all operators' time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Where the time of a graph goes, from onnxruntime's own profiler."""

    graph: str
    """The variant, or "exported"."""
    stage: str
    """"exported" (as it leaves PyTorch), "fused" or "int8"."""
    workload: str
    """Such as "1x128"."""
    runs: int
    total_ms: float
    """Of all operators, a run; the profiler itself makes runs slower than a timed one."""
    operators: tuple[OperatorTime, ...]
    """Longest first."""
