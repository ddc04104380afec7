"""Tokenized data of large files are kept from run to run, and files are never held in memory."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertedge.finetune import features, token_cache
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.data import open_data
from bertedge.finetune.run import finetune
from bertedge.progress import Silent


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """The files that are tokenized, all of them large; entries lie in a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(token_cache, "SMALLEST", 0)
    names: list[str] = []
    plain = features.build

    def build(examples: object, *rest: object, **more: object) -> features.Features:
        names.append(examples.path.name)  # type: ignore[attr-defined]
        return plain(examples, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(features, "build", build)
    return names


def run(base: Path, files: dict[str, Path], output: Path, **changes: object) -> bytes:
    settings: dict[str, object] = {"task": "text-classification", "model": str(base), **files}
    settings |= {"output": output, "epochs": 0.2, "learning_rate": 1e-3, **changes}
    finetune(FinetuneConfig(**settings), Silent())  # type: ignore[arg-type]
    return (output / "model.safetensors").read_bytes()


def test_a_second_run_tokenizes_nothing_and_ends_in_the_same_weights(
    base: Path, texts: dict[str, Path], tmp_path: Path, built: list[str]
) -> None:
    first = run(base, texts, tmp_path / "a")
    assert built == ["train.csv", "dev.csv"]
    assert run(base, texts, tmp_path / "b") == first
    run(base, texts, tmp_path / "c", learning_rate=1e-4, seed=5)
    assert built == ["train.csv", "dev.csv"]
    run(base, texts, tmp_path / "d", max_length=16)
    assert built == ["train.csv", "dev.csv"] * 2
    run(base, texts, tmp_path / "e", cache=False)
    assert built == ["train.csv", "dev.csv"] * 3


def test_another_file_another_share_or_other_labels_are_tokenized_anew(
    base: Path, texts: dict[str, Path], tmp_path: Path, built: list[str]
) -> None:
    train = {"train": tmp_path / "t.csv"}
    train["train"].write_text(texts["train"].read_text())
    run(base, train, tmp_path / "a")
    run(base, train, tmp_path / "b", seed=1)  # which other rows are held out by
    assert len(built) == 4
    train["train"].write_text(texts["train"].read_text().replace("color", "colour"))
    run(base, train, tmp_path / "c")
    assert len(built) == 6


@pytest.mark.parametrize("damage", ["rows.arrow", "facts.json"])
def test_a_damaged_entry_is_left_out_and_made_again(
    base: Path, texts: dict[str, Path], tmp_path: Path, built: list[str], damage: str
) -> None:
    first = run(base, texts, tmp_path / "a")
    for file in (tmp_path / "cache").rglob(damage):
        file.write_bytes(file.read_bytes()[:-7])
    assert run(base, texts, tmp_path / "b") == first
    assert len(built) == 4
    run(base, texts, tmp_path / "c")
    assert len(built) == 4


def test_what_was_not_used_for_longest_goes_and_a_folder_of_others_does_no_harm(
    base: Path,
    texts: dict[str, Path],
    tmp_path: Path,
    built: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(base, texts, tmp_path / "a")
    folder = token_cache.cache_folder()
    assert folder is not None and len(list(folder.iterdir())) == 2
    whole = sum(file.stat().st_size for file in folder.rglob("*.*"))
    monkeypatch.setattr(token_cache, "MOST", whole)
    before = set(folder.iterdir())
    run(base, texts, tmp_path / "b", max_length=16)
    assert len(set(folder.iterdir()) & before) < 2
    assert sum(file.stat().st_size for file in folder.rglob("*.*")) <= whole
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    run(base, texts, tmp_path / "c")


def test_reading_and_parting_a_file_holds_none_of_its_texts(tmp_path: Path) -> None:
    """Hashes and labels are kept, 50 bytes a row; the texts of this file are 12 million bytes."""
    train = tmp_path / "train.csv"
    with train.open("w") as file:
        file.write("text,label\n")
        for i in range(6000):
            file.write(f"text {i} {'word ' * 400},{'ab'[i % 2]}\n")
    config = FinetuneConfig(
        task="text-classification", train=train, model="m", output="o"  # type: ignore[arg-type]
    )  # fmt: skip
    tracemalloc.start()
    try:
        data = open_data(config)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert data.dev is not None
    assert peak < 3_000_000
