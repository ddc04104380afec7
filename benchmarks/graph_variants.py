"""What changes to an int8 graph are worth, each against the graph as the quantizer leaves it.

usage: python benchmarks/graph_variants.py NAME CHECKPOINT WORK BUNDLE

Variants: optimized ahead by onnxruntime and loaded as it is; what a bundle ships, with weights in a
file of their own, for padded batches and for others; both in one graph, as branches of an If;
the attention as one product and MultiHeadAttention, which without a mask has a kernel for long
texts (flash attention), instead of QAttention; the bias of the first
feed-forward added by the product instead of by the activation. BUNDLE, of the same checkpoint,
gives the tokens. Each in a process of its own, taking
turns in rounds, on batches without padding. Adds NAME to benchmarks/graph_variants.json: load time,
resident memory after it, and at each size the median of the rounds' ratios to the graph as it is
(below 1 is faster).
"""

import json
import sys
from pathlib import Path

from engines import GRAPH, HERE, engine, grid, ratios_to, take_turns
from provenance import provenance

from bertedge.bench.runner import EngineRunner
from bertedge.bundle import open_bundle

RESULT = HERE / "graph_variants.json"
GRID = ((1, 16), (1, 128), (8, 128), (1, 384), (1, 512))
ROUNDS = 5
TURN_S = 0.4
DOMAIN = "com.microsoft"
AS_IS = "as-is"


def make(checkpoint: str, folder: Path) -> dict[str, Path]:
    import onnx

    from bertedge.checkpoint import load_model, open_checkpoint
    from bertedge.export.graph.fusion import fuse, infer_shapes
    from bertedge.export.graph.passes import add_bias_in_products, drop_mask, run_passes
    from bertedge.export.graph.serialize import SavedGraph, finish, optimize
    from bertedge.export.graph.torch_export import export_graph
    from bertedge.export.graph.values import save, to_proto
    from bertedge.export.quantization.dynamic import quantize_dynamic

    opened = open_checkpoint(checkpoint)
    model = load_model(opened)
    exported = export_graph(model, folder / "exported", task=opened.model.task, opset=17)
    fused = fuse(exported, model.config, folder / "fused").model
    run_passes(fused, pair=False)
    floats = folder / "float.onnx"
    save(infer_shapes(fused, folder), floats)
    plain = folder / "model.onnx"
    save(quantize_dynamic(floats, model.config, folder / "quantized").model, plain)
    shipped = finish(SavedGraph(path=plain, precision="int8", passes=()), folder / "shipped")
    paths = {
        "as-is": plain,
        "shipped-padded": shipped.folder / shipped.model.file,
        "shipped-unpadded": shipped.folder / shipped.unpadded.file,
    }
    changes = {
        "optimized-ahead": ((), None),
        "both-in-one-if": ((), branch_on_padding),
        "no-mask-split-attention": ((drop_mask,), split_attention),
        "no-mask-bias-in-product": ((drop_mask, add_bias_in_products), None),
    }
    for name, (passes, rewrite) in changes.items():
        changed = optimize(plain, folder)
        for each in passes:
            each(changed)
        proto = to_proto(changed)
        if rewrite is not None:
            rewrite(proto)
        paths[name] = folder / f"{name}.onnx"
        onnx.save(proto, paths[name])
    return paths


def branch_on_padding(model) -> None:
    """Put the graph with the mask and the one without into the branches of an If."""
    import numpy as np
    import onnx_ir
    from onnx import TensorProto, helper, numpy_helper

    from bertedge.export.graph.passes import drop_mask
    from bertedge.export.graph.values import to_proto

    graph = model.graph
    unmasked = onnx_ir.from_proto(model)
    drop_mask(unmasked)
    plain = to_proto(unmasked)
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


def main(name: str, checkpoint: str, folder: str, given: str) -> None:
    bundle = open_bundle(Path(given))
    work = Path(folder)
    work.mkdir(parents=True)
    specs = [
        engine(
            variant, "graph", path, bundle,
            command=GRAPH, takes=("tokens",), variant="" if variant == AS_IS else "optimized",
        )
        for variant, path in make(checkpoint, work).items()
    ]  # fmt: skip
    workloads = grid(GRID, bundle)
    runners = take_turns(specs, workloads, rounds=ROUNDS, turn_s=TURN_S)
    rows = {}
    for variant, runner in runners.items():
        assert runner.opened is not None
        rows[variant] = {
            "load_ms": round(runner.opened.load_s * 1000, 1),
            "memory_mib": round(runner.memory[0].resident_bytes / 2**20, 1),
        }
    for workload in workloads:
        for variant, row in ratios_to(runners, AS_IS, workload.name).items():
            rows[variant][workload.name] = row["times_of_ours"]
    for variant, runner in runners.items():
        rows[variant]["same_answers"] = logits_of(runner) == logits_of(runners[AS_IS])
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {"models": {}}
    record |= provenance(__file__, "onnxruntime")
    record["models"][name] = rows
    RESULT.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(rows, indent=2))


def logits_of(runner: EngineRunner) -> list[list[float]]:
    return [each.values.tolist() for ready in runner.ready.values() for each in ready.outputs]


if __name__ == "__main__":
    main(*sys.argv[1:])
