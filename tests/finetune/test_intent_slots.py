"""One model for intent and slots: its loss, its training, its student, its bundle."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
import transformers
from click.testing import CliRunner

import bertedge
from bertedge import evaluation
from bertedge.checkpoint import TorchEngine, load_model, open_checkpoint
from bertedge.cli import main
from bertedge.data import open_examples
from bertedge.errors import CheckpointError, DataError, SettingError
from bertedge.export import ExportConfig, export
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.data import read_config
from bertedge.finetune.features import IGNORED, Features, build
from bertedge.finetune.labels import find_labels
from bertedge.finetune.losses import Batch, Teacher, soft_labels
from bertedge.finetune.objectives import OBJECTIVES, Objective
from bertedge.finetune.run import Finetuned, finetune
from bertedge.finetune.settings.regularization import ClassWeights
from bertedge.joint_labels import split_labels
from bertedge.metrics import FrameScores
from bertedge.predictions import IntentSlots
from bertedge.progress import Silent
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Task

LABELS = ("intent:find", "intent:paint", "O", "B-COLOR", "I-COLOR")
FILLERS = ["the", "a", "one", "very", "here", "there"]
VERBS = {"find": ["see", "take"], "paint": ["old", "new"]}


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A verb says the intent, colors and places are slots."""
    folder, rng, files = tmp_path_factory.mktemp("commands"), random.Random(3), {}
    for split, count in (("train", 360), ("dev", 80)):
        rows: list[dict[str, object]] = []
        for i in range(count):
            intent = ("find", "paint")[i % 2]
            words, tags = rng.choices(FILLERS, k=rng.randint(1, 4)), []
            words.insert(rng.randint(0, len(words)), rng.choice(VERBS[intent]))
            tags = ["O"] * len(words)
            for slot in rng.sample((["red"], ["blue", "green"], ["paris"], ["oslo", "lima"]), k=2):
                kind = "COLOR" if slot[0] in ("red", "blue") else "PLACE"
                words += slot
                tags += [f"{'B' if j == 0 else 'I'}-{kind}" for j in range(len(slot))]
            rows.append({"tokens": words, "tags": tags, "intent": intent})
        files[split] = write(folder / f"{split}.jsonl", rows)
    return files


def config(files: dict[str, Path], output: Path, **changes: object) -> FinetuneConfig:
    plain: dict[str, object] = {
        "task": Task.INTENT_SLOTS,
        "train": files["train"],
        "dev": files["dev"],
        "output": output,
        "epochs": 6,
        "learning_rate": 2e-3,
        "batch_size": 16,
    }
    return FinetuneConfig(**{**plain, **changes})  # type: ignore[arg-type]


def train(files: dict[str, Path], output: Path, **changes: object) -> Finetuned:
    finished = finetune(config(files, output, **changes), Silent())
    assert finished is not None
    return finished


@pytest.fixture(scope="module")
def checkpoint(
    base: Path, commands: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    output = tmp_path_factory.mktemp("runs") / "commands"
    train(commands, output, model=str(base))
    return output


Loss = Callable[..., Any]


def counted(*rows: list[int]) -> Features:
    data = datasets.Dataset.from_dict({"labels": list(rows)})
    return Features(data=data, rows=len(rows), truncated=0, windowed=0)


def objective(
    features: Features, tmp_path: Path, labels: tuple[str, ...] = LABELS, **changes: object
) -> Objective:
    made = config({"train": tmp_path, "dev": tmp_path}, tmp_path, model="m", **changes)
    return OBJECTIVES[made.task].make(made, features, labels)


def loss_of(features: Features, tmp_path: Path, **changes: object) -> Loss:
    loss = objective(features, tmp_path, **changes).label_loss

    def of(outputs: dict[str, torch.Tensor], gold: torch.Tensor, items: object = None) -> Any:
        return loss(outputs, gold, (gold != IGNORED).sum() if items is None else items)

    return of


ROWS = ([0, 2, IGNORED, 3, 4], [1, 2, 2, IGNORED, IGNORED], [0, 3, 4, 2, 2])


def test_the_loss_is_the_mean_over_intents_and_the_mean_over_words(tmp_path: Path) -> None:
    torch.manual_seed(0)
    gold, logits = torch.tensor(ROWS), torch.randn(3, 5, 5)
    found = loss_of(counted(*ROWS), tmp_path)({"logits": logits}, gold)
    words = gold[:, 1:].flatten()
    expected = torch.nn.functional.cross_entropy(logits[:, 0, :2], gold[:, 0])
    expected += torch.nn.functional.cross_entropy(
        logits[:, 1:, 2:].reshape(-1, 3)[words != IGNORED], words[words != IGNORED] - 2
    )
    assert torch.isclose(found, expected)


def test_the_columns_of_the_other_head_have_no_part_in_the_loss(tmp_path: Path) -> None:
    gold, logits = torch.tensor(ROWS), torch.zeros(3, 5, 5, requires_grad=True)
    loss_of(counted(*ROWS), tmp_path)({"logits": logits}, gold).backward()
    assert logits.grad is not None
    assert not logits.grad[:, 0, 2:].any() and not logits.grad[:, 1:, :2].any()
    assert logits.grad[:, 0, :2].any() and logits.grad[:, 1:, 2:].any()


def test_accumulated_batches_have_the_loss_of_one_large_batch(tmp_path: Path) -> None:
    torch.manual_seed(1)
    loss = loss_of(counted(*ROWS, [1, IGNORED, 2, IGNORED, IGNORED]), tmp_path)
    gold, logits = torch.tensor(ROWS), torch.randn(3, 5, 5)
    items = (gold != IGNORED).sum()
    parts = [loss({"logits": logits[i : i + 1]}, gold[i : i + 1], items) for i in range(3)]
    assert torch.isclose(sum(parts), loss({"logits": logits}, gold))


def test_a_batch_of_later_windows_has_a_loss(tmp_path: Path) -> None:
    gold, logits = torch.tensor([[IGNORED, 2, 3]]), torch.randn(1, 3, 5)
    assert torch.isfinite(loss_of(counted(*ROWS), tmp_path)({"logits": logits}, gold))


def test_balanced_classes_are_balanced_in_each_head(tmp_path: Path) -> None:
    gold, logits = torch.tensor(ROWS), torch.randn(3, 5, 5)
    balanced = loss_of(counted(*ROWS), tmp_path, class_weights=ClassWeights.BALANCED)
    cross_entropy = torch.nn.functional.cross_entropy
    words = gold[:, 1:].flatten()
    kept = words != IGNORED
    expected = cross_entropy(
        logits[:, 0, :2], gold[:, 0], torch.tensor([3 / 4, 3 / 2]), reduction="sum"
    ) / len(gold)
    expected += cross_entropy(
        logits[:, 1:, 2:].reshape(-1, 3)[kept],
        words[kept] - 2,
        torch.tensor([9 / (3 * 5), 9 / (3 * 2), 9 / (3 * 2)]),
        reduction="sum",
    ) / int(kept.sum())
    assert torch.isclose(balanced({"logits": logits}, gold), expected)


def test_the_first_token_carries_the_intent_and_later_windows_have_none(
    base: Path, tmp_path: Path
) -> None:
    tokenizer = Tokenizer((base / "tokenizer.json").read_text(), max_length=10)
    rows: list[dict[str, object]] = [
        {"tokens": ["see", "zz"], "tags": ["O", "B-COLOR"], "intent": "paint"},
        {"tokens": ["red"] * 20, "tags": ["B-COLOR"] * 20, "intent": "find"},
    ]
    examples = open_examples(write(tmp_path / "t.jsonl", rows), Task.INTENT_SLOTS)
    built = build(examples, LABELS, tokenizer, tmp_path / "cache")
    first, *windows = built.data
    assert first["labels"] == [1, 2, 3, IGNORED, IGNORED]  # [CLS] see z ##z [SEP]
    assert [row["labels"][0] for row in windows] == [0] + [IGNORED] * (len(windows) - 1)
    assert len(windows) > 1 and (built.rows, built.windowed) == (2, 1)


def test_labels_are_intents_by_name_and_tags_after_them(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"tokens": ["a"], "tags": ["B-x"], "intent": intent} for intent in ("b", "O", "10", "9")
    ]
    examples = open_examples(write(tmp_path / "t.jsonl", rows), Task.INTENT_SLOTS)
    assert find_labels(examples) == (
        *("intent:9", "intent:10", "intent:O", "intent:b"),
        *("O", "B-x", "I-x"),
    )


@pytest.mark.parametrize(
    ("tag", "intents", "message"),
    [
        ("B-x", ["on"], "has only the intent 'on'; .* --task token-classification for slots alone"),
        ("O", ["on", "off"], "has only the tag 'O'; .* --task text-classification for intents"),
    ],
)
def test_nothing_to_tell_apart_is_refused(
    tmp_path: Path, tag: str, intents: list[str], message: str
) -> None:
    rows: list[dict[str, object]] = [
        {"tokens": ["a"], "tags": [tag], "intent": intent} for intent in intents
    ]
    examples = open_examples(write(tmp_path / "t.jsonl", rows), Task.INTENT_SLOTS)
    with pytest.raises(DataError, match=message):
        find_labels(examples)


def test_a_checkpoint_that_learned_both_is_left(
    checkpoint: Path, commands: dict[str, Path]
) -> None:
    opened = open_checkpoint(str(checkpoint))
    record = opened.training
    assert record is not None and opened.model.task is record.model.task is Task.INTENT_SLOTS
    heads = split_labels(opened.model.labels)
    assert heads.intents == ("find", "paint")
    assert heads.tags == ("O", "B-COLOR", "I-COLOR", "B-PLACE", "I-PLACE")
    scores = record.dev_scores
    assert isinstance(scores, FrameScores) and scores.metric == "frame_accuracy"
    assert scores.value >= 0.9 and scores.intents.value >= 0.9 and scores.slots.value >= 0.9
    assert scores.value <= min(scores.intents.accuracy, scores.slots.accuracy)
    labeller = evaluation.TextModel.of(
        opened.model, opened.tokenizer_json, TorchEngine(load_model(opened))
    )
    again = evaluation.evaluate(labeller, open_examples(commands["dev"], opened.model.task))
    assert again.scores == scores


def test_the_config_alone_tells_the_task(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((checkpoint / name).read_bytes())
    assert open_checkpoint(str(tmp_path)).model.task is Task.INTENT_SLOTS
    with pytest.raises(CheckpointError, match="is a checkpoint for intent-slots, not for token-c"):
        open_checkpoint(str(tmp_path), Task.TOKEN_CLASSIFICATION)
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"]["6"] = "intent:late"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"config\.json: the tag 'O' stands before intents"):
        open_checkpoint(str(tmp_path))


def test_it_is_a_token_classifier_to_transformers(checkpoint: Path) -> None:
    model, info = transformers.AutoModelForTokenClassification.from_pretrained(
        checkpoint, output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert model.config.id2label[0] == "intent:find" and model.config.id2label[2] == "O"


def test_a_student_of_fewer_layers_learns_both(
    checkpoint: Path, commands: dict[str, Path], tmp_path: Path
) -> None:
    changes = {"teacher": str(checkpoint), "layers": 1}
    finished = train(commands, tmp_path / "student", **changes)
    assert finished.dev is not None and finished.dev.scores.value >= 0.85
    assert open_checkpoint(str(tmp_path / "student")).source.layers == 1


def test_soft_labels_are_of_each_head_alone(checkpoint: Path, tmp_path: Path) -> None:
    model = transformers.AutoModelForTokenClassification.from_pretrained(
        checkpoint, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    heads = split_labels(open_checkpoint(str(checkpoint)).model.labels)
    batch = {"input_ids": torch.tensor([[2, 9, 10, 3], [2, 11, 12, 3]])}
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    batch["labels"] = torch.tensor([[0, 2, 3, IGNORED], [IGNORED, 2, IGNORED, IGNORED]])

    labels = batch.pop("labels")
    made = config(
        {"train": tmp_path, "dev": tmp_path}, tmp_path, teacher="t", distillation_alpha=1.0
    )
    own = objective(counted(*ROWS), tmp_path, open_checkpoint(str(checkpoint)).model.labels)

    def taught(teacher: transformers.PreTrainedModel) -> float:
        term = soft_labels([Teacher(teacher)], own, made)
        whole = Batch(inputs=batch, labels=labels, step_labels=4, step_batches=1)
        return float(term(model, whole, model(**batch)).detach())

    def changed(rows: slice, step: int) -> float:
        teacher = load_model(open_checkpoint(str(checkpoint)))
        with torch.no_grad():
            teacher.classifier.bias[rows][::step] += 3.0
        return taught(teacher)

    assert taught(load_model(open_checkpoint(str(checkpoint)))) == pytest.approx(0, abs=1e-5)
    # A constant added to all logits of one head says nothing new; to one of them it does.
    assert changed(heads.intent_columns, 1) == pytest.approx(0, abs=1e-5)
    assert changed(heads.tag_columns, 1) == pytest.approx(0, abs=1e-5)
    assert changed(heads.intent_columns, 2) > 0.01 and changed(heads.tag_columns, 2) > 0.01


def test_the_bundle_says_what_the_checkpoint_says(
    checkpoint: Path, commands: dict[str, Path], tmp_path: Path
) -> None:
    config = ExportConfig(
        checkpoint=str(checkpoint), output=tmp_path / "b", quantize=True, keep_fp32=True, max_drop=9
    )
    manifest = export(config).manifest
    assert manifest.model.task is Task.INTENT_SLOTS
    accuracy = manifest.variants[0].accuracy
    assert accuracy is not None and accuracy.metric == "frame_accuracy" and accuracy.rows == 80
    predictor = bertedge.load(tmp_path / "b", device="cpu", variant="cpu-fp32")
    found = predictor.predict_one("here take the one blue green paris")
    assert isinstance(found, IntentSlots) and found.intent == "find"
    assert [(slot.label, slot.text) for slot in found.slots] == [
        ("COLOR", "blue green"),
        ("PLACE", "paris"),
    ]
    said = CliRunner().invoke(
        main, ["evaluate", str(tmp_path / "b"), "--data", str(commands["dev"]), "--json"]
    )
    scores = json.loads(said.stdout)["scores"]
    assert scores["metric"] == "frame_accuracy" and scores["value"] == accuracy.variant
    assert {row["label"] for row in scores["intents"]["classes"]} == {"find", "paint"}
    assert {row["label"] for row in scores["slots"]["classes"]} == {"COLOR", "PLACE"}
    shown = CliRunner().invoke(
        main, ["evaluate", str(tmp_path / "b"), "--data", str(commands["dev"])]
    )
    assert "intent accuracy" in shown.stdout and "slot entity F1" in shown.stdout


def test_a_dev_intent_that_train_lacks_is_an_error_with_its_line(
    base: Path, commands: dict[str, Path], tmp_path: Path
) -> None:
    rows: list[dict[str, object]] = [{"tokens": ["a"], "tags": ["O"], "intent": "buy"}]
    files = commands | {"dev": write(tmp_path / "dev.jsonl", rows)}
    with pytest.raises(DataError, match=r"dev\.jsonl:1: .* not have the label 'intent:buy'"):
        train(files, tmp_path / "out", model=str(base))


def test_a_thousand_intents_can_be_learned(base: Path, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"tokens": ["see", "red"], "tags": ["O", "B-COLOR"], "intent": f"i{i}"} for i in range(1000)
    ]
    file = write(tmp_path / "many.jsonl", rows)
    files = {"train": file, "dev": file}
    finished = train(files, tmp_path / "out", model=str(base), epochs=1.0, batch_size=64)
    assert len(finished.training.model.labels) == 1003


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"problem_type": "regression"}, "intent-slots takes none"),
        ({"out_of_scope": "no"}, "which this task has not"),
        ({"calibrate": True}, "which this task has not"),
    ],
)
def test_settings_of_other_tasks_are_refused(flags: dict[str, object], message: str) -> None:
    plain = {"task": "intent-slots", "train": "t", "dev": "d", "model": "m", "output": "o"}
    with pytest.raises(SettingError, match=message):
        read_config(None, plain | flags)
