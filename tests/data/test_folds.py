"""Folds: every row in one, each label spread evenly, equal texts together."""

from pathlib import Path

import numpy as np
import pytest

from bertedge.data import open_examples
from bertedge.data.folds import assign_folds, select_rows
from bertedge.errors import DataError
from bertedge.spec import ProblemType, Task

SEEDS = (0, 1, 2)


def write(path: Path, rows: list[tuple[str, object]]) -> Path:
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return path


@pytest.mark.parametrize("seed", SEEDS)
def test_each_label_is_spread_over_all_folds_evenly(tmp_path: Path, seed: int) -> None:
    counts = {"common": 53, "some": 11, "rare": 2}
    rows = [(f"text {label} {i}", label) for label, n in counts.items() for i in range(n)]
    file = open_examples(write(tmp_path / "a.csv", rows), Task.TEXT_CLASSIFICATION)
    fold = assign_folds(file, 5, seed)
    sizes = np.bincount(fold, minlength=5)
    assert len(fold) == 66 and sizes.max() - sizes.min() <= 1
    for label, count in counts.items():
        own = np.bincount(fold[[name == label for _, name in rows]], minlength=5)
        assert own.sum() == count and own.max() - own.min() <= 1
    assert (fold != assign_folds(file, 5, seed + 1)).any()
    assert (fold == assign_folds(file, 5, seed)).all()


def test_equal_texts_are_in_one_fold(tmp_path: Path) -> None:
    rows = [(f"{'Text' if i % 2 else 'text'}  {i // 4}", "ab"[i % 2]) for i in range(80)]
    file = open_examples(write(tmp_path / "a.csv", rows), Task.TEXT_CLASSIFICATION)
    fold = assign_folds(file, 4, 0).reshape(20, 4)
    assert (fold == fold[:, :1]).all()
    assert np.bincount(fold[:, 0]).tolist() == [5] * 4


def test_values_are_spread_by_their_size(tmp_path: Path) -> None:
    rows = [(f"text {i}", i / 7) for i in range(100)]
    file = open_examples(
        write(tmp_path / "a.csv", rows),
        Task.TEXT_CLASSIFICATION,
        problem_type=ProblemType.REGRESSION,
    )
    fold = assign_folds(file, 2, 0)
    for i in range(0, 100, 10):
        assert np.bincount(fold[i : i + 10]).tolist() == [5, 5]


def test_rows_are_read_in_the_files_order_and_no_others(tmp_path: Path) -> None:
    rows = [(f"text {i}", "ab"[i % 2]) for i in range(6)]
    file = open_examples(write(tmp_path / "a.csv", rows), Task.TEXT_CLASSIFICATION)
    chosen = select_rows(file, np.array([False, True, False, False, True, True]))
    assert [each.input for each in chosen] == ["text 1", "text 4", "text 5"]


def test_fewer_texts_than_folds_are_an_error(tmp_path: Path) -> None:
    file = open_examples(
        write(tmp_path / "a.csv", [("one", "a"), ("two", "b"), ("two", "b")]),
        Task.TEXT_CLASSIFICATION,
    )
    with pytest.raises(DataError, match="2 different texts, too few for 3 folds"):
        assign_folds(file, 3, 0)
