import re
from pathlib import Path

import pytest

from bertedge.errors import SettingError
from bertedge.finetune import FinetuneConfig, Precision
from bertedge.finetune.data import read_config
from bertedge.spec import Task

FLAGS = {"task": "text-classification", "train": "t.csv", "model": "m", "output": "o"}


def config_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


def test_flags_override_the_config_file_and_none_means_not_given(tmp_path: Path) -> None:
    path = config_file(tmp_path, 'task = "token-classification"\ntrain = "t.csv"\nepochs = 7\n')
    flags = {"model": "m", "output": "o", "epochs": None, "seed": 5}
    config = read_config(path, flags)
    assert config.task is Task.TOKEN_CLASSIFICATION
    assert config.epochs == 7.0 and config.seed == 5
    assert read_config(path, flags | {"epochs": 2.0}).epochs == 2.0


def test_files_of_a_config_file_are_relative_to_it_and_those_of_flags_are_not(
    tmp_path: Path,
) -> None:
    path = config_file(tmp_path, 'task = "text-classification"\ntrain = "data/t.csv"\n')
    config = read_config(path, {"dev": "d.csv", "model": "m", "output": "o"})
    assert config.train == tmp_path / "data" / "t.csv"
    assert config.dev == Path("d.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "epoch is unknown; did you mean epochs?"),
        ("colour = 3", "colour is unknown; known are task, "),
        ("clip = 3", "clip is unknown; its name is now max_grad_norm"),
        ('epochs = "three"', "epochs is 'three'; it must be a finite number"),
        ("epochs = 0", "epochs is 0.0; it must be above 0"),
        ("batch_size = 0", "batch_size is 0; it must be at least 1"),
        ("learning_rate = -1e-5", "learning_rate is -1e-05; it must be above 0"),
        ("warmup_ratio = 1.5", "warmup_ratio is 1.5; it must be at least 0 and at most 1"),
        ('precision = "fp8"', "precision is 'fp8'; choose one of auto, fp32, bf16"),
        ('freeze = "head"', "freeze is 'head'; give embeddings, a number of layers, or auto"),
        ("freeze = -1", "freeze is -1"),
        ("learning_rate = nan", "learning_rate is nan; it must be a finite number"),
        ("epochs = [", "cannot be read as TOML"),
    ],
)
def test_a_wrong_entry_is_named_with_what_to_write(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingError) as error:
        read_config(config_file(tmp_path, text + "\n"), FLAGS)
    assert message in str(error.value)


def test_a_missing_entry_names_the_flag() -> None:
    with pytest.raises(SettingError, match=r"--train is missing; give the flag, or train in a"):
        read_config(None, {"task": "text-classification", "model": "m", "output": "o"})


def test_a_missing_config_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="does not exist"):
        read_config(tmp_path / "no.toml", FLAGS)


def test_what_the_data_settles_is_unset() -> None:
    config = read_config(None, FLAGS)
    assert (config.epochs, config.batch_size, config.learning_rate) == (None, None, None)
    assert config.precision is Precision.AUTO


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
        ("# " + "a" * 2**20, "has more than 1 MiB; is it a config file"),
        ('model = "\xff"', "cannot be read as TOML: 'utf-8' codec can't decode"),
    ],
)
def test_hostile_config_files_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(text.encode("latin-1"))
    flags = {"task": "text-classification", "train": "a", "model": "b", "output": "c"}
    given = {name: value for name, value in flags.items() if not text.startswith(name)}
    with pytest.raises(SettingError, match=message) as caught:
        read_config(path, given)
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 300


def test_a_config_file_is_a_regular_file(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(SettingError, match="is no regular file"):
            read_config(path, {})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0.0}, "epochs is 0.0; it must be above 0 and at most 10000"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"precision": "fp8"}, "precision is 'fp8'; choose one of auto, fp32, bf16"),
        ({"epochs": "three"}, "epochs is 'three'; it must be a finite number"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; it must be a finite number"),
        ({"task": "fill-mask"}, "task is fill-mask, which needs no labels"),
        ({"model": None}, "model is missing; give a base model, or a teacher to distill"),
        ({"teacher": ("t", 3)}, "teacher[1] must be a string, found int"),
        (
            {"calibrate": True, "dev_share": 0.0},
            "calibrate is settled on labelled dev data; give --dev FILE",
        ),
        ({"dev_share": 0.95}, "dev_share is 0.95; it must be at least 0 and at most 0.9"),
        ({"dev_share": 0.2, "dev": "d.csv"}, "dev_share is 0.2, but the dev data are d.csv"),
    ],
)
def test_python_is_told_what_a_config_file_is_told(
    tmp_path: Path, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingError) as raised:
        FinetuneConfig(**{**FLAGS, **wrong})  # type: ignore[arg-type]
    assert message in str(raised.value)
    plain = {name: value for name, value in (FLAGS | wrong).items() if value is not None}
    if "model" in plain:
        with pytest.raises(SettingError, match=re.escape(str(raised.value))):
            read_config(None, plain)


def test_plain_values_become_what_the_fields_hold() -> None:
    config = FinetuneConfig(**FLAGS, precision="bf16", freeze="2", dev="d.csv")  # type: ignore[arg-type]
    assert config.precision is Precision.BF16 and config.task is Task.TEXT_CLASSIFICATION
    assert (config.train, config.dev, config.freeze) == (Path("t.csv"), Path("d.csv"), 2)
