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
import subprocess
import sys
from pathlib import Path

from engines import HERE, engine, grid, ratios_to, take_turns

from bertedge.bench.backends import BackendSpec, Prepared
from bertedge.bench.protocol import TokenWorkload
from bertedge.bench.worker import main as serve
from bertedge.bundle import open_bundle

RESULT = HERE / "cuda.json"
GRID = ((1, 32), (1, 128), (8, 128), (32, 128))
ENGINES = ("torch-fp16", "torch-fp16-compiled", "onnxruntime-o4", "bertedge-cuda-fp16")
OURS, EXACT = ENGINES[-1], "torch-fp32"
ROUNDS = 7
TURN_S = 1.0
SHUFFLED_MASK = 3
"""Rows of a batch end in up to this many padding tokens, as in batches of like length."""


class Gpu:
    """A backend of token ids; rows of a batch end in a few padding tokens."""

    runs_on = "CUDA"

    def __init__(self, request) -> None:
        self._run = OPEN[request.engine](Path(request.path))

    def tokens(self, workload) -> Prepared:
        from bertedge.predictions import Embedding

        feeds = [padded(number, rows) for number, rows in enumerate(workload.batches)]
        return Prepared(
            inputs=len(feeds),
            run=lambda i: self._run(*feeds[i]),
            read=lambda logits: [Embedding(values=row) for row in logits],
        )

    def texts(self, workload) -> Prepared:
        """Nothing is timed on texts; the first text of `open` is one batch of tokens."""
        return self.tokens(TokenWorkload(name="", batches=(((0, 1, 2),),)))


def padded(seed: int, rows):
    import numpy as np

    ids = np.array(rows, np.int64)
    batch, length = ids.shape
    rng = np.random.default_rng(seed)
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
    from bertedge.runtime.encoding import Batch

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
    """Let the engines take turns at each shape, PyTorch in fp32 too."""
    import numpy as np

    bundle = open_bundle(work / "bundle")
    command = (sys.executable, str(Path(__file__)), "child")
    specs = [
        engine(name, name, work, bundle, command=command, takes=("tokens",))
        for name in (*ENGINES, EXACT)
    ]
    workloads = grid(GRID, bundle)
    runners = take_turns(specs, workloads, rounds=ROUNDS, turn_s=TURN_S)
    shapes = {}
    for workload in workloads:
        rows = ratios_to(runners, OURS, workload.name)
        logits = {
            name: np.stack([each.values for each in runner.ready[workload.name].outputs])
            for name, runner in runners.items()
        }
        shapes[workload.name] = {
            name: rows[name]
            | {"logits_off_by": round(float(abs(logits[name] - logits[EXACT]).max()), 6)}
            for name in ENGINES
        }
    return shapes


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
        serve({name: BackendSpec(imports=("torch",), libraries=(), load=Gpu) for name in OPEN})
    else:
        main(*sys.argv[1:])
