"""The model alone, tokens to logits: our int8 graph against PyTorch and the peers' graphs.

usage: python benchmarks/graph_bars.py NAME CHECKPOINT BUNDLE WORK

Engines: torch eager fp32; onnxruntime fp32 as exported; Optimum's default int8 path (unfused graph,
per-channel, avx512_vnni); the bundle's int8 variant; OpenVINO + NNCF int8 where
WORK/NAME-openvino.xml lies (benchmarks/peers/openvino_int8.py makes it, in an environment of its
own at WORK/openvino). Adds the model NAME to benchmarks/graph.json.
"""

import json
import sys
from pathlib import Path

from engines import HERE, engine, export_by_optimum, grid, ratios_to, take_turns
from provenance import provenance

from bertedge.bundle import open_bundle

RESULT = HERE / "graph.json"
GRID = ((1, 16), (1, 128), (8, 128))
ROUNDS = 7
TURN_S = 1.0
OURS = "bertedge-int8"


def main(name: str, checkpoint: str, folder: str, work: str) -> None:
    bundle = open_bundle(Path(folder))
    variant = bundle.manifest.variants[0]
    made = export_by_optimum(checkpoint, bundle, Path(work) / f"{name}-optimum")
    specs = [
        engine("torch-fp32", "torch", checkpoint, bundle),
        engine("onnxruntime-fp32", "onnxruntime", made.exported, bundle),
        engine("optimum-int8", "onnxruntime", made.int8, bundle, precision="int8"),
        engine(OURS, "bundle", folder, bundle, variant=variant.name, precision="int8"),
    ]
    graph = Path(work, f"{name}-openvino.xml")
    if graph.exists():
        python = Path(work, "openvino", "bin", "python")
        command = (str(python), str(HERE / "peers" / "openvino_engine.py"))
        specs.append(engine("openvino-nncf-int8", "openvino", graph, bundle, command=command))
    workloads = grid(GRID, bundle)
    runners = take_turns(specs, workloads, rounds=ROUNDS, turn_s=TURN_S)
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {"models": {}}
    record |= provenance(__file__, "torch", "transformers", "onnxruntime", "optimum-onnx")
    record["models"][name] = {each.name: ratios_to(runners, OURS, each.name) for each in workloads}
    RESULT.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record["models"][name], indent=2))


if __name__ == "__main__":
    main(*sys.argv[1:])
