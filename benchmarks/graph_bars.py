"""The model alone, tokens to logits: our int8 graph against PyTorch and the peers' graphs.

usage: python benchmarks/graph_bars.py NAME CHECKPOINT BUNDLE WORK

Engines: torch eager fp32; onnxruntime fp32 as exported; Optimum's default int8 path (unfused graph,
per-channel, avx512_vnni); the bundle's int8 variant; OpenVINO + NNCF int8 where
WORK/NAME-openvino.xml lies (benchmarks/peers/openvino_int8.py makes it, in an environment of its
own at WORK/openvino).
Each in a process of its own, taking turns in rounds, one at a time. Ratios are medians of the
rounds' ratios. Adds the model NAME to benchmarks/graph.json.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RESULT = HERE / "graph.json"
GRID = ((1, 16), (1, 128), (8, 128))
ROUNDS = 7
TURN_S = 1.0


def child(kind: str, path: str, threads: int) -> None:
    """Answer each line "BATCH LENGTH" with the milliseconds of as many runs as fit a turn."""
    import numpy as np

    run = {"torch": open_torch, "onnx": open_onnx, "bundle": open_bundle, "openvino": open_openvino}
    engine = run[kind](path, threads)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        batch, length = map(int, line.split())
        ids = np.random.default_rng(0).integers(1000, 20000, (batch, length))
        engine(ids)
        samples = []
        end = time.perf_counter() + TURN_S
        while len(samples) < 3 or time.perf_counter() < end:
            began = time.perf_counter()
            engine(ids)
            samples.append((time.perf_counter() - began) * 1000)
        print(json.dumps(samples[len(samples) // 5 :]), flush=True)


def open_torch(path, threads):
    import torch
    import transformers

    torch.set_num_threads(threads)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(path).eval()

    def run(ids):
        with torch.inference_mode():
            model(
                input_ids=torch.from_numpy(ids),
                attention_mask=torch.ones_like(torch.from_numpy(ids)),
            )

    return run


def open_onnx(path, threads):
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(ids):
        values = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        session.run(None, {n: values.get(n, np.zeros_like(ids)) for n in names})

    return run


def open_bundle(path, threads):
    import numpy as np

    import bertedge
    from bertedge.runtime.batching import Batch

    engine = bertedge.load(path, device="cpu", threads=threads).engine
    return lambda ids: engine.logits(
        Batch(input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=np.zeros_like(ids))
    )


def open_openvino(path, threads):
    import numpy as np
    import openvino

    core = openvino.Core()
    model = core.compile_model(
        path, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    )
    names = [next(iter(port.get_names())) for port in model.inputs]
    request = model.create_infer_request()

    def run(ids):
        values = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        request.infer({n: values.get(n, np.zeros_like(ids)) for n in names})

    return run


def main(name: str, checkpoint: str, bundle: str, folder: str) -> None:
    from peers.text_worker import quantize_by_optimum
    from provenance import provenance

    from bertedge.runtime import machine

    work = Path(folder)
    optimum = work / f"{name}-optimum-int8"
    if not optimum.exists():
        quantize_by_optimum(checkpoint, optimum)
    floats = optimum.with_name(optimum.name + "-float") / "model.onnx"
    python = sys.executable
    engines = {
        "torch-fp32": (python, "torch", checkpoint),
        "onnxruntime-fp32": (python, "onnx", str(floats)),
        "optimum-int8": (python, "onnx", str(optimum / "model_quantized.onnx")),
        "bertedge-int8": (python, "bundle", bundle),
    }
    if (work / f"{name}-openvino.xml").exists():
        peer = str(work / "openvino" / "bin" / "python")
        engines["openvino-nncf-int8"] = (peer, "openvino", str(work / f"{name}-openvino.xml"))
    threads = machine.cores()
    workers = {key: start(*engine, threads) for key, engine in engines.items()}
    medians = {}
    for batch, length in GRID:
        rounds = {key: [] for key in workers}
        order = list(workers)
        for _ in range(ROUNDS):
            for key in order:
                rounds[key].append(statistics.median(ask(workers[key], f"{batch} {length}")))
            order.append(order.pop(0))
        medians[f"{batch}x{length}"] = {
            key: {
                "ms": round(statistics.median(values), 3),
                "times_of_ours": round(
                    statistics.median(
                        v / o for v, o in zip(values, rounds["bertedge-int8"], strict=True)
                    ),
                    3,
                ),
            }
            for key, values in rounds.items()
        }
        print(f"{batch}x{length}", json.dumps(medians[f"{batch}x{length}"]), flush=True)
    for worker in workers.values():
        worker.communicate()
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {"models": {}}
    record |= {
        **provenance(__file__, "torch", "transformers", "onnxruntime", "optimum-onnx"),
    }
    record["models"][name] = medians
    RESULT.write_text(json.dumps(record, indent=2) + "\n")


def start(python: str, kind: str, path: str, threads: int) -> subprocess.Popen:
    command = [python, str(Path(__file__)), "child", kind, path, str(threads)]
    worker = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    if worker.stdout.readline().strip() != '"ready"':
        sys.exit(f"{command} did not start")
    return worker


def ask(worker: subprocess.Popen, line: str) -> list[float]:
    worker.stdin.write(line + "\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


if __name__ == "__main__":
    if sys.argv[1] == "child":
        child(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main(*sys.argv[1:])
