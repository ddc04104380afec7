from collections.abc import Callable
from pathlib import Path

import pytest

from bertedge.training.seal import SEAL, fault_of, is_sealed, seal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    state = tmp_path / "checkpoint-1"
    state.mkdir()
    (state / "weights").write_bytes(bytes(range(256)))
    (state / "empty").touch()
    (state / "state.json").write_text("{}")
    seal(state)
    return state


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "missing": Path.unlink,
    "flipped": flip,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


def test_a_sealed_folder_is_whole(folder: Path) -> None:
    assert is_sealed(folder) and fault_of(folder) is None


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["weights", "state.json", SEAL])
def test_whatever_befalls_a_file_is_found_and_it_is_named(
    folder: Path, name: str, damage: str
) -> None:
    DAMAGES[damage](folder / name)
    found = fault_of(folder)
    assert found is not None
    assert name in found or name == SEAL


def test_a_folder_without_a_seal_was_not_saved_to_the_end(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        assert not is_sealed(folder)
        assert fault_of(folder) == "was not saved to the end"


@pytest.mark.parametrize("text", ["[", "{}", "[1]", '[{"file": 1}]', "null", "", '["a"]'])
def test_a_seal_that_lists_nothing_is_a_fault(folder: Path, text: str) -> None:
    (folder / SEAL).write_text(text)
    assert fault_of(folder) is not None
