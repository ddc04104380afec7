"""BERT-base in fp16 on a GPU, token ids to logits: our CUDA variant against what else there is.

usage: python benchmarks/cuda_bars.py WORK

Engines: PyTorch fp16 eager with SDPA; torch.compile with CUDA graphs (mode "reduce-overhead");
onnxruntime with Optimum's O4; the bundle's cuda-fp16 variant as `bertedge.load(…, device="cuda")`
opens it. Each is given numpy arrays and gives a numpy array, so copies to the GPU and back count.
Each in a process of its own, taking turns in rounds, one at a time; medians, and medians of the
rounds' ratios. Weights are random: time does not depend on them. Also says how far each engine's
logits are from those of PyTorch in fp32. Writes benchmarks/cuda.json and prints it.

Needs, besides this repository (on PYTHONPATH or installed): Linux, an NVIDIA GPU whose driver
serves CUDA 13 (580 or newer), Python 3.11 or newer with
    torch with CUDA 13, triton and a C compiler    what torch.compile needs
    onnxruntime-gpu 1.31.1                         instead of onnxruntime, with no other beside it
    transformers >=4.57,<4.58; optimum-onnx 0.1.0 and optimum ~2.1 (pure Python); onnx, sympy,
    safetensors, tokenizers, click, numpy
The CUDA and cuDNN libraries are found where PyTorch's wheels put them (nvidia-*). Nothing is
downloaded. About 10 minutes, most of them for torch.compile; WORK keeps 1.5 GB of graphs, and a
second run starts from them. Without CUDA it says so in one line and exits with 1.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RESULT = HERE / "cuda.json"
GRID = ((1, 32), (1, 128), (8, 128), (32, 128))
ENGINES = ("torch-fp16", "torch-fp16-compiled", "onnxruntime-o4", "bertedge-cuda-fp16")
OURS = ENGINES[-1]
ROUNDS = 7
TURN_S = 1.0
WARMUP_RUNS = 20
SHUFFLED_MASK = 3
"""Rows of a batch end in up to this many padding tokens, as in batches of like length."""


def child(engine: str, work: str) -> None:
    """Answer each line "BATCH LENGTH" with the milliseconds of a turn, and the first logits."""
    run = OPEN[engine](Path(work))
    print(json.dumps("ready"), flush=True)
    warm = set()
    for line in sys.stdin:
        shape = tuple(map(int, line.split()))
        feed = inputs(*shape)
        logits = run(*feed)
        for _ in range(0 if shape in warm else WARMUP_RUNS):
            run(*feed)
        warm.add(shape)
        samples = []
        end = time.perf_counter() + TURN_S
        while len(samples) < 10 or time.perf_counter() < end:
            began = time.perf_counter()
            run(*feed)
            samples.append((time.perf_counter() - began) * 1000)
        print(json.dumps({"ms": statistics.median(samples), "logits": logits.tolist()}), flush=True)


def inputs(batch: int, length: int):
    import numpy as np

    rng = np.random.default_rng(batch * length)
    ids = rng.integers(1000, 20000, (batch, length))
    missing = rng.integers(0, SHUFFLED_MASK + 1, (batch, 1)) * (np.arange(batch)[:, None] > 0)
    mask = (np.arange(length) < length - missing).astype(np.int64)
    return ids * mask, mask


def load_torch(work: Path, dtype: str):
    import torch
    from transformers import BertForSequenceClassification

    return BertForSequenceClassification.from_pretrained(
        work / "checkpoint", dtype=getattr(torch, dtype), attn_implementation="sdpa"
    ).to("cuda")


def torch_runner(model):
    import torch

    def run(ids, mask):
        with torch.inference_mode():
            given = [torch.from_numpy(each).to("cuda", non_blocking=True) for each in (ids, mask)]
            return model(input_ids=given[0], attention_mask=given[1]).logits.float().cpu().numpy()

    return run


def open_torch(work: Path):
    return torch_runner(load_torch(work, "float16").eval())


def open_reference(work: Path):
    return torch_runner(load_torch(work, "float32").eval())


def open_compiled(work: Path):
    import torch

    model = load_torch(work, "float16").eval()
    return torch_runner(torch.compile(model, mode="reduce-overhead", dynamic=False))


def open_o4(work: Path):
    import numpy as np
    import onnxruntime

    onnxruntime.preload_dlls()
    path = str(work / "o4" / "model.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CUDAExecutionProvider"])
    if "CUDAExecutionProvider" not in session.get_providers():
        sys.exit("onnxruntime did not load CUDA")
    names = [each.name for each in session.get_inputs()]

    def run(ids, mask):
        values = {"input_ids": ids, "attention_mask": mask}
        return session.run(None, {n: values.get(n, np.zeros_like(ids)) for n in names})[0]

    return run


def open_ours(work: Path):
    import numpy as np

    import bertedge
    from bertedge.runtime.batching import Batch

    predictor = bertedge.load(work / "bundle", device="cuda")
    if predictor.variant.name != "cuda-fp16":
        sys.exit(f"bertedge took {predictor.variant.name}")
    return lambda ids, mask: predictor.engine.logits(
        Batch(input_ids=ids, attention_mask=mask, token_type_ids=np.zeros_like(ids))
    )


OPEN = {
    "torch-fp32": open_reference,
    "torch-fp16": open_torch,
    "torch-fp16-compiled": open_compiled,
    "onnxruntime-o4": open_o4,
    "bertedge-cuda-fp16": open_ours,
}


def prepare(work: Path) -> None:
    """Make the checkpoint, the bundle and Optimum's O4 graph, once."""
    from optimum.onnxruntime import AutoOptimizationConfig, ORTOptimizer

    from bertedge.checkpoint import load_model, open_checkpoint
    from bertedge.export import ExportConfig, export
    from bertedge.export.graph.torch_export import export_graph

    work.mkdir(parents=True, exist_ok=True)
    if not (work / "checkpoint").exists():
        make_checkpoint(work / "checkpoint")
    if not (work / "bundle").exists():
        export(ExportConfig(checkpoint=str(work / "checkpoint"), output=work / "bundle", gpu=True))
    if not (work / "o4" / "model.onnx").exists():
        checkpoint = open_checkpoint(str(work / "checkpoint"))
        model = load_model(checkpoint)
        path = export_graph(model, work / "exported", task=checkpoint.model.task, opset=17)
        optimizer = ORTOptimizer([path], model.config)
        optimizer.optimize(AutoOptimizationConfig.O4(), save_dir=work / "o4", file_suffix="")


def make_checkpoint(folder: Path) -> None:
    """Write BERT-base with random weights and a vocabulary of made-up words."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    pieces += [f"##{letter}" for letter in letters]
    config = BertConfig()
    pieces += [f"word{number}" for number in range(config.vocab_size - len(pieces))]
    words = models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
    backend = Tokenizer(words)
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    torch.manual_seed(0)
    BertForSequenceClassification(config).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=512,
    ).save_pretrained(folder)


def measure(work: Path) -> dict[str, object]:
    """Let the engines take turns at each shape."""
    workers = {engine: start(engine, work) for engine in ENGINES}
    reference = start("torch-fp32", work)
    shapes = {}
    for shape in GRID:
        line = " ".join(map(str, shape))
        exact = ask(reference, line)["logits"]
        answers = {engine: [ask(workers[engine], line)] for engine in ENGINES}  # warms up
        order = list(ENGINES)
        for _ in range(ROUNDS):
            for engine in order:
                answers[engine].append(ask(workers[engine], line))
            order.append(order.pop(0))
        times = {engine: [each["ms"] for each in answers[engine][1:]] for engine in ENGINES}
        shapes["x".join(map(str, shape))] = {
            engine: {
                "ms": round(statistics.median(times[engine]), 4),
                "times_of_ours": round(
                    statistics.median(
                        theirs / ours
                        for theirs, ours in zip(times[engine], times[OURS], strict=True)
                    ),
                    3,
                ),
                "logits_off_by": largest_difference(answers[engine][0]["logits"], exact),
            }
            for engine in ENGINES
        }
        print("x".join(map(str, shape)), json.dumps(shapes["x".join(map(str, shape))]), flush=True)
    for worker in (*workers.values(), reference):
        worker.communicate()
    return shapes


def largest_difference(found: list[list[float]], exact: list[list[float]]) -> float:
    pairs = zip(sum(found, []), sum(exact, []), strict=True)  # noqa: RUF017 (short lists)
    return round(max(abs(a - b) for a, b in pairs), 6)


def start(engine: str, work: Path) -> subprocess.Popen:
    command = [sys.executable, str(Path(__file__)), "child", engine, str(work)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if worker.stdout.readline().strip() != '"ready"':
        sys.exit(f"{engine} did not start; its own message is above")
    return worker


def ask(worker: subprocess.Popen, line: str):
    worker.stdin.write(line + "\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    if not answer:
        sys.exit(f"{worker.args[3]} failed at {line}; its own message is above")
    return json.loads(answer)


def check_cuda() -> str:
    """Give the GPU's name and driver; exit with one line where there is no CUDA."""
    try:
        import onnxruntime
        import torch
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed; see the head of {Path(__file__).name}")
    if not torch.cuda.is_available():
        sys.exit("no CUDA here: PyTorch sees no GPU, so there is nothing to measure")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        sys.exit("no CUDA here: the installed onnxruntime has no CUDAExecutionProvider")
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()


def main(folder: str) -> None:
    gpu = check_cuda()
    from provenance import provenance

    work = Path(folder)
    prepare(work)
    record = provenance(__file__, "torch", "transformers", "onnxruntime-gpu", "optimum-onnx")
    shapes = measure(work)
    payload = {**record, "gpu": gpu, "model": "BERT-base, random weights", "shapes": shapes}
    RESULT.write_text(json.dumps(payload, indent=2) + "\n")
    print(json.dumps(payload))


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], sys.argv[3])
    else:
        main(*sys.argv[1:])
