from pathlib import Path

import pytest

from bertedge.errors import SettingError
from bertedge.finetune.recipe import Precision, read_recipe
from bertedge.spec import Task

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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 5000 + "]" * 5000, "cannot be read as TOML|table or a list of lists"),
        ("a." * 5000 + "a = 1", "a is a table or a list of lists; give one value"),
        ("a = " + "{a = " * 5000 + "1" + "}" * 5000, "cannot be read as TOML|is a table"),
        ("epochs = " + "9" * 5000, "cannot be read as TOML: Exceeds the limit"),
        ("epochs = " + "9" * 4000, "epochs is a whole number of 13288 bits; give less"),
        ("seed = 0x" + "f" * 5000, "seed is a whole number of 20000 bits; give less"),
        ("seed = [1, 0x" + "f" * 5000 + "]", "seed is a whole number of 20000 bits"),
        ('model = "a\\u0000b"', "model holds a NUL character; delete it"),
        ('train = ["a", "\\u0000"]', "train holds a NUL character"),
        ('model = "a\0b"', "cannot be read as TOML"),
        ("learning_rate = nan", "learning_rate is nan; it must be a finite number"),
        ("a" * 5000 + " = 1", "is unknown"),
        ('task = "' + "a" * 100_000 + '"', "task is .aaa"),
        ("# " + "a" * 2**20, "has more than 1 MiB; is it a recipe"),
        ('model = "\xff"', "cannot be read as TOML: 'utf-8' codec can't decode"),
    ],
)
def test_hostile_recipes_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(text.encode("latin-1"))
    flags = {"task": "text-classification", "train": "a", "model": "b", "output": "c"}
    given = {name: value for name, value in flags.items() if not text.startswith(name)}
    with pytest.raises(SettingError, match=message) as caught:
        read_recipe(path, given)
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 300


def test_a_recipe_is_a_regular_file(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(SettingError, match="is no regular file"):
            read_recipe(path, {})
