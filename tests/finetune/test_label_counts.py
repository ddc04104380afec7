"""What stands on the screen before training: label counts, and what may be wrong with the data."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.data import Data, open_data

TEXTS = "text-classification"


def table(path: Path, rows: Iterable[tuple[str, str]]) -> Path:
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return path


def opened(train: Path, task: str = TEXTS, **more: object) -> Data:
    plain: dict[str, object] = {"task": task, "train": train, "model": "m", "output": "o"}
    return open_data(FinetuneConfig(**{**plain, "dev_share": 0.0, **more}))  # type: ignore[arg-type]


def clean(labels: Iterable[str]) -> list[tuple[str, str]]:
    return [(f"text {i}", label) for i, label in enumerate(labels)]


def test_labels_stand_with_their_rows_and_shares_the_most_frequent_first(tmp_path: Path) -> None:
    data = opened(table(tmp_path / "a.csv", clean(["seldom"] * 11 + ["often"] * 33)))
    assert data.table == (
        "label        rows   share",
        "often          33   75.0%",
        "seldom         11   25.0%",
    )
    assert data.hints == ()


def test_of_many_labels_the_first_and_the_last_are_shown(tmp_path: Path) -> None:
    labels = [f"kind {'abcdefghijkl'[i]}" for i in range(12) for _ in range(30 - i)]
    shown = opened(table(tmp_path / "a.csv", clean(labels))).table
    assert [line.split("  ")[0] for line in shown] == [
        *("label", "kind a", "kind b", "kind c", "… 6 more", "kind j", "kind k", "kind l")
    ]


def test_labels_of_few_rows_are_named(tmp_path: Path) -> None:
    labels = ["much"] * 40 + ["ten"] * 10 + ["two"] * 2 + ["eleven"] * 11
    (hint,) = opened(table(tmp_path / "a.csv", clean(labels))).hints
    assert hint.startswith("2 of 4 labels have 10 rows or fewer: 'two' (2), 'ten' (10);")


def test_tags_are_counted_as_entities_and_intents_as_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = [
        {"tokens": ["a", "b", f"{i}"], "tags": ["B-X", "I-X", "B-Y"], "intent": "pq"[i % 2]}
        for i in range(22)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shown = " ".join(" ".join(opened(path, "intent-slots").table).split())
    assert shown == (
        "intent rows share p 11 50.0% q 11 50.0% entity found share X 22 50.0% Y 22 50.0%"
    )
    assert opened(path, "token-classification").table[0].startswith("entity")


def test_repeated_texts_and_those_whose_labels_differ_are_said(tmp_path: Path) -> None:
    rows = clean(["a", "b"] * 20)
    rows += [("Text  0", "a"), ("text 1", "a"), ("text 1", "b")]
    hints = opened(table(tmp_path / "a.csv", rows)).hints
    assert hints == (
        "3 of 43 rows (7.0%) repeat the text of another (see lines 2 and 42)",
        "1 text has different labels in different rows (see lines 3 and 43); which are right?",
    )


def test_dev_texts_that_are_trained_on_are_said(tmp_path: Path) -> None:
    train = table(tmp_path / "a.csv", clean(["a", "b"] * 20))
    dev = table(tmp_path / "dev.csv", [("new", "a"), ("TEXT 3", "b"), ("newer", "b")])
    (hint,) = opened(train, dev=dev, dev_share=None).hints
    assert hint == (
        "1 of 3 dev texts (33.3%) are in the training file, too (see dev.csv:3); scores on them "
        "say too much"
    )


@pytest.mark.parametrize("task", ["question-answering", "regression"])
def test_values_and_answers_have_no_table_but_their_repetitions_are_found(
    tmp_path: Path, task: str
) -> None:
    if task == "regression":
        path = table(tmp_path / "a.csv", [(f"text {i % 30}", str(i / 2)) for i in range(40)])
        data, what = opened(path, problem_type="regression"), "values"
    else:
        path, what = tmp_path / "a.jsonl", "answers"
        with path.open("w") as file:
            for i in range(40):
                row = {"question": f"q{i % 30}", "context": f"c: {i}" if i < 30 else f"c: {i - 30}"}
                answers = {"text": ["c" if i < 30 else ":"], "answer_start": [0 if i < 30 else 1]}
                file.write(json.dumps(row | {"answers": answers}) + "\n")
        data = opened(path, task)
    assert data.table == ()
    assert [hint.split(" (")[0] for hint in data.hints] == [
        "10 of 40 rows",
        f"10 texts have different {what} in different rows",
    ]
