"""Export a bundle of every task from random weights, to be run where only the runtime is.

usage: python tests/installed/make_bundles.py FOLDER
"""

import string
import sys
from pathlib import Path

import torch
import transformers
from transformers import BertConfig, BertTokenizerFast

from bertedge.export import ExportConfig, export
from bertedge.spec import Task

HEADS = {
    "text-classification": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "intent-slots": "AutoModelForTokenClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "multiple-choice": "AutoModelForMultipleChoice",
    "fill-mask": "AutoModelForMaskedLM",
    "feature-extraction": "AutoModel",
}
LABELS = {
    "text-classification": ("lights", "music", "other"),
    "token-classification": ("O", "B-room", "I-room"),
    "intent-slots": ("intent:on", "intent:off", "O", "B-room", "I-room"),
}
WORDS = ("turn", "the", "hall", "kitchen", "lights", "music", "on", "off", "in", "where", "are")


def make_checkpoint(task: Task, folder: Path) -> Path:
    """Save a BERT of random weights, wide enough for answers to differ, and its tokenizer."""
    folder.mkdir(parents=True)
    letters = list(string.ascii_lowercase)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *letters]
    pieces += [f"##{letter}" for letter in letters]
    words = folder / "vocab.txt"
    words.write_text("".join(f"{piece}\n" for piece in dict.fromkeys(pieces)))
    labels = LABELS.get(task.value, ())
    named = {"id2label": dict(enumerate(labels))} if labels else {}
    config = BertConfig(
        vocab_size=len(set(pieces)),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,
        label2id={label: number for number, label in enumerate(labels)},
        **named,
    )
    torch.manual_seed(0)
    getattr(transformers, HEADS[task.value]).from_config(config).save_pretrained(folder)
    BertTokenizerFast(str(words), model_max_length=64).save_pretrained(folder)
    return folder


def main() -> None:
    folder = Path(sys.argv[1])
    for task in Task:
        checkpoint = make_checkpoint(task, folder / "checkpoints" / task.value)
        for precision in ("fp32", "int8"):
            export(
                ExportConfig(
                    checkpoint=str(checkpoint),
                    output=folder / "bundles" / f"{task.value}-{precision}",
                    task=task,
                    quantize=precision == "int8",
                    max_drop=100.0,
                    min_agreement=0.0,
                )
            )


if __name__ == "__main__":
    main()
