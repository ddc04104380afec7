"""Where the time of a graph goes, operator by operator: onnxruntime's own profile of it."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from bertedge.bench.messages import Operator, Profiled, ProfileGraph
from bertedge.runtime.providers import CPU


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


WARM_UP_RUNS = 5


def profile(request: ProfileGraph) -> Profiled:
    """Run the graph under the profiler; its first runs are not counted."""
    import tempfile

    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request.threads
    options.enable_profiling = True
    if request.optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    with tempfile.TemporaryDirectory(prefix="bertedge-profile-") as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(
            request.model,
            options,
            providers=[CPU.provider],
            disabled_optimizers=list(request.disabled_optimizers),
        )
        ids = np.array(request.rows, np.int64)
        arrays = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        types = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
        feed = {
            each.name: arrays.get(each.name, np.zeros_like(ids)).astype(types[each.type])
            for each in session.get_inputs()
        }
        for _ in range(WARM_UP_RUNS + request.runs):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return Profiled(operators=sum_operators(events, request.runs))


def sum_operators(events: list[dict[str, object]], runs: int) -> tuple[Operator, ...]:
    """Add up the nodes' times of the last `runs` runs, by operator, longest first."""
    ends = [event for event in events if event.get("name") == "model_run"]
    counted = sorted(float(str(event["ts"])) for event in ends)[-runs:]
    since = counted[0] if counted else 0.0
    calls: dict[str, int] = defaultdict(int)
    times_us: dict[str, float] = defaultdict(float)
    for event in events:
        arguments = event.get("args")
        if event.get("cat") != "Node" or not isinstance(arguments, dict):
            continue
        if not str(event["name"]).endswith("_kernel_time") or float(str(event["ts"])) < since:
            continue
        calls[str(arguments["op_name"])] += 1
        times_us[str(arguments["op_name"])] += float(str(event["dur"]))
    return tuple(
        Operator(name=name, calls=calls[name], ms=times_us[name] / 1000)
        for name in sorted(times_us, key=lambda name: -times_us[name])
    )


def describe_profile(
    profiled: Profiled, *, graph: str, stage: str, workload: str, runs: int
) -> Profile:
    """Turn a worker's sums over all runs into figures of one run."""
    total_ms = sum(each.ms for each in profiled.operators)
    return Profile(
        graph=graph,
        stage=stage,
        workload=workload,
        runs=runs,
        total_ms=total_ms / runs,
        operators=tuple(
            OperatorTime(
                name=each.name,
                calls=round(each.calls / runs),
                ms=each.ms / runs,
                share=each.ms / total_ms,
            )
            for each in profiled.operators
        ),
    )
