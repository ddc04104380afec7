"""Where the time of a graph goes, operator by operator: onnxruntime's own profile of it.

The exported graph, the fused and the int8 one are profiled, to show what fusion and int8 did.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bertedge.bench.config import ScenarioConfig
from bertedge.bench.process import Worker, WorkerError, python_command
from bertedge.bench.protocol import Exported, Operator, Profiled, ProfileGraph
from bertedge.bench.report import OperatorTime, Profile
from bertedge.bench.runner import Measurement
from bertedge.bench.workloads import Cell, token_workload
from bertedge.bundle import Bundle, Variant
from bertedge.runtime.providers import CPU, first_device

WARM_UP_RUNS = 5
LENGTH = 128
"""Tokens of the one row that is profiled, or as many as the model reads."""
BY_OPTIMUM = ("SkipLayerNormFusion",)
"""onnxruntime's own fusion at load that would undo the choice made for the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphToProfile:
    """A graph, and what it is a stage of."""

    graph: str
    stage: str
    workload: str
    request: ProfileGraph


def find_graphs(
    bundle: Bundle, exported: Exported, tokens: Sequence[int], settings: ScenarioConfig
) -> tuple[GraphToProfile, ...]:
    """List the exported graph, the fused one and the int8 one, as far as they are there.

    The fused graph is the bundle's fp32 variant; a bundle without one shows Optimum's fusion.
    """
    if not settings.profile_runs:
        return ()
    cell = Cell(batch=1, length=min(LENGTH, bundle.manifest.model.max_length))
    rows = token_workload(cell, tokens, seed=settings.seed).batches[0]
    runs = settings.profile_runs
    common = ProfileGraph(model="", threads=settings.threads, rows=rows, runs=runs)

    def graph(name: str, stage: str, request: ProfileGraph) -> GraphToProfile:
        return GraphToProfile(graph=name, stage=stage, workload=cell.name, request=request)

    on_cpu = [each for each in bundle.manifest.variants if first_device(each.providers) is CPU]
    found = []
    if exported.exported:
        found.append(graph("exported", "exported", replace(common, model=exported.exported)))
    if exported.fused and not any(variant.precision == "fp32" for variant in on_cpu):
        fused = replace(common, model=exported.fused, disabled_optimizers=BY_OPTIMUM)
        found.append(graph("fused by Optimum", "fused", fused))
    for precision, stage in (("fp32", "fused"), ("int8", "int8")):
        found += [
            graph(variant.name, stage, _request(bundle, variant, common))
            for variant in on_cpu
            if variant.precision == precision
        ]
    return tuple(found)


def profile_all(measurement: Measurement, graphs: Sequence[GraphToProfile]) -> None:
    """Profile each graph in a process of its own; one that fails is noted."""
    settings = measurement.settings
    if graphs:
        measurement.begin("profiles", f"{len(graphs)} graphs", len(graphs), "graphs")
    for each in graphs:
        try:
            command = python_command("bertedge.bench.worker")
            with Worker(command, threads=settings.threads) as worker:
                answer = worker.ask(each.request, Profiled, timeout_s=settings.timeout_s)
        except WorkerError as error:
            measurement.unprofiled[each.graph] = str(error)
            continue
        finally:
            measurement.progress.advance(1, each.graph)
        if answer.operators:
            measurement.profiles.append(describe_profile(answer, each))


def describe_profile(profiled: Profiled, graph: GraphToProfile) -> Profile:
    """Turn a worker's sums over all runs into figures of one run."""
    runs = graph.request.runs
    total_ms = sum(each.ms for each in profiled.operators)
    return Profile(
        graph=graph.graph,
        stage=graph.stage,
        workload=graph.workload,
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


def profile(request: ProfileGraph) -> Profiled:
    """Run the graph under the profiler, in the worker; its first runs are not counted."""
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


def _request(bundle: Bundle, variant: Variant, common: ProfileGraph) -> ProfileGraph:
    """Take the graph that a single text runs on."""
    return replace(
        common,
        model=str(bundle.path(variant.unpadded or variant.model).resolve()),
        disabled_optimizers=variant.disabled_optimizers,
        optimized=variant.optimized,
    )
