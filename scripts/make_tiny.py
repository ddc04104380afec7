"""Make the random-weight bundles of models/tiny, which the runtime's tests run on, and the
one-node model by which the runtime finds out what onnxruntime can do on a machine.
"""

import argparse
import string
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertTokenizerFast,
    PreTrainedModel,
)

from bertedge import __version__
from bertedge.bundle import (
    FORMAT,
    TOKENIZER,
    Golden,
    Manifest,
    Parity,
    Source,
    Variant,
    describe_file,
    hash_file,
    write_bundle,
)
from bertedge.runtime.probe import PROBE
from bertedge.spec import ModelSpec, Task

SEED = 22
MAX_LENGTH = 64
SPREAD = 0.4
WORD_SPREAD = 3.0
"""Words that differ this much from each other end up with different labels."""
LABELS = {
    Task.TEXT_CLASSIFICATION: ("lights", "music", "heating", "other"),
    Task.TOKEN_CLASSIFICATION: ("O", "B-room", "I-room", "B-device", "I-device", "B-time"),
    Task.INTENT_SLOTS: (
        *("intent:on", "intent:off", "intent:play", "O"),
        *("B-room", "I-room", "B-device", "I-device", "B-time"),
    ),
}
WORDS = """a and at be bed bedroom blind close cold cool dark dim door down evening fan for garden
hall heat heating hot house in is it kitchen lamp light lights living lower me minutes morning
music night now of off on one open oven please play quiet raise red room set seven shut six song
stop ten the three time to tomorrow turn two up volume warm window with you your"""
PIECES = "ed en er est ing ly ness ow room s time ward y"
LETTERS = string.ascii_lowercase + string.digits
SIGNS = string.punctuation + "äöüßéñ°€“”…日本語中文你好🙂"
GOLDEN = (
    "turn the hall lights off",
    "please play a quiet song in the living room at seven in the evening",
    "Ist es kälter als 21°?",
    "x",
)


def vocabulary() -> list[str]:
    """Give special tokens, words, pieces and characters: English tokenizes, the rest is [UNK]."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    continued = [f"##{piece}" for piece in [*PIECES.split(), *LETTERS]]
    return list(dict.fromkeys([*special, *LETTERS, *SIGNS, *WORDS.split(), *continued]))


def make_checkpoint(task: Task, folder: Path) -> Path:
    """Save a seeded random BERT with its tokenizer; its weights are wide, so that labels vary."""
    folder.mkdir(parents=True, exist_ok=True)
    words = folder / "vocab.txt"
    words.write_text("\n".join(vocabulary()) + "\n", encoding="utf-8")
    labels = LABELS[task]
    config = BertConfig(
        vocab_size=len(vocabulary()),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=MAX_LENGTH,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    kind = (
        BertForSequenceClassification
        if task is Task.TEXT_CLASSIFICATION
        else BertForTokenClassification
    )
    model = kind(config).eval()
    draw_weights(model)
    model.save_pretrained(folder)
    BertTokenizerFast(str(words), model_max_length=MAX_LENGTH).save_pretrained(folder)
    return folder


def draw_weights(model: PreTrainedModel) -> None:
    """Fill all matrices with numpy's numbers, which no processor draws otherwise."""
    draw = np.random.default_rng(SEED)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                spread = WORD_SPREAD if name.endswith("word_embeddings.weight") else SPREAD
                weight.copy_(torch.from_numpy(draw.normal(0.0, spread, tuple(weight.shape))))


def load(task: Task, checkpoint: Path) -> PreTrainedModel:
    """Load what `make_checkpoint` saved."""
    kind = (
        BertForSequenceClassification
        if task is Task.TEXT_CLASSIFICATION
        else BertForTokenClassification
    )
    return kind.from_pretrained(checkpoint).eval()


def golden(model: PreTrainedModel, tokenizer: BertTokenizerFast) -> Golden:
    """Ask the checkpoint itself, one text at a time."""
    rows = []
    for text in GOLDEN:
        with torch.inference_mode():
            logits = model(**tokenizer(text, return_tensors="pt")).logits
        rows += logits.reshape(-1, logits.shape[-1]).tolist()
    return Golden(
        texts=tuple((text,) for text in GOLDEN),
        logits=tuple(tuple(round(value, 6) for value in row) for row in rows),
    )


def make_bundle(task: Task, checkpoint: Path, output: Path) -> None:
    """Export a checkpoint of `make_checkpoint` as it is, in fp32, and write its bundle."""
    from optimum.exporters.onnx import onnx_export_from_model

    model = load(task, checkpoint)
    tokenizer = BertTokenizerFast.from_pretrained(checkpoint)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kind = Task.TOKEN_CLASSIFICATION if task is Task.INTENT_SLOTS else task
        onnx_export_from_model(
            model, folder, opset=18, task=kind.value, preprocessors=[tokenizer], do_validation=False
        )
        graph = folder / "cpu-fp32.onnx"
        (folder / "model.onnx").rename(graph)
        words = folder / TOKENIZER
        words.write_bytes((checkpoint / TOKENIZER).read_bytes())
        variant = Variant(
            name="cpu-fp32",
            model=describe_file(graph),
            precision="fp32",
            providers=("CPUExecutionProvider",),
            disabled_optimizers=("SkipLayerNormFusion",),
            passes=(),
            parity=Parity(max_difference=0.0, tolerance=1e-4, texts=len(GOLDEN)),
            accuracy=None,
            golden_tolerance=1e-4,
        )
        manifest = Manifest(
            format=FORMAT,
            model=ModelSpec(
                task=task,
                labels=LABELS[task],
                pair=False,
                max_length=MAX_LENGTH,
                pad_token_id=tokenizer.pad_token_id,
            ),
            tokenizer=describe_file(words),
            variants=(variant,),
            golden=golden(model, tokenizer),
            source=describe_source(model, checkpoint),
            versions={
                "bertedge": __version__,
                **{name: version(name) for name in ("torch", "transformers", "optimum-onnx")},
            },
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_bundle(output, manifest, [graph, words], overwrite=True)


def describe_source(model: PreTrainedModel, checkpoint: Path) -> Source:
    """Say what the bundle is made from."""
    config = model.config
    return Source(
        name=f"tiny-{checkpoint.name}",
        architecture=config.model_type,
        layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        heads=config.num_attention_heads,
        vocabulary=config.vocab_size,
        parameters=sum(weight.numel() for weight in model.parameters()),
        sha256=hash_file(checkpoint / "model.safetensors"),
    )


def make_probe(path: Path) -> None:
    """Save a model that multiplies uint8 `a` (16, 64) by int8 `b` (64, 32) into int32 `y`."""
    shapes = {"a": (16, 64), "b": (64, 32), "y": (16, 32)}
    kinds = {"a": onnx.TensorProto.UINT8, "b": onnx.TensorProto.INT8, "y": onnx.TensorProto.INT32}
    values = {
        name: onnx.helper.make_tensor_value_info(name, kinds[name], shape)
        for name, shape in shapes.items()
    }
    node = onnx.helper.make_node("MatMulInteger", ["a", "b"], ["y"])
    graph = onnx.helper.make_graph([node], "probe", [values["a"], values["b"]], [values["y"]])
    opset = onnx.helper.make_opsetid("", 13)
    # As old as the oldest onnxruntime wants it.
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    onnx.save(model, path)


def main() -> None:
    """Make one bundle a task, and the probe."""
    here = Path(__file__).resolve().parent.parent / "models" / "tiny"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=here)
    output = parser.parse_args().folder
    make_probe(PROBE)
    print(PROBE)
    with tempfile.TemporaryDirectory() as name:
        for task in LABELS:
            checkpoint = make_checkpoint(task, Path(name) / task.value)
            make_bundle(task, checkpoint, output / task.value)
            print(f"{output / task.value}")


if __name__ == "__main__":
    main()
