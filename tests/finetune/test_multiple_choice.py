"""Contexts with their choices, from JSON lines to a checkpoint."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from bertedge import evaluation
from bertedge.checkpoint import TorchEngine, load_model, open_checkpoint
from bertedge.data import open_examples
from bertedge.data.task import guess_task
from bertedge.errors import DataError, SettingError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.features import build
from bertedge.finetune.objectives import ChoiceCollator, choice_loss
from bertedge.finetune.run import Finetuned, finetune
from bertedge.progress import SILENT
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Task
from bertedge.training.config import Precision

COLORS = ("red", "blue", "green", "white")
FRUITS = ("apple", "pear", "plum", "grape")
FILLERS = ("the", "a", "one", "very", "here", "there")


def rows(count: int, *, seed: int) -> list[dict[str, Any]]:
    """The right choice names a color, whatever the context: any tiny model learns it."""
    dice = random.Random(seed)
    found = []
    for _ in range(count):
        endings = [dice.choice(COLORS), *dice.sample(FRUITS, dice.randint(1, 3))]
        label = dice.randrange(len(endings))
        endings[0], endings[label] = endings[label], endings[0]
        endings = [f"{dice.choice(FILLERS)} {each}" for each in endings]
        context = " ".join(dice.choices(FILLERS, k=dice.randint(1, 5)))
        found.append({"context": context, "endings": endings, "label": label})
    return found


def write(path: Path, objects: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(each)}\n" for each in objects))
    return path


@pytest.fixture(scope="module")
def choices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("choices")
    splits = {"train": (160, 0), "dev": (60, 1)}
    return {
        split: write(folder / f"{split}.jsonl", rows(count, seed=seed))
        for split, (count, seed) in splits.items()
    }


def config(files: dict[str, Path], output: Path, **changes: object) -> FinetuneConfig:
    plain: dict[str, object] = {
        "task": Task.MULTIPLE_CHOICE,
        "train": files["train"],
        "dev": files["dev"],
        "output": output,
        "epochs": 5,
        "learning_rate": 3e-3,
        "batch_size": 16,
        "precision": Precision.FP32,
    }
    return FinetuneConfig(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(
    base: Path, choices: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Finetuned:
    output = tmp_path_factory.mktemp("runs") / "chosen"
    finished = finetune(config(choices, output, model=str(base)))
    assert finished is not None
    return finished


def test_a_tiny_model_learns_to_choose_and_scores_the_same_again(
    trained: Finetuned, choices: dict[str, Path]
) -> None:
    assert trained.dev is not None and trained.dev.scores is not None
    assert trained.dev.scores.value >= 0.95
    loaded = transformers.AutoModelForMultipleChoice.from_pretrained(trained.output)
    assert type(loaded).__name__ == "BertForMultipleChoice"
    checkpoint = open_checkpoint(str(trained.output))
    assert checkpoint.model.task is Task.MULTIPLE_CHOICE and checkpoint.model.pair
    model = evaluation.TextModel.of(
        checkpoint.model, checkpoint.tokenizer_json, TorchEngine(load_model(checkpoint))
    )
    again = evaluation.evaluate(model, open_examples(choices["dev"], Task.MULTIPLE_CHOICE))
    assert again.scores == trained.dev.scores
    assert again.per_text is not None and again.per_text.shape == (60, 2)


def test_a_student_of_one_layer_learns_its_teachers_choices(
    trained: Finetuned, choices: dict[str, Path], tmp_path: Path
) -> None:
    wrong = [each | {"label": 0} for each in rows(159, seed=2)]
    wrong.append(rows(1, seed=0)[0] | {"label": 1})
    files = choices | {"train": write(tmp_path / "wrong.jsonl", wrong)}
    asked = config(
        files,
        tmp_path / "student",
        teacher=str(trained.output),
        layers=1,
        epochs=8,
        distillation_alpha=1.0,
    )
    finished = finetune(asked)
    assert finished is not None and finished.dev is not None and finished.dev.scores is not None
    assert finished.dev.scores.value >= 0.9


def test_the_loss_is_that_of_the_model_itself_and_filled_up_choices_are_none(
    base: Path, choices: dict[str, Path], tmp_path: Path
) -> None:
    tokenizer = Tokenizer((base / "tokenizer.json").read_text(), max_length=32)
    examples = open_examples(choices["train"], Task.MULTIPLE_CHOICE)
    features = build(examples, ("choice",), tokenizer, tmp_path / "cache").data
    native = transformers.AutoTokenizer.from_pretrained(base)
    model = transformers.AutoModelForMultipleChoice.from_pretrained(base).eval()
    names = ("input_ids", "token_type_ids", "labels")
    data = [{name: row[name] for name in names} for row in features.select(range(24))]
    sizes = [len(row["input_ids"]) for row in data]
    assert [row["labels"][1] for row in data] == sizes and set(sizes) == {2, 3, 4}
    batch = ChoiceCollator(native)(data)
    assert batch["input_ids"].shape[:2] == (24, 4)
    labels = batch.pop("labels")
    with torch.no_grad():
        ours = choice_loss(model(**batch), labels, labels.numel())
        alone = []
        for row in data:
            one = native.pad([{"input_ids": ids} for ids in row["input_ids"]], return_tensors="pt")
            longest = one["input_ids"].shape[1]
            types = [own + [0] * (longest - len(own)) for own in row["token_type_ids"]]
            found = model(
                input_ids=one["input_ids"][None],
                attention_mask=one["attention_mask"][None],
                token_type_ids=torch.tensor([types]),
                labels=torch.tensor([row["labels"][0]]),
            )
            alone.append(float(found.loss))
    assert float(ours) == pytest.approx(np.mean(alone), abs=1e-5)


def test_the_file_shows_the_task_and_swags_own_keys_are_read(tmp_path: Path) -> None:
    swag = {
        "sent1": "it is dark in the hall",
        "sent2": "so he",
        "ending0": "turns the lights on.",
        "ending1": "plays some jazz.",
        "label": 1,
    }
    path = write(tmp_path / "swag.jsonl", [swag])
    assert guess_task(path) is Task.MULTIPLE_CHOICE
    (found,) = open_examples(path, Task.MULTIPLE_CHOICE)
    assert found.input == (swag["sent1"], "so he turns the lights on.", "so he plays some jazz.")
    assert found.names == ("1",)
    named = {"question": "who?", "options": ["he", "she"], "label": "she"}
    path = write(tmp_path / "named.jsonl", [named])
    (found,) = open_examples(path, Task.MULTIPLE_CHOICE)
    assert found.input == ("who?", "he", "she") and found.names == ("1",)
    assert guess_task(write(tmp_path / "ours.jsonl", rows(3, seed=0))) is Task.MULTIPLE_CHOICE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 4}, r":1: the label is '4'; give the place of the right choice, from 0 to 1"),
        ({"label": -1}, r":1: the label is '-1'; give the place"),
        ({"label": "of"}, r":1: the label is 'of'; give the place"),
        ({"label": None}, r":1: the label 'label' is null, a missing value"),
        ({"endings": ["on"]}, r":1: 'endings' holds 1 of 2 choices or more"),
        ({"endings": "on"}, r":1: 'endings' is a string; write a list of strings"),
        ({"endings": ["on", 3]}, r":1: 'endings' holds the number 3; write strings"),
        ({"endings": ["on", " "]}, r":1: the choice is empty"),
        ({"context": ""}, r":1: the text is empty"),
    ],
)
def test_a_row_that_is_none_is_named(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    row = {"context": "hall", "endings": ["on", "off"], "label": 0} | change
    path = write(tmp_path / "rows.jsonl", [row])
    with pytest.raises(DataError, match=message):
        list(open_examples(path, Task.MULTIPLE_CHOICE))


def test_data_and_settings_that_do_not_fit_are_refused(
    base: Path, choices: dict[str, Path], tmp_path: Path
) -> None:
    first = [each | {"label": 0} for each in rows(8, seed=0)]
    one = choices | {"train": write(tmp_path / "first.jsonl", first)}
    with pytest.raises(DataError, match="has the right choice always at place 0"):
        finetune(config(one, tmp_path / "run", model=str(base)), SILENT)
    table = tmp_path / "table.csv"
    table.write_text("context,endings,label\na,b,0\n")
    with pytest.raises(SettingError, match="contexts with their choices are read from JSON lines"):
        open_examples(table, Task.MULTIPLE_CHOICE)
    with pytest.raises(SettingError, match="multiple-choice has no classes"):
        config(choices, tmp_path / "run", model=str(base), class_weights="balanced")
