import sys
from collections import Counter
from pathlib import Path

import pytest

from bertedge.bench.process import Worker, WorkerError
from bertedge.bench.protocol import Profiled, ProfileGraph
from bertedge.bench.scenarios.profile import describe_profile, sum_operators

COMMAND = (sys.executable, "-m", "bertedge.bench.worker")


def request(model: Path, runs: int = 4) -> ProfileGraph:
    rows = (tuple(range(9, 25)),)
    return ProfileGraph(
        model=str(model),
        threads=1,
        rows=rows,
        runs=runs,
    )


def test_a_graph_is_profiled_by_operator_and_what_is_none_says_why(bundle: Path, tmp_path: Path):
    onnx = pytest.importorskip("onnx", reason="needs the export extra")
    with Worker(COMMAND, threads=1) as worker:
        asked = request(bundle / "cpu-fp32.onnx")
        profiled = worker.ask(asked, Profiled, timeout_s=60)
        (tmp_path / "no.onnx").write_bytes(b"no graph")
        with pytest.raises(WorkerError, match=r"no\.onnx"):
            worker.ask(request(tmp_path / "no.onnx"), Profiled, timeout_s=60)
    assert min(each.ms for each in profiled.operators) >= 0
    whole = describe_profile(profiled, asked)
    assert whole.workload == "1x16"
    assert sum(each.share for each in whole.operators) == pytest.approx(1)
    assert sum(each.ms for each in whole.operators) == pytest.approx(whole.total_ms)
    times = [each.ms for each in whole.operators]
    assert times == sorted(times, reverse=True)
    # LayerNormalization is neither folded nor fused away at load: as many calls as nodes.
    nodes = Counter(node.op_type for node in onnx.load(bundle / "cpu-fp32.onnx").graph.node)
    calls = {each.name: each.calls for each in whole.operators}
    assert calls["LayerNormalization"] == nodes["LayerNormalization"] > 0


def test_runs_that_warm_up_do_not_count():
    def node(op: str, at: int, us: int, kind: str = "kernel_time") -> dict[str, object]:
        return {"cat": "Node", "name": f"n_{kind}", "ts": at, "dur": us, "args": {"op_name": op}}

    def run(at: int) -> dict[str, object]:
        return {"cat": "Session", "name": "model_run", "ts": at, "dur": 50, "args": {}}

    events = [
        *(run(0), node("Add", 1, 1000)),
        *(run(100), node("Add", 101, 10), node("MatMul", 120, 30)),
        *(run(200), node("Add", 201, 14), node("MatMul", 220, 40, "fence_before")),
    ]
    found = sum_operators(events, runs=2)
    assert [(each.name, each.calls, each.ms) for each in found] == [
        ("MatMul", 1, 0.03),
        ("Add", 2, 0.024),
    ]
