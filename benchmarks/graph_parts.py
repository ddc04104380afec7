"""Where the time of one batch goes, part by part: our int8 graph and OpenVINO's.

usage: python benchmarks/graph_parts.py NAME BUNDLE WORK [BATCHxLENGTH]

WORK holds NAME-openvino.xml and the environment `openvino`, as benchmarks/graph_bars.py wants them.
Each in a process of its own, under its own runtime's profiler, one after the other. Operators are
summed by kind, OpenVINO's with the kernel that ran them, which tells the precision. Writes
benchmarks/graph_parts.json.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULT = HERE / "graph_parts.json"
RUNS = 20
LEAST_SHARE = 0.01


def ours(model: str, batch: int, length: int, threads: int) -> dict[str, float]:
    import numpy as np

    from bertedge.bench.protocol import ProfileGraph
    from bertedge.bench.scenarios.profile import profile

    ids = np.random.default_rng(0).integers(1000, 20000, (batch, length))
    request = ProfileGraph(
        model=model,
        optimized=True,
        threads=threads,
        rows=tuple(map(tuple, ids.tolist())),
        runs=RUNS,
    )
    return {each.name: each.ms / RUNS for each in profile(request).operators}


def openvino(model: str, batch: int, length: int, threads: int) -> dict[str, float]:
    import numpy as np
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "PERF_COUNT": "YES",
    }
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    names = [next(iter(port.get_names())) for port in compiled.inputs]
    request = compiled.create_infer_request()
    ids = np.random.default_rng(0).integers(1000, 20000, (batch, length))
    values = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    feed = {name: values.get(name, np.zeros_like(ids)) for name in names}
    parts: dict[str, float] = {}
    for run in range(2 * RUNS):
        request.infer(feed)
        if run < RUNS:
            continue
        for each in request.profiling_info:
            ms = each.real_time.total_seconds() * 1000 / RUNS
            if ms > 0:
                key = f"{each.node_type} {each.exec_type}"
                parts[key] = parts.get(key, 0.0) + ms
    return parts


def ask(python: str, *arguments: str) -> dict[str, float]:
    command = [python, str(Path(__file__)), "child", *arguments]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(out.splitlines()[-1])


def shares(parts: dict[str, float]) -> dict[str, float]:
    total = sum(parts.values())
    kept = {k: ms for k, ms in parts.items() if ms >= LEAST_SHARE * total}
    kept["the rest"] = total - sum(kept.values())
    kept["all"] = total
    return {k: round(ms, 2) for k, ms in sorted(kept.items(), key=lambda item: item[1])}


def main(name: str, bundle: str, work: str, shape: str = "8x128") -> None:
    from provenance import provenance

    from bertedge.bundle import open_bundle
    from bertedge.runtime import machine

    opened = open_bundle(Path(bundle))
    variant = opened.manifest.variants[0]
    graph = str(opened.path(variant.unpadded or variant.model))
    batch, length = shape.split("x")
    threads = str(machine.cores())
    found = {
        "bertedge": ask(sys.executable, "ours", graph, batch, length, threads),
        "openvino": ask(
            str(Path(work, "openvino", "bin", "python")),
            "openvino",
            str(Path(work, f"{name}-openvino.xml")),
            batch,
            length,
            threads,
        ),
    }
    record = {"model": name, "shape": shape, "ms": {k: shares(v) for k, v in found.items()}}
    record |= provenance(__file__, "onnxruntime")
    RESULT.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record["ms"], indent=2))


if __name__ == "__main__":
    if sys.argv[1] == "child":
        kind, model, *numbers = sys.argv[2:]
        print(json.dumps((ours if kind == "ours" else openvino)(model, *map(int, numbers))))
    else:
        main(*sys.argv[1:])
