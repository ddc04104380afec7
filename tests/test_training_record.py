"""`training.json` names its data files without saying where on this machine they lie."""

import shutil
from pathlib import Path

import pytest

from bertedge.checkpoint import DataFile
from bertedge.checkpoint.training import path_from
from bertedge.data import Columns, hash_examples
from bertedge.errors import DataError


def record(file: Path, folder: Path) -> DataFile:
    return DataFile(
        path=path_from(folder, file), sha256=hash_examples(file), rows=1, columns=Columns()
    )


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "project" / "data" / "train.csv"
    path.parent.mkdir(parents=True)
    path.write_text("text,label\na,x\n")
    return path


def test_a_file_is_found_from_the_checkpoint_wherever_both_are_moved(
    train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project" / "runs" / "mine"
    folder.mkdir(parents=True)
    file = record(train, folder)
    assert file.path == "../../data/train.csv"
    assert file.locate(folder).resolve() == train
    moved = shutil.move(tmp_path / "project", tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    found = file.locate(Path(moved) / "runs" / "mine")
    assert found == Path("elsewhere/data/train.csv")


def test_a_relative_name_is_of_the_working_directory(
    train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(train.parent)
    assert path_from(Path("../runs/mine"), Path("train.csv")) == "../../data/train.csv"


def test_a_home_is_not_recorded(
    train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "project"))
    outside, inside = tmp_path / "out", tmp_path / "project" / "out"
    assert path_from(outside, train) == "train.csv"
    assert path_from(inside, train) == "../data/train.csv"
    outside.mkdir()
    file = record(train, outside)
    with pytest.raises(DataError, match=r"train\.csv is not there any more"):
        file.locate(outside)
    monkeypatch.chdir(train.parent)
    assert file.locate(outside) == Path("train.csv")


@pytest.mark.parametrize("where", ["", ".."])
def test_a_file_beside_the_checkpoint_is_found_by_its_name(
    train: Path, tmp_path: Path, where: str
) -> None:
    folder = tmp_path / "copied" / "mine"
    folder.mkdir(parents=True)
    file = record(train, tmp_path / "project" / "runs" / "mine")
    copy = shutil.copy(train, folder / where / "train.csv")
    assert file.locate(folder).resolve() == Path(copy).resolve()


def test_a_changed_file_is_not_taken(train: Path, tmp_path: Path) -> None:
    folder = tmp_path / "project" / "mine"
    folder.mkdir()
    file = record(train, folder)
    train.write_text("text,label\na,y\n")
    with pytest.raises(DataError, match=r"train\.csv has changed since the training"):
        file.locate(folder)


def test_records_of_before_are_absolute(train: Path, tmp_path: Path) -> None:
    file = DataFile(path=str(train), sha256=hash_examples(train), rows=1, columns=Columns())
    assert file.locate(tmp_path).resolve() == train
