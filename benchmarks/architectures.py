"""Every architecture and task that `export` knows, with random weights: what comes out of it.

usage: python benchmarks/architectures.py SHARED_DATA WORK [ARCHITECTURE …] [--tasks TASK …]
                                          [--timed]

Each is built from its weights (`--exporter direct`) and made int8. Told are the fp32 graph's
largest difference from PyTorch and the rms of the int8 graph's, as shares of the logits' spread;
how often both graphs answer alike (the share of texts, tokens or answers, or the mean cosine of
embeddings; margins of random weights are narrow); how many attentions are one node; and
what becomes of the same checkpoint with Optimum, tried on text classification and else by its list
of tasks. None of these depends on how busy the machine is. `--timed` times text classification
instead, at MiniLM's size, int8 beside PyTorch (eager, fp32), at 1x16, 1x128 and 8x128 tokens: it
wants a quiet machine. What the record has already is not run again, so that a run may be stopped
at any time. Writes benchmarks/architectures.json.
"""

import argparse
import gzip
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import torch
import transformers
from data_sets import HERE
from engines import engine, grid, ratios_to, take_turns
from steps import read_rows, write_rows

import bertedge
from bertedge.bundle import Bundle, open_bundle
from bertedge.checkpoint import model_class
from bertedge.errors import BertedgeError, shorten
from bertedge.export import ExportConfig, export
from bertedge.export.config import Exporter
from bertedge.export.graph.builder import ARCHITECTURES
from bertedge.runtime.encoding import pad
from bertedge.spec import LabelKind, Task

RESULT = HERE / "architectures.json"
TASKS = (
    *(Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.QUESTION_ANSWERING),
    *(Task.FEATURE_EXTRACTION, Task.FILL_MASK),
)
GRID = ((1, 16), (1, 128), (8, 128))
ROUNDS = 5
TURN_S = 0.5
TEXTS = 128
"""Of SST-2, on which the graphs' answers are compared."""
PIECES = 6_000
"""Of BERT's vocabulary where nothing is timed; the table of all would be most of the work."""
LABELS = {
    Task.TEXT_CLASSIFICATION: ("negative", "positive"),
    Task.TOKEN_CLASSIFICATION: ("O", "B-PER", "I-PER", "B-LOC", "I-LOC"),
}
COMMON = {"max_position_embeddings": 514, "initializer_range": 0.05, "pad_token_id": 0}
SMALL = {
    "num_hidden_layers": 6,
    "hidden_size": 192,
    "num_attention_heads": 6,
    "intermediate_size": 768,
}
MINILM = {
    "num_hidden_layers": 6,
    "hidden_size": 384,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
OWN = {
    "distilbert": {"max_position_embeddings": 512},
    "electra": {"embedding_size": 128},
    "albert": {"embedding_size": 128},
    "deberta-v2": {
        "relative_attention": True,
        "position_biased_input": False,
        "share_att_key": True,
        "pos_att_type": "p2c|c2p",
        "norm_rel_ebd": "layer_norm",
        "position_buckets": 256,
        "max_relative_positions": -1,
        "type_vocab_size": 0,
    },
    "modernbert": {
        "bos_token_id": 101,
        "cls_token_id": 101,
        "eos_token_id": 102,
        "sep_token_id": 102,
        "reference_compile": False,
    },
}
"""What else makes a config that of DeBERTa-v3, ModernBERT, …"""
UNFUSED = re.compile(r"fusion made (\d+) Attention nodes of the (\d+) layers")
LONGEST_REASON = 90


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("shared", "work"):
        parser.add_argument(name, type=lambda told: Path(told).absolute())
    parser.add_argument("architectures", nargs="*", default=list(ARCHITECTURES))
    parser.add_argument("--tasks", nargs="*", type=Task, default=TASKS)
    parser.add_argument("--timed", action="store_true")
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    record = read_rows(RESULT)
    known = [kind for kind in told.architectures if kind in transformers.CONFIG_MAPPING]
    for task in (Task.TEXT_CLASSIFICATION,) if told.timed else told.tasks:
        for kind in known:
            cells = record.setdefault(kind, {}).setdefault(task, {})
            if ("times" if told.timed else "optimum") in cells:
                continue
            prefix = told.work / f"{kind}-{task}"
            cells |= (time if told.timed else try_out)(kind, task, told.shared, prefix)
            print(kind, task, json.dumps(cells), flush=True)
            write_rows(RESULT, __file__, record, sizes=SMALL, timed_sizes=MINILM)


def try_out(kind: str, task: Task, shared: Path, prefix: Path) -> dict[str, object]:
    """Export a small checkpoint both ways; what fails is told by its message."""
    try:
        checkpoint = make_checkpoint(kind, task, shared, prefix, SMALL, PIECES)
    except ValueError:  # of its Auto class
        return {"problem": "transformers has no such head", "optimum": "no such head"}
    texts = read_texts(shared)
    found: dict[str, object] = {}
    try:
        bundle = export_direct(checkpoint, task, prefix.with_suffix(".bundle"))
        int8, fp32 = bundle.manifest.variants
        made = {each.name: each.nodes for each in int8.passes}
        trial = int8.quantization.trials[-1]
        found |= {
            "parity": fp32.parity.max_difference,
            "rms": trial.rms_difference,
            "agreement": round(agreement(bundle, task, texts), 4),
            "attentions": made["attention-fusion"],
            "layers": bundle.manifest.source.layers,
        }
    except BertedgeError as error:
        found["problem"] = str(error)
    found["optimum"] = by_optimum(kind, checkpoint, task, prefix.with_suffix(".optimum"))
    return found


def export_direct(checkpoint: Path, task: Task, folder: Path) -> Bundle:
    """Make the int8 bundle of a checkpoint, fp32 graph included, by the builder."""
    config = ExportConfig(
        checkpoint=str(checkpoint), output=folder, task=task, overwrite=True,
        exporter=Exporter.DIRECT, quantize=True, keep_fp32=True, recipe="static",
    )  # fmt: skip
    export(config)
    return open_bundle(folder)


def agreement(bundle: Bundle, task: Task, texts: list[str]) -> float:
    """Return the share of equal answers of the int8 and the fp32 graph, or the mean cosine.

    Of labels the mean logits are taken off before: random weights prefer one label for all texts.
    """
    found = []
    for variant in ("cpu-int8", "cpu-fp32"):
        with bertedge.load(bundle.folder, device="cpu", variant=variant, threads=1) as predictor:
            rows = predictor.tokenizer.encode(texts)
            found.append([predictor.engine.logits(pad([row], 0))[0] for row in rows])
    if task.labels_are is LabelKind.SPANS:  # where start and end are
        one, other = (np.stack([each.argmax(axis=0) for each in logits]) for logits in found)
        return float((one == other).all(axis=1).mean())
    one, other = (np.concatenate([np.atleast_2d(each) for each in logits]) for logits in found)
    if task.labels_are is LabelKind.VECTOR:
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        return float(((one * other).sum(axis=1) / lengths).mean())
    middle = other.mean(axis=0)
    return float(((one - middle).argmax(axis=1) == (other - middle).argmax(axis=1)).mean())


def by_optimum(kind: str, checkpoint: Path, task: Task, folder: Path) -> str:
    """Return what becomes of a checkpoint with Optimum's exporter and onnxruntime's fusion."""
    try:
        from optimum.exporters.tasks import TasksManager
    except ImportError:
        return "no: it needs transformers below 4.58"
    try:
        listed = TasksManager.get_supported_tasks_for_model_type(
            kind, "onnx", library_name="transformers"
        )
    except KeyError:
        return "no: it does not know the architecture"
    if task.value not in listed:
        return "no: it does not know the task"
    if task is not Task.TEXT_CLASSIFICATION:
        return "in its list"
    config = ExportConfig(
        checkpoint=str(checkpoint), output=folder, task=task, overwrite=True,
        exporter=Exporter.OPTIMUM,
    )  # fmt: skip
    try:
        export(config)
    except BertedgeError as error:
        fused = UNFUSED.search(str(error))
        if fused:
            return f"exports; {fused[1]} of {fused[2]} attentions fused"
        return f"no: {shorten(str(error), LONGEST_REASON)}"
    return "exports and fuses"


def time(kind: str, task: Task, shared: Path, prefix: Path) -> dict[str, object]:
    """Time the int8 bundle of a checkpoint of MiniLM's size beside PyTorch."""
    checkpoint = make_checkpoint(kind, task, shared, prefix.with_suffix(".large"), MINILM)
    bundle = export_direct(checkpoint, task, prefix.with_suffix(".bundle"))
    specs = [
        engine("torch-fp32", "torch", checkpoint, bundle),
        engine("int8", "bundle", bundle.folder, bundle, variant="cpu-int8", precision="int8"),
    ]
    workloads = grid(GRID, bundle)
    runners = take_turns(specs, workloads, rounds=ROUNDS, turn_s=TURN_S)
    times = {each.name: ratios_to(runners, "int8", each.name) for each in workloads}
    for each in (checkpoint, bundle.folder):
        shutil.rmtree(each)
    return {"times": times}


def make_checkpoint(
    kind: str, task: Task, shared: Path, folder: Path, sizes: dict[str, int], pieces: int = 0
) -> Path:
    """Write random weights with BERT's vocabulary, or the first `pieces` of it."""
    whole = shared / "vocab" / "bert-base-uncased" / "vocab.txt"
    folder.mkdir(exist_ok=True)
    lines = whole.read_text(encoding="utf-8").splitlines()
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(lines[: pieces or None]) + "\n", encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(str(vocabulary), model_max_length=512)
    own = {"vocab_size": len(tokenizer), **sizes, **COMMON, **OWN.get(kind, {})}
    if kind == "distilbert":
        own["hidden_dim"] = own.pop("intermediate_size")
    if kind == "deberta-v2":
        own["pooler_hidden_size"] = own["hidden_size"]
    config = transformers.CONFIG_MAPPING[kind](**own)
    labels = LABELS.get(task)
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: i for i, label in enumerate(labels)}
    torch.manual_seed(0)
    model_class(task, config).from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def read_texts(shared: Path) -> list[str]:
    with gzip.open(shared / "sst2" / "dev.tsv.gz", "rt", encoding="utf-8") as file:
        return [line.split("\t")[0] for line in itertools.islice(file, 1, TEXTS + 1)]


if __name__ == "__main__":
    main()
