"""What changes to an int8 graph are worth, each against the graph as it is.

usage: python benchmarks/graph_variants.py NAME GRAPH.onnx WORK

GRAPH is an int8 graph that asks for its mask in every run (before `no-mask-without-padding`).
Variants: without the mask (exact where no row is padded); the attention as MatMulIntegerToFloat and
MultiHeadAttention instead of one QAttention; both; optimized ahead by onnxruntime and loaded as it
is. Each in a process of its own, taking turns in rounds.
Adds NAME to benchmarks/graph_variants.json: load time, and at each size the
median of the rounds' ratios to the graph as it is (below 1 is faster).
"""

import copy
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RESULT = HERE / "graph_variants.json"
GRID = ("1 16", "1 128", "8 128")
ROUNDS = 7
TURN_S = 0.4
KEPT_APART = ["SkipLayerNormFusion"]


def child(path: str, threads: int) -> None:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if path.endswith("ahead.onnx"):
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    began = time.perf_counter()
    session = onnxruntime.InferenceSession(path, options, disabled_optimizers=KEPT_APART)
    print(json.dumps(time.perf_counter() - began), flush=True)
    names = [each.name for each in session.get_inputs()]
    for line in sys.stdin:
        batch, length = map(int, line.split())
        ids = np.random.default_rng(0).integers(1000, 20000, (batch, length))
        values = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        feed = {name: values.get(name, np.zeros_like(ids)) for name in names}
        session.run(None, feed)
        samples = []
        end = time.perf_counter() + TURN_S
        while len(samples) < 5 or time.perf_counter() < end:
            began = time.perf_counter()
            session.run(None, feed)
            samples.append(time.perf_counter() - began)
        print(json.dumps(statistics.median(samples)), flush=True)


def make(source: Path, folder: Path) -> dict[str, Path]:
    import onnx
    import onnxruntime

    plain = onnx.load(source)
    models = {"as-is": plain, "no-mask": without_mask(plain)}
    models["split-attention"] = split_attention(plain)
    models["split-attention-no-mask"] = without_mask(models["split-attention"])
    paths = {}
    for name, model in models.items():
        paths[name] = folder / f"{name}.onnx"
        onnx.save(model, paths[name])
    paths["optimized-ahead"] = folder / "optimized-ahead.onnx"
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(paths["optimized-ahead"])
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(source), options, disabled_optimizers=KEPT_APART)
    return paths


def without_mask(model):
    model = copy.deepcopy(model)
    place = {"QAttention": 5, "MultiHeadAttention": 4}
    for node in model.graph.node:
        if node.op_type in place:
            node.input[place[node.op_type]] = ""
    return model


def split_attention(model):
    import numpy as np
    from onnx import helper, numpy_helper

    model = copy.deepcopy(model)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "QAttention":
            nodes.append(node)
            continue
        x, w, bias, x_scale, w_scale, mask, x_zero, w_zero = node.input[:8]
        made = node.output[0]
        hidden = weights[w].dims[0]
        parts = numpy_helper.from_array(np.full(3, hidden, np.int64), f"{made}_parts")
        model.graph.initializer.append(parts)
        heads = next(a.i for a in node.attribute if a.name == "num_heads")
        qkv = [f"{made}_{part}" for part in "qkv"]
        nodes += [
            helper.make_node(
                "MatMulIntegerToFloat",
                [x, w, x_scale, w_scale, x_zero, w_zero, bias],
                [f"{made}_all"],
                domain="com.microsoft",
            ),
            helper.make_node("Split", [f"{made}_all", parts.name], qkv, axis=2),
            helper.make_node(
                "MultiHeadAttention",
                [*qkv, "", mask],
                [made],
                domain="com.microsoft",
                num_heads=heads,
            ),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def main(name: str, graph: str, folder: str) -> None:
    from provenance import provenance

    from bertedge.runtime import machine

    work = Path(folder)
    work.mkdir(parents=True, exist_ok=True)
    workers, rows = {}, {}
    for variant, path in make(Path(graph), work).items():
        command = [sys.executable, __file__, "child", str(path), str(machine.cores())]
        workers[variant] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        rows[variant] = {"load_ms": round(json.loads(workers[variant].stdout.readline()) * 1000, 1)}
    for cell in GRID:
        rounds = {variant: [] for variant in workers}
        for _ in range(ROUNDS):
            for variant, worker in workers.items():
                worker.stdin.write(cell + "\n")
                worker.stdin.flush()
                rounds[variant].append(json.loads(worker.stdout.readline()))
        for variant, values in rounds.items():
            ratios = [v / base for v, base in zip(values, rounds["as-is"], strict=True)]
            rows[variant][cell.replace(" ", "x")] = round(statistics.median(ratios), 3)
    for worker in workers.values():
        worker.communicate()
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {"graphs": {}}
    record |= {
        **provenance(__file__, "onnxruntime"),
    }
    record["graphs"][name] = rows
    RESULT.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    if sys.argv[1] == "child":
        child(sys.argv[2], int(sys.argv[3]))
    else:
        main(*sys.argv[1:])
