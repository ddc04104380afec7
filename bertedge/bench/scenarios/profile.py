"""Where the time of a graph goes, operator by operator: onnxruntime's own profile of it.

The exported graph, the fused and the int8 one are profiled, to show what fusion and int8 did.
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bertedge.bench.config import ScenarioConfig
from bertedge.bench.process import Worker, WorkerError, python_command
from bertedge.bench.protocol import Exported, Operator, Profiled, ProfileGraph
from bertedge.bench.report import OperatorTime, Profile
from bertedge.bench.runner import Measurement
from bertedge.bench.workloads import Cell, token_workload
from bertedge.bundle import Bundle
from bertedge.runtime.providers import CPU, first_device

WARM_UP_RUNS = 5
LENGTH = 128
"""Tokens of the one row that is profiled, or as many as the model reads."""
BY_OPTIMUM = ("SkipLayerNormFusion",)
"""onnxruntime's own fusion at load that would undo the choice made for the CPU."""


def find_graphs(
    bundle: Bundle, exported: Exported, tokens: Sequence[int], settings: ScenarioConfig
) -> tuple[ProfileGraph, ...]:
    """List the exported graph, the fused one and the int8 one, as far as they are there.

    The fused graph is the bundle's fp32 variant; a bundle without one shows Optimum's fusion.
    """
    if not settings.profile_runs:
        return ()
    cell = Cell(batch=1, length=min(LENGTH, bundle.manifest.model.max_length))
    rows = token_workload(cell, tokens, seed=settings.seed).batches[0]
    runs = settings.profile_runs
    common = ProfileGraph(model="", threads=settings.threads, rows=rows, runs=runs)
    found = []
    if exported.exported:
        found.append(replace(common, graph="exported", stage="exported", model=exported.exported))
    own = []
    for variant in bundle.manifest.variants:
        if variant.precision in ("fp32", "int8") and first_device(variant.providers) is CPU:
            graph = replace(
                common,
                graph=variant.name,
                stage="int8" if variant.precision == "int8" else "fused",
                # The graph that a single text runs on.
                model=str(bundle.path(variant.unpadded or variant.model).resolve()),
                disabled_optimizers=variant.disabled_optimizers,
                optimized=variant.optimized,
            )
            own.append(graph)
    if exported.fused and not any(each.stage == "fused" for each in own):
        fused = replace(common, graph="fused by Optimum", stage="fused", model=exported.fused)
        found.append(replace(fused, disabled_optimizers=BY_OPTIMUM))
    return (*found, *sorted(own, key=lambda each: each.stage))  # fused, then int8


def profile_all(measurement: Measurement, graphs: Sequence[ProfileGraph]) -> None:
    """Profile each graph in a process of its own; one that fails is noted."""
    settings = measurement.settings
    if graphs:
        measurement.begin("profiles", f"{len(graphs)} graphs", len(graphs), "graphs")
    for each in graphs:
        try:
            command = python_command("bertedge.bench.worker")
            with Worker(command, threads=settings.threads) as worker:
                profiled = worker.ask(each, Profiled, timeout_s=settings.timeout_s)
        except WorkerError as error:
            measurement.unprofiled[each.graph] = str(error)
            continue
        finally:
            measurement.progress.advance(1, each.graph)
        if profiled.operators:
            measurement.profiles.append(describe_profile(profiled, each))


def describe_profile(profiled: Profiled, request: ProfileGraph) -> Profile:
    """Turn a worker's sums over all runs into figures of one run."""
    runs, total_ms = request.runs, sum(each.ms for each in profiled.operators)
    operators = tuple(
        OperatorTime(
            name=each.name,
            calls=round(each.calls / runs),
            ms=each.ms / runs,
            share=each.ms / total_ms,
        )
        for each in profiled.operators
    )
    return Profile(
        graph=request.graph,
        stage=request.stage,
        workload=f"{len(request.rows)}x{len(request.rows[0])}",
        runs=runs,
        total_ms=total_ms / runs,
        operators=operators,
    )


def profile(request: ProfileGraph) -> Profiled:
    """Run the graph under the profiler, in the worker; its first runs are not counted."""
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


def sum_operators(events: Sequence[Mapping[str, object]], runs: int) -> tuple[Operator, ...]:
    """Add up the nodes' times of the last `runs` runs, by operator, longest first."""
    ends = [float(str(event["ts"])) for event in events if event.get("name") == "model_run"]
    since = min(sorted(ends)[-runs:], default=0.0)
    times_us = defaultdict[str, list[float]](list)
    for event in events:
        arguments, kernel = event.get("args"), str(event["name"]).endswith("_kernel_time")
        counts = kernel and event.get("cat") == "Node" and float(str(event["ts"])) >= since
        if counts and isinstance(arguments, dict):
            times_us[str(arguments["op_name"])].append(float(str(event["dur"])))
    found = [Operator(name=name, calls=len(us), ms=sum(us) / 1000) for name, us in times_us.items()]
    return tuple(sorted(found, key=lambda each: -each.ms))
