"""What changes to an int8 graph are worth, each against the graph as the quantizer leaves it.

usage: python benchmarks/graph_variants.py NAME CHECKPOINT WORK

Variants: optimized ahead by onnxruntime and loaded as it is; what a bundle ships, with weights in a
file of their own, for padded batches and for others; both in one graph, as branches of an If;
the attention as one product and MultiHeadAttention instead of QAttention; the bias of the first
feed-forward added by the product instead of by the activation. Each in a process of its own, taking
turns in rounds, on batches without padding. Adds NAME to benchmarks/graph_variants.json: load time,
anonymous memory after it, and at each size the median of the rounds' ratios to the graph as it is
(below 1 is faster).
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RESULT = HERE / "graph_variants.json"
GRID = ("1 16", "1 128", "8 128")
ROUNDS = 5
TURN_S = 0.4
DOMAIN = "com.microsoft"


def child(path: str, optimized: bool, threads: int) -> None:
    import numpy as np

    from bertedge.runtime.session import open_native

    before = anonymous_mib()
    began = time.perf_counter()
    session = open_native(
        path,
        device="cpu",
        threads=threads,
        disabled_optimizers=["SkipLayerNormFusion"],
        optimized=optimized,
    )
    load_ms = (time.perf_counter() - began) * 1000
    memory = anonymous_mib() - before
    print(json.dumps({"load_ms": round(load_ms, 1), "memory_mib": round(memory, 1)}), flush=True)
    names = [each.name for each in session.get_inputs()]
    for line in sys.stdin:
        batch, length = map(int, line.split())
        ids = np.random.default_rng(0).integers(1000, 20000, (batch, length))
        values = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        feed = {name: values.get(name, np.zeros_like(ids)) for name in names}
        (logits,) = session.run(None, feed)
        samples = []
        end = time.perf_counter() + TURN_S
        while len(samples) < 3 or time.perf_counter() < end:
            began = time.perf_counter()
            session.run(None, feed)
            samples.append(time.perf_counter() - began)
        print(json.dumps([statistics.median(samples), logits.tolist()]), flush=True)


def anonymous_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def make(checkpoint: str, folder: Path) -> dict[str, Path]:
    import onnx

    from bertedge.checkpoint import load_model, open_checkpoint
    from bertedge.export.graph.fusion import fuse, infer_shapes
    from bertedge.export.graph.passes import add_bias_in_products, drop_mask, run_passes
    from bertedge.export.graph.serialize import SavedGraph, finish, optimize
    from bertedge.export.graph.torch_export import export_graph
    from bertedge.export.quantization.dynamic import quantize_dynamic

    opened = open_checkpoint(checkpoint)
    model = load_model(opened)
    exported = export_graph(model, folder / "exported", task=opened.model.task, opset=17)
    fused = fuse(exported, model.config, folder / "fused").model
    run_passes(fused, pair=False)
    floats = folder / "float.onnx"
    onnx.save(infer_shapes(fused, folder), floats)
    plain = folder / "model.onnx"
    onnx.save(quantize_dynamic(floats, model.config, folder / "quantized").model, plain)
    shipped = finish(SavedGraph(path=plain, precision="int8", passes=()), folder / "shipped")
    paths = {
        "as-is": plain,
        "shipped-padded": shipped.folder / shipped.model.file,
        "shipped-unpadded": shipped.folder / shipped.unpadded.file,
    }
    changes = {
        "optimized-ahead": (),
        "both-in-one-if": (branch_on_padding,),
        "no-mask-split-attention": (drop_mask, split_attention),
        "no-mask-bias-in-product": (drop_mask, add_bias_in_products),
    }
    for name, steps in changes.items():
        changed = optimize(plain, folder)
        for step in steps:
            step(changed)
        paths[name] = folder / f"{name}.onnx"
        onnx.save(changed, paths[name])
    return paths


def branch_on_padding(model) -> None:
    """Put the graph with the mask and the one without into the branches of an If."""
    import numpy as np
    from onnx import ModelProto, TensorProto, helper, numpy_helper

    from bertedge.export.graph.passes import drop_mask

    graph = model.graph
    plain = ModelProto()
    plain.CopyFrom(model)
    drop_mask(plain)
    result = graph.output[0]
    branches = {}
    for name, nodes in (("then", plain.graph.node), ("else", graph.node)):
        value = helper.make_tensor_value_info(result.name, TensorProto.FLOAT, None)
        branches[f"{name}_branch"] = helper.make_graph(nodes, name, [], [value])
    del graph.node[:], graph.value_info[:]
    graph.initializer.append(numpy_helper.from_array(np.array(1, np.int64), "one"))
    graph.node.extend(
        [
            helper.make_node("ReduceMin", ["attention_mask"], ["least"], keepdims=0),
            helper.make_node("Equal", ["least", "one"], ["unpadded"]),
            helper.make_node("If", ["unpadded"], [f"{result.name}_of_if"], **branches),
        ]
    )
    graph.output[0].name = f"{result.name}_of_if"


def split_attention(model) -> None:
    """Make QAttention one product for query, key and value, and MultiHeadAttention."""
    import numpy as np
    from onnx import helper, numpy_helper

    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        if node.op_type != "QAttention":
            nodes.append(node)
            continue
        x, w, bias, x_scale, w_scale, _, x_zero, w_zero = node.input[:8]
        made = node.output[0]
        parts = np.full(3, weights[w].dims[0], np.int64)
        graph.initializer.append(numpy_helper.from_array(parts, f"{made}_parts"))
        heads = next(a.i for a in node.attribute if a.name == "num_heads")
        qkv = [f"{made}_{part}" for part in "qkv"]
        product = [x, w, x_scale, w_scale, x_zero, w_zero, bias]
        nodes += [
            helper.make_node("MatMulIntegerToFloat", product, [f"{made}_all"], domain=DOMAIN),
            helper.make_node("Split", [f"{made}_all", f"{made}_parts"], qkv, axis=2),
            helper.make_node("MultiHeadAttention", qkv, [made], domain=DOMAIN, num_heads=heads),
        ]
    del graph.node[:]
    graph.node.extend(nodes)


def main(name: str, checkpoint: str, folder: str) -> None:
    from provenance import provenance

    from bertedge.runtime import machine

    work = Path(folder)
    work.mkdir(parents=True)
    workers, rows, answers = {}, {}, {}
    for variant, path in make(checkpoint, work).items():
        optimized = str(int(variant != "as-is"))
        command = [sys.executable, __file__, "child", str(path), optimized, str(machine.cores())]
        workers[variant] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        rows[variant] = json.loads(workers[variant].stdout.readline())
    for cell in GRID:
        rounds = {variant: [] for variant in workers}
        for _ in range(ROUNDS):
            for variant, worker in workers.items():
                worker.stdin.write(cell + "\n")
                worker.stdin.flush()
                seconds, answers[variant] = json.loads(worker.stdout.readline())
                rounds[variant].append(seconds)
        for variant, values in rounds.items():
            ratios = [v / base for v, base in zip(values, rounds["as-is"], strict=True)]
            rows[variant][cell.replace(" ", "x")] = round(statistics.median(ratios), 3)
    for variant, worker in workers.items():
        worker.communicate()
        rows[variant]["same_answers"] = answers[variant] == answers["as-is"]
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {"models": {}}
    record |= provenance(__file__, "onnxruntime")
    record["models"][name] = rows
    RESULT.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    if sys.argv[1] == "child":
        child(sys.argv[2], sys.argv[3] == "1", int(sys.argv[4]))
    else:
        main(*sys.argv[1:])
