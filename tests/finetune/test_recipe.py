from pathlib import Path

import pytest

from bertedge.errors import SettingError
from bertedge.finetune.recipe import Precision, read_recipe
from bertedge.tasks import Task

FLAGS = {"task": "text-classification", "train": "t.csv", "model": "m", "output": "o"}


def recipe_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


def test_flags_override_the_recipe_and_none_means_not_given(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, 'task = "token-classification"\ntrain = "t.csv"\nepochs = 7\n')
    flags = {"model": "m", "output": "o", "epochs": None, "seed": 5}
    recipe = read_recipe(path, flags)
    assert recipe.task is Task.TOKEN_CLASSIFICATION
    assert recipe.epochs == 7.0 and recipe.seed == 5
    assert read_recipe(path, flags | {"epochs": 2.0}).epochs == 2.0


def test_files_of_a_recipe_are_relative_to_it_and_those_of_flags_are_not(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, 'task = "text-classification"\ntrain = "data/t.csv"\n')
    recipe = read_recipe(path, {"dev": "d.csv", "model": "m", "output": "o"})
    assert recipe.train == tmp_path / "data" / "t.csv"
    assert recipe.dev == Path("d.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "epoch is unknown; known are task, train"),
        ('epochs = "three"', "epochs is 'three'; it must be a finite number"),
        ("epochs = 0", "epochs is 0.0; it must be above 0"),
        ("batch_size = 0", "batch_size is 0; it must be at least 1"),
        ("learning_rate = -1e-5", "learning_rate is -1e-05; it must be above 0"),
        ("warmup = 1.5", "warmup is 1.5; it must be at least 0 and at most 1"),
        ('precision = "fp8"', "precision is 'fp8'; choose one of auto, fp32, bf16"),
        ('freeze = "head"', "freeze is 'head'; give embeddings, or a number of layers"),
        ("freeze = -1", "freeze is -1"),
        ("learning_rate = nan", "learning_rate is nan; it must be a finite number"),
        ("epochs = [", "cannot be read as TOML"),
    ],
)
def test_a_wrong_entry_is_named_with_what_to_write(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingError) as error:
        read_recipe(recipe_file(tmp_path, text + "\n"), FLAGS)
    assert message in str(error.value)


def test_a_missing_entry_names_the_flag() -> None:
    with pytest.raises(SettingError, match=r"--train is missing; give the flag, or train in a"):
        read_recipe(None, {"task": "text-classification", "model": "m", "output": "o"})


def test_a_missing_recipe_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="does not exist"):
        read_recipe(tmp_path / "no.toml", FLAGS)


def test_defaults_are_the_documented_ones() -> None:
    recipe = read_recipe(None, FLAGS)
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (3.0, 32, 5e-5)
    assert recipe.precision is Precision.AUTO
