"""Every architecture learns every task, and what it has learnt is exported and predicts."""

import json
import random
import re
import shutil
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from bertedge.checkpoint import TorchEngine, load_model, open_base, open_checkpoint, tokenizer
from bertedge.errors import CheckpointError, SettingError
from bertedge.export import ExportConfig, export, latency
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.run import Finetuned, finetune
from bertedge.predictor import Predictor
from bertedge.progress import Silent
from bertedge.runtime.encoding import Batch
from bertedge.runtime.tokenizer import Tokenizer as Tokens
from bertedge.spec import PoolingMode, Task
from bertedge.training.curves import CURVES

KINDS = ("xlm-roberta", "camembert", "mpnet", "albert", "deberta-v2", "modernbert")
COLORS, FRUITS = ["red", "blue", "green", "white"], ["apple", "pear", "plum", "grape"]
FILLERS = ["the", "a", "one", "very", "here", "there"]
WORDS = [*COLORS, *FRUITS, *FILLERS]
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]
POSITIONS = 40


def framed(backend: Tokenizer, pair: str) -> Tokenizer:
    """Put special tokens around texts and pairs of them."""
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair=pair, special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return backend


def unigram() -> Tokenizer:
    """SentencePiece's kind: XLM-RoBERTa, CamemBERT, ALBERT and DeBERTa-v3 have it."""
    pieces = [(piece, 0.0) for piece in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")]
    pieces += [(f"▁{word}", -4.0) for word in WORDS] + [(piece, -8.0) for piece in ["▁", *LETTERS]]
    backend = Tokenizer(models.Unigram(pieces, unk_id=3))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    return framed(backend, pair="<s> $A </s> </s> $B </s>")


def wordpiece() -> Tokenizer:
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *WORDS, *LETTERS]
    pieces += [f"##{letter}" for letter in LETTERS]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return framed(backend, pair="<s> $A </s> </s> $B </s>")


def bpe() -> Tokenizer:
    """Byte-level, whose words begin with their space: ModernBERT has it."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces += sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = []
    for word in WORDS:
        whole = "Ġ"
        for letter in word:
            merges.append((whole, letter))
            whole += letter
    merges = list(dict.fromkeys(merges))
    pieces += [one + other for one, other in merges]
    backend = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return framed(backend, pair="<s> $A </s> $B </s>")


def configure(kind: str, vocabulary: int, **changes: Any) -> transformers.PretrainedConfig:
    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": POSITIONS + 2,
        "pad_token_id": 1,
    }
    own: dict[str, dict[str, Any]] = {
        "albert": {"embedding_size": 16, "initializer_range": 0.05},
        "deberta-v2": {
            "relative_attention": True,
            "position_biased_input": False,
            "share_att_key": True,
            "pos_att_type": "p2c|c2p",
            "norm_rel_ebd": "layer_norm",
            "position_buckets": 8,
            "type_vocab_size": 0,
        },
        "modernbert": {
            "local_attention": 8,
            "global_attn_every_n_layers": 2,
            "classifier_pooling": "mean",
            **dict.fromkeys(("bos_token_id", "cls_token_id"), 0),
            **dict.fromkeys(("eos_token_id", "sep_token_id"), 2),
        },
    }
    return transformers.AutoConfig.for_model(kind, **sizes | own.get(kind, {}) | changes)


@pytest.fixture(scope="session")
def base_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make (once) a base of an architecture with random weights, of 2 layers."""

    @cache
    def make(kind: str, **changes: Any) -> Path:
        folder = tmp_path_factory.mktemp("bases") / kind
        backend = {"mpnet": wordpiece, "modernbert": bpe}.get(kind, unigram)()
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=backend,
            unk_token="<unk>",
            pad_token="<pad>",
            cls_token="<s>",
            sep_token="</s>",
            mask_token="<mask>",
            model_max_length=POSITIONS,
        )
        torch.manual_seed(0)
        # DeBERTa-v3 has more embeddings than its tokenizer has ids.
        config = configure(kind, backend.get_vocab_size() + 3, **changes)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


def tokens(dice: random.Random, *words: str) -> list[str]:
    """Put words among fillers."""
    found = [*dice.choices(FILLERS, k=dice.randint(1, 4)), *words]
    dice.shuffle(found)
    return found


def text_row(dice: random.Random, number: int) -> dict[str, Any]:
    kind = ("color", "fruit")[number % 2]
    word = dice.choice({"color": COLORS, "fruit": FRUITS}[kind])
    return {"text": " ".join(tokens(dice, word)), "label": kind}


def set_row(dice: random.Random, number: int) -> dict[str, Any]:
    kinds = [kind for i, kind in enumerate(("color", "fruit")) if number >> i & 1]
    words = [dice.choice({"color": COLORS, "fruit": FRUITS}[kind]) for kind in kinds]
    return {"text": " ".join(tokens(dice, *words)), "labels": kinds}


def value_row(dice: random.Random, number: int) -> dict[str, Any]:
    row = text_row(dice, number)
    return {"text": row["text"], "label": 1.0 if row["label"] == "color" else -1.0}


def tag_row(dice: random.Random, number: int) -> dict[str, Any]:
    words = tokens(dice, dice.choice(COLORS), dice.choice(FRUITS))
    marks = {"B-COLOR": COLORS, "B-FRUIT": FRUITS}
    tags = [next((tag for tag, of in marks.items() if word in of), "O") for word in words]
    return {"tokens": words, "tags": tags}


def frame_row(dice: random.Random, number: int) -> dict[str, Any]:
    intent = ("paint", "eat")[number % 2]
    words = tokens(dice, dice.choice((COLORS, FRUITS)[number % 2]))
    tags = ["B-IT" if word in (*COLORS, *FRUITS) else "O" for word in words]
    return {"tokens": words, "tags": tags, "intent": intent}


def choice_row(dice: random.Random, number: int) -> dict[str, Any]:
    endings, label = [*dice.sample(FRUITS, 2)], dice.randrange(3)
    endings.insert(label, dice.choice(COLORS))
    return {"context": " ".join(tokens(dice)), "endings": endings, "label": label}


def write_questions(path: Path, count: int, dice: random.Random) -> Path:
    paragraphs = []
    for number in range(count):
        color = dice.choice(COLORS)
        context = " ".join(tokens(dice, color, dice.choice(FRUITS)))
        answer = {"text": color, "answer_start": context.index(color)}
        qa = {"id": str(number), "question": "one here", "answers": [answer]}
        paragraphs.append({"context": context, "qas": [qa]})
    path.write_text(json.dumps({"version": "1.1", "data": [{"paragraphs": paragraphs}]}))
    return path


ROWS = {
    "texts": (Task.TEXT_CLASSIFICATION, text_row, {}),
    "sets": (
        Task.TEXT_CLASSIFICATION,
        set_row,
        {"problem_type": "multi_label_classification", "epochs": 12},
    ),
    "values": (Task.TEXT_CLASSIFICATION, value_row, {"problem_type": "regression"}),
    "tags": (Task.TOKEN_CLASSIFICATION, tag_row, {}),
    "frames": (Task.INTENT_SLOTS, frame_row, {"epochs": 12}),
    "choices": (Task.MULTIPLE_CHOICE, choice_row, {}),
    "questions": (Task.QUESTION_ANSWERING, None, {}),
}


@pytest.fixture(scope="session")
def data_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Path]]:
    folder = tmp_path_factory.mktemp("data")

    @cache
    def make(name: str) -> dict[str, Path]:
        row, files = ROWS[name][1], {}
        for seed, (split, count) in enumerate((("train", 160), ("dev", 40))):
            dice = random.Random(seed)
            if row is None:
                files[split] = write_questions(folder / f"{name}-{split}.json", count, dice)
                continue
            lines = "".join(f"{json.dumps(row(dice, i))}\n" for i in range(count))
            files[split] = folder / f"{name}-{split}.jsonl"
            files[split].write_text(lines)
        return files

    return make


@pytest.fixture(scope="session")
def settings_of(
    base_of: Callable[..., Path], data_of: Callable[[str], dict[str, Path]]
) -> Callable[..., FinetuneConfig]:
    """Return how a base of an architecture is fine-tuned on data of a name."""

    def make(kind: str, name: str, output: Path, **settings: Any) -> FinetuneConfig:
        task, _, more = ROWS[name]
        usual: dict[str, Any] = {
            "epochs": 6,
            "learning_rate": 3e-3,
            "batch_size": 16,
            "output": output,
        }
        usual |= more
        if task is Task.TEXT_CLASSIFICATION:
            usual["pooling"] = "cls"
        usual |= {"task": task, "model": str(base_of(kind)), **data_of(name)}
        return FinetuneConfig(**usual | settings)

    return make


@pytest.fixture(scope="session")
def trained(
    settings_of: Callable[..., FinetuneConfig], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Finetuned]:
    """Fine-tune (once) an architecture on data of a name."""

    @cache
    def run(kind: str, name: str) -> Finetuned:
        output = tmp_path_factory.mktemp("runs") / f"{kind}-{name}"
        done = finetune(settings_of(kind, name, output), Silent())
        assert done is not None
        return done

    return run


ESSENTIAL = {
    *((kind, "texts") for kind in KINDS),
    *(("mpnet", "sets"), ("modernbert", "sets"), ("albert", "values"), ("camembert", "values")),
    *(("deberta-v2", "tags"), ("modernbert", "tags"), ("xlm-roberta", "tags")),
    *(("camembert", "frames"), ("albert", "frames"), ("deberta-v2", "choices")),
    *(("modernbert", "choices"), ("mpnet", "questions"), ("modernbert", "questions")),
}
EVERY = [
    pytest.param(kind, name, marks=() if (kind, name) in ESSENTIAL else pytest.mark.full)
    for kind in KINDS
    for name in ROWS
]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_architecture_learns_every_task(kind: str, name: str, trained: Any) -> None:
    """Chance is 0.5 at most, of values 0; ranks of two values' ties leave 0.87 of 1."""
    done = trained(kind, name)
    assert done.dev.scores.value > 0.8
    head, *rows = [line.split(",") for line in (done.output / CURVES).read_text().splitlines()]
    losses = [float(row[head.index("loss")]) for row in rows if row[head.index("loss")]]
    assert losses[-1] < 0.6 * losses[0]
    assert done.training.model.task is ROWS[name][0]
    kept = json.loads((done.output / "config.json").read_text())
    assert kept["model_type"] == kind


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_trained_is_exported_and_predicts_as_pytorch_does(
    kind: str, trained: Any, data_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "BLOCK_SECONDS", 0.0)
    done = trained(kind, "texts")
    report = export(
        ExportConfig(
            checkpoint=str(done.output),
            output=tmp_path / "bundle",
            quantize=True,
            keep_fp32=True,
            recipe="static",
        )
    )
    int8, fp32 = report.manifest.variants
    assert report.manifest.exporter == "direct"
    assert fp32.parity is not None and fp32.parity.max_difference < 1e-4
    assert int8.accuracy is not None and int8.accuracy.rows == 40 and int8.accuracy.variant > 0.9
    checkpoint = open_checkpoint(str(done.output))
    encode = Tokens(checkpoint.tokenizer_json, max_length=checkpoint.model.max_length).encode
    engine = TorchEngine(load_model(checkpoint))
    texts = ["the red one", "here a very old pear is", "plum"]
    for name, most in (("cpu-fp32", 1e-4), ("cpu-int8", 0.1)):
        predictor = Predictor.open(tmp_path / "bundle", device="cpu", threads=1, variant=name)
        for text, found in zip(texts, predictor.predict(texts), strict=True):
            ids = np.array([encode([text])[0].ids])
            batch = Batch(input_ids=ids, attention_mask=ids * 0 + 1, token_type_ids=ids * 0)
            logits = engine.logits(batch)[0].astype(float)
            shares = np.exp(logits) / np.exp(logits).sum()
            assert found.label == checkpoint.model.labels[int(shares.argmax())]
            assert found.score == pytest.approx(float(shares.max()), abs=most)


@pytest.mark.parametrize(("kind", "layers"), [(kind, 1) for kind in KINDS])
def test_a_student_of_one_layer_learns_from_its_teacher(
    kind: str, layers: int, trained: Any, settings_of: Any, tmp_path: Path
) -> None:
    teacher = str(trained(kind, "texts").output)
    changes = {"model": None, "teacher": teacher, "layers": layers, "pooling": None, "epochs": 2}
    done = finetune(settings_of(kind, "texts", tmp_path / "run", **changes), Silent())
    assert done is not None and done.dev is not None
    assert done.dev.scores.value > 0.8
    assert open_checkpoint(str(done.output)).source.layers == layers


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_on_the_mean_is_fitted_trained_and_exported(
    kind: str, settings_of: Any, tmp_path: Path
) -> None:
    changes = {"pooling": "mean", "epochs": 2, "adapt": True, "adapt_epochs": 1.0}
    said = Lines()
    done = finetune(settings_of(kind, "texts", tmp_path / "run", **changes), said)
    assert done is not None and done.dev is not None
    assert done.dev.scores.value > 0.8
    assert any("adapting the base" in line for line in said.lines)
    checkpoint = open_checkpoint(str(done.output))
    assert checkpoint.model.classifier_pooling is PoolingMode.MEAN
    config = ExportConfig(checkpoint=str(done.output), output=tmp_path / "bundle")
    assert export(config).manifest.variants[0].parity.max_difference < 1e-4


class Lines(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


@pytest.mark.parametrize("kind", ["deberta-v2", "modernbert"])
def test_few_rows_a_label_are_learnt_by_drawing_texts_together(
    kind: str, settings_of: Any, data_of: Any, tmp_path: Path
) -> None:
    lines = data_of("texts")["train"].read_text().splitlines()[:32]
    few = tmp_path / "few.jsonl"
    few.write_text("\n".join(lines) + "\n")
    changes = {"few_shot": "contrastive", "pooling": None, "learning_rate": None, "epochs": None}
    done = finetune(settings_of(kind, "texts", tmp_path / "run", train=few, **changes), Silent())
    assert done is not None and done.dev is not None
    assert done.dev.scores.value > 0.7


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("albert", {"train_layers": 2}, "train_layers is 2, but the model has weights for 1 of it"),
        ("albert", {"freeze": "auto"}, "freeze is auto, but the layers of albert share their weig"),
        ("modernbert", {"bitfit": True}, "--bitfit trains the biases of layers, and those of "),
    ],
)
def test_what_an_architecture_has_no_place_for_is_refused_in_one_line(
    kind: str, changes: dict[str, Any], message: str, settings_of: Any, tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match=re.escape(message)) as error:
        finetune(settings_of(kind, "texts", tmp_path / "run", **changes), Silent())
    assert len(str(error.value)) <= 300


@pytest.mark.parametrize(
    "changes", [{"relative_attention": False}, {"conv_kernel_size": 3}], ids=repr
)
def test_a_deberta_that_could_not_be_exported_is_not_trained(
    changes: dict[str, Any], base_of: Any
) -> None:
    with pytest.raises(CheckpointError, match=f"has a {next(iter(changes))} of"):
        open_base(str(base_of("deberta-v2", **changes)))


def test_a_deberta_whose_masked_language_model_does_not_run_is_not_adapted(
    base_of: Any, settings_of: Any, tmp_path: Path
) -> None:
    changes = {"model": str(base_of("deberta-v2", legacy=False)), "adapt": True}
    with pytest.raises(CheckpointError, match="cannot be continued: its config"):
        finetune(settings_of("deberta-v2", "texts", tmp_path / "run", **changes), Silent())


@pytest.mark.parametrize("kind", ["deberta-v2", "xlm-roberta"])
def test_weights_of_fp16_are_trained_in_fp32(
    kind: str, base_of: Any, settings_of: Any, tmp_path: Path
) -> None:
    folder = shutil.copytree(base_of(kind), tmp_path / "half")
    weights = load_file(folder / "model.safetensors")
    halves = {name: each.half() for name, each in weights.items()}
    save_file(halves, folder / "model.safetensors", {"format": "pt"})
    changes = {"model": str(folder), "epochs": 0.2}
    done = finetune(settings_of(kind, "texts", tmp_path / "run", **changes), Silent())
    assert done is not None
    found = load_file(done.output / "model.safetensors")
    assert {each.dtype for each in found.values()} == {torch.float32}


def test_words_of_byte_level_tokenizers_begin_with_their_space(base_of: Any) -> None:
    folder = str(base_of("modernbert"))
    for words in (True, False):
        backend = open_base(folder, words=words).tokenizer.backend_tokenizer
        found = backend.encode(["the", "red"], is_pretokenized=True).tokens
        assert ("Ġred" in found) == words


def test_words_stay_so_in_what_was_trained(trained: Any) -> None:
    checkpoint = open_checkpoint(str(trained("modernbert", "tags").output))
    backend = Tokenizer.from_str(checkpoint.tokenizer_json)
    found = backend.encode(["the", "red"], is_pretokenized=True)
    assert found.tokens == ["<s>", "Ġthe", "Ġred", "</s>"]


def test_a_tokenizer_of_sentencepiece_alone_is_converted_or_says_what_to_install(
    base_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(base_of("deberta-v2"), tmp_path / "spm")
    for file in folder.glob("*token*.json"):
        file.unlink()
    (folder / "spm.model").write_bytes(sentencepiece_model())
    monkeypatch.setattr(tokenizer, "has_sentencepiece", lambda: False)
    with pytest.raises(CheckpointError) as error:
        open_base(str(folder))
    assert str(error.value).endswith(
        "has its tokenizer in spm.model alone, without tokenizer.json; to convert it, "
        "pip install 'bertedge[sentencepiece]'"
    )
    monkeypatch.undo()
    pytest.importorskip("sentencepiece")
    converted = open_base(str(folder)).tokenizer
    assert converted("the red").tokens() == ["[CLS]", "▁the", "▁red", "[SEP]"]


def sentencepiece_model() -> bytes:
    """Write a model of SentencePiece's Unigram in its protobuf format, field by field."""

    def field(number: int, kind: int, value: bytes) -> bytes:
        return bytes([number << 3 | kind]) + value

    def sized(number: int, value: bytes) -> bytes:
        assert len(value) < 128
        return field(number, 2, bytes([len(value)]) + value)

    pieces = [("[PAD]", 0.0, 3), ("[CLS]", 0.0, 3), ("[SEP]", 0.0, 3), ("[UNK]", 0.0, 2)]
    pieces += [(f"▁{word}", -4.0, 1) for word in WORDS] + [(x, -8.0, 1) for x in ["▁", *LETTERS]]
    model = b"".join(
        sized(
            1,
            sized(1, piece.encode())
            + field(2, 5, struct.pack("<f", score))
            + field(3, 0, bytes([kind])),
        )
        for piece, score, kind in pieces
    )
    # The trainer's settings: of the kind Unigram (1), the unknown piece is number 3.
    trainer = field(3, 0, b"\x01") + bytes([0xC0, 0x02, 0x03])
    return model + sized(2, trainer) + sized(3, sized(1, b"nmt_nfkc"))
