"""Every architecture and task that `export` knows, at MiniLM's size, with random weights.

usage: python benchmarks/architectures.py SHARED_DATA WORK [ARCHITECTURE …] [--tasks TASK …]

Each is built from its weights (`--exporter direct`), made int8 and timed beside PyTorch, eager and
fp32, at 1x16, 1x128 and 8x128 tokens. Weights do not matter for the time; what int8 changes is
told as the rms of the logits' differences, as a share of their spread, since labels of random
weights mean nothing. Whether Optimum exports the model and onnxruntime fuses its attention is
tried too. What the record has already is not run again. Writes benchmarks/architectures.json.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import torch
import transformers
from data_sets import HERE
from engines import engine, grid, ratios_to, take_turns
from steps import BERTEDGE, read_rows, write_rows

from bertedge.bundle import open_bundle
from bertedge.checkpoint import model_class
from bertedge.export.graph.builder import ARCHITECTURES
from bertedge.spec import Task

RESULT = HERE / "architectures.json"
TASKS = (
    *(Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION, Task.QUESTION_ANSWERING),
    *(Task.FEATURE_EXTRACTION, Task.FILL_MASK),
)
GRID = ((1, 16), (1, 128), (8, 128))
FLAGS = ("--quantize", "--keep-fp32", "--recipe-int8=static")
ROUNDS = 5
TURN_S = 0.5
LABELS = {
    Task.TEXT_CLASSIFICATION: ("negative", "positive"),
    Task.TOKEN_CLASSIFICATION: ("O", "B-PER", "I-PER", "B-LOC", "I-LOC"),
}
SIZES = {
    "num_hidden_layers": 6,
    "hidden_size": 384,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 514,
    "initializer_range": 0.05,
    "pad_token_id": 0,
}
OWN = {
    "distilbert": {"hidden_dim": 1536, "max_position_embeddings": 512},
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
        "pooler_hidden_size": 384,
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


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("shared", "work"):
        parser.add_argument(name, type=lambda told: Path(told).absolute())
    parser.add_argument("architectures", nargs="*", default=list(ARCHITECTURES))
    parser.add_argument("--tasks", nargs="*", type=Task, default=TASKS)
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    record = read_rows(RESULT)
    for kind in told.architectures:
        for task in told.tasks:
            row = record.setdefault(kind, {})
            if task in row:
                continue
            row[task] = measure(kind, task, told.shared, told.work / f"{kind}-{task}")
            print(kind, task, json.dumps(row[task]), flush=True)
            write_rows(RESULT, __file__, record, sizes=SIZES)


def measure(kind: str, task: Task, shared: Path, prefix: Path) -> dict[str, object]:
    """Make a checkpoint, export it and time it; what fails is told by its message."""
    checkpoint, folder = make_checkpoint(kind, task, shared, prefix), prefix.with_suffix(".bundle")
    problem = export(checkpoint, folder, task, "direct", *FLAGS)
    if problem:
        return {"problem": problem}
    bundle = open_bundle(folder)
    variants = {each.precision: each for each in bundle.manifest.variants}
    if "int8" not in variants:
        return {"problem": "no int8 graph kept the bounds"}
    variant = variants["int8"]
    made = {each.name: each.nodes for each in variant.passes}
    specs = [
        engine("torch-fp32", "torch", checkpoint, bundle),
        engine("int8", "bundle", folder, bundle, variant=variant.name, precision="int8"),
    ]
    workloads = grid(GRID, bundle)
    runners = take_turns(specs, workloads, rounds=ROUNDS, turn_s=TURN_S)
    times = {each.name: ratios_to(runners, "int8", each.name) for each in workloads}
    trial = variant.quantization.trials[-1] if variant.quantization else None
    theirs = prefix.with_suffix(".optimum")
    problem = export(checkpoint, theirs, task, "optimum")
    for each in (checkpoint, folder, theirs):
        shutil.rmtree(each, ignore_errors=True)
    return {
        "parity": variants["fp32"].parity.max_difference,
        "int8_rms": trial.rms_difference if trial else None,
        "passes": made,
        "times": times,
        "optimum": problem or "yes",
    }


def make_checkpoint(kind: str, task: Task, shared: Path, folder: Path) -> Path:
    """Write random weights with BERT's vocabulary."""
    vocabulary = shared / "vocab" / "bert-base-uncased" / "vocab.txt"
    tokenizer = transformers.BertTokenizerFast(str(vocabulary), model_max_length=512)
    own = {"vocab_size": len(tokenizer), **SIZES, **OWN.get(kind, {})}
    if kind == "distilbert":
        del own["intermediate_size"]
    config = transformers.CONFIG_MAPPING[kind](**own)
    labels = LABELS.get(task)
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: i for i, label in enumerate(labels)}
    torch.manual_seed(0)
    model_class(task, config).from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def export(checkpoint: Path, folder: Path, task: Task, exporter: str, *flags: str) -> str | None:
    """Export; return the error, if there is one."""
    command = [*BERTEDGE, "export", str(checkpoint), f"--output={folder}", f"--task={task}"]
    command += [f"--exporter={exporter}", "--overwrite", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    sys.stderr.write(done.stdout + done.stderr)
    return done.stderr.strip().splitlines()[-1] if done.returncode else None


if __name__ == "__main__":
    main()
