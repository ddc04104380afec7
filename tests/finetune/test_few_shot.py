"""Few rows a label: the regime, the choice, and what is trained then."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from bertedge.checkpoint import open_checkpoint
from bertedge.errors import SettingError
from bertedge.export import ExportConfig, export
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.data import open_data
from bertedge.finetune.few_shot import CHOICE, settle_few_shot
from bertedge.finetune.inputs import open_inputs
from bertedge.finetune.preparation import prepare
from bertedge.finetune.run import finetune
from bertedge.progress import Silent
from bertedge.spec import PoolingMode, Task


class Said(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(scope="module")
def few(texts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("few") / "few.csv"
    path.write_text("\n".join(texts["train"].read_text().splitlines()[:33]) + "\n")
    return path


def config(train: Path, base: Path, output: Path, **changes: Any) -> FinetuneConfig:
    plain = {"task": Task.TEXT_CLASSIFICATION, "train": train, "model": str(base)}
    return FinetuneConfig(**plain | {"output": output} | changes)


def encoder(folder: Path) -> dict[str, Any]:
    weights = load_file(folder / "model.safetensors")
    return {name.removeprefix("bert."): value for name, value in weights.items()}


def moved(base: Path, folder: Path) -> set[str]:
    """Return the encoder's parameters that training has changed."""
    before, after = encoder(base), encoder(folder)
    return {name for name in before if name in after and (before[name] != after[name]).any()}


def test_few_rows_a_label_are_recognised_and_the_better_way_is_taken(
    few: Path, base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    said = Said()
    finished = finetune(config(few, base, tmp_path / "run", dev=texts["dev"]), said)
    assert finished is not None and finished.dev is not None and finished.dev.scores is not None
    (line,) = [line for line in said.lines if "rows a label: cross-validated" in line]
    assert line.startswith("16 rows a label")
    way = finished.training.settings["few_shot"]
    assert way in ("head", "contrastive") and f"--few-shot {way}" in line
    assert finished.training.settings["train_layers"] == 0
    assert finished.training.model.classifier_pooling is PoolingMode.MEAN
    assert finished.dev.scores.value > 0.6  # always one label: 0.5
    report = export(
        ExportConfig(checkpoint=str(tmp_path / "run"), output=tmp_path / "bundle", quantize=True)
    )
    assert report.manifest.model == open_checkpoint(str(tmp_path / "run")).model


def test_contrastive_training_changes_the_encoder_and_the_head_alone_does_not(
    few: Path, base: Path, tmp_path: Path
) -> None:
    counts = {}
    for way in ("head", "contrastive"):
        finished = finetune(config(few, base, tmp_path / way, few_shot=way), Silent())
        assert finished is not None
        counts[way] = finished.training.trained_parameters
    head = load_file(tmp_path / "head" / "model.safetensors")
    of_head = sum(each.size for name, each in head.items() if "classifier" in name)
    assert counts == {"head": of_head, "contrastive": sum(each.size for each in head.values())}
    assert moved(base, tmp_path / "head") == set()
    changed = moved(base, tmp_path / "contrastive")
    assert {"encoder.layer.0.output.dense.weight", "embeddings.LayerNorm.weight"} <= changed


@pytest.mark.parametrize("given", [{"epochs": 1}, {"few_shot": "none", "epochs": 1}, {"rows": 200}])
def test_who_asks_for_fine_tuning_or_has_many_rows_gets_it(
    given: dict[str, Any], few: Path, base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    many = given.pop("rows", None)
    if many:
        given = {"epochs": None}
    said = Said()
    train = texts["train"] if many else few
    finished = finetune(config(train, base, tmp_path / "run", **given), said)
    assert finished is not None
    assert finished.training.settings["train_layers"] is None
    assert not any("rows a label" in line for line in said.lines)


@pytest.mark.parametrize("way", ["head", "contrastive"])
def test_what_an_interrupted_run_chose_is_not_chosen_again(
    way: str, few: Path, base: Path, tmp_path: Path
) -> None:
    asked, said = config(few, base, tmp_path / "run"), Said()
    prepared = prepare(open_inputs(asked, open_data(asked)), tmp_path / "work")
    (tmp_path / "work" / CHOICE).write_text(json.dumps({"few_shot": way}))
    settled, _ = settle_few_shot(asked, prepared, tmp_path / "work", said)
    assert settled.few_shot == way and said.lines == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "token-classification"}, "few_shot is head, which is for text-classification"),
        ({"problem_type": "regression"}, "few_shot is head, which is for text-classification"),
        ({"pooling": "cls"}, "reads the mean of the hidden states, but pooling is cls"),
        ({"peft": "lora"}, "--few-shot head and --peft cannot be combined"),
        ({"few_shot": "some"}, "few_shot"),
    ],
)
def test_what_it_is_not_for_is_refused_in_one_line(
    changes: dict[str, Any], message: str, few: Path, base: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match=message):
        config(few, base, tmp_path / "run", **{"few_shot": "head"} | changes)
