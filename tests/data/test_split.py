import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from bertedge.data import ExampleFile, QuestionExample, TextExample, TokenExample, open_examples
from bertedge.data.label_map import read_label_map
from bertedge.data.labels import with_label_map
from bertedge.data.split import side_of, split
from bertedge.spec import ProblemType, Task

SEEDS = (0, 1, 42)


def table(path: Path, rows: Iterable[tuple[str, str]], **more: object) -> ExampleFile:
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return open_examples(path, Task.TEXT_CLASSIFICATION, **more)  # type: ignore[arg-type]


def texts(examples: ExampleFile) -> list[str]:
    return [each.text for each in examples if isinstance(each, TextExample)]


def names(examples: ExampleFile) -> Counter[str]:
    return Counter(
        name for each in examples if not isinstance(each, QuestionExample) for name in each.names
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_each_label_is_held_out_in_the_same_share_and_every_row_is_on_one_side(
    tmp_path: Path, seed: int
) -> None:
    labels = ["a"] * 600 + ["b"] * 300 + ["c"] * 100
    whole = table(tmp_path / "a.csv", [(f"text {i}", label) for i, label in enumerate(labels)])
    found = split(whole, 0.1, seed)
    assert found is not None
    assert names(found.held_out) == {"a": 60, "b": 30, "c": 10}
    assert (found.train_rows, found.held_out_rows) == (900, 100)
    assert sorted(texts(found.train) + texts(found.held_out)) == sorted(texts(whole))
    held_out = set(texts(found.held_out))
    places = [i for i, text in enumerate(texts(whole)) if text in held_out]
    assert min(places) < 100 and 350 < places[45] < 650, "not from one end of the file"


def test_another_seed_holds_out_other_rows_and_the_same_seed_the_same(tmp_path: Path) -> None:
    whole = table(tmp_path / "a.csv", [(f"text {i}", "ab"[i % 2]) for i in range(200)])
    sides = [split(whole, 0.2, seed) for seed in (1, 1, 2)]
    first, again, other = [texts(side.held_out) for side in sides if side is not None]
    assert first == again and len(set(first) & set(other)) < 20


@pytest.mark.parametrize("seed", SEEDS)
def test_many_classes_of_few_rows_give_the_share_of_all_rows_and_keep_theirs(
    tmp_path: Path, seed: int
) -> None:
    rows = [(f"text {i} of {j}", f"label {j}") for j in range(50) for i in range(4)]
    found = split(table(tmp_path / "a.csv", rows), 0.1, seed)
    assert found is not None and found.held_out_rows == 20
    assert set(names(found.held_out).values()) == {1}
    assert len(names(found.train)) == 50


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_of_one_text_stay_together_but_for_case_and_spaces(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    rows = [(f"Text  {i}" if j else f"text {i} ", "ab"[i % 2]) for i in range(100) for j in (0, 1)]
    rng.shuffle(rows)
    found = split(table(tmp_path / "a.csv", rows), 0.2, seed)
    assert found is not None and found.held_out_rows == 40
    sides = [
        {" ".join(text.lower().split()) for text in texts(side)}
        for side in (found.train, found.held_out)
    ]
    assert not sides[0] & sides[1]


@pytest.mark.parametrize("seed", range(20))
def test_no_label_loses_its_last_row(tmp_path: Path, seed: int) -> None:
    """One has a single row; another's only text is also a text of the first."""
    rows = [(f"text {i}", "a") for i in range(12)] + [("text 3", "b"), ("alone", "c")]
    found = split(table(tmp_path / "a.csv", rows), 0.5, seed)
    assert found is not None
    assert set(names(found.train)) == {"a", "b", "c"}


@pytest.mark.parametrize(("rows", "expected"), [(10, 1), (20, 2), (35, 4)])
def test_tiny_files_hold_out_a_row_at_least(tmp_path: Path, rows: int, expected: int) -> None:
    whole = table(tmp_path / "a.csv", [(f"text {i}", "ab"[i % 2]) for i in range(rows)])
    found = split(whole, 0.1, 42)
    assert found is not None and found.held_out_rows == expected


def test_where_each_label_has_one_text_nothing_is_held_out(tmp_path: Path) -> None:
    rows = [("one", "a"), ("two", "b")] * 30
    assert split(table(tmp_path / "a.csv", rows), 0.2, 42) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_several_labels_and_rare_ones_among_them_are_on_both_sides(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    rows = []
    for i in range(400):
        has = [name for name, share in (("x", 0.6), ("y", 0.3), ("rare", 0.05)) if
               rng.random() < share]  # fmt: skip
        rows.append((f"text {i}", f'"{",".join(has)}"'))
    whole = table(tmp_path / "a.csv", rows, problem_type=ProblemType.MULTI_LABEL)
    found = split(whole, 0.2, seed)
    assert found is not None and found.held_out_rows == 80
    for name, count in names(whole).items():
        assert names(found.held_out)[name] == pytest.approx(0.2 * count, rel=0.35)


@pytest.mark.parametrize("seed", SEEDS)
def test_values_are_held_out_of_their_whole_range(tmp_path: Path, seed: int) -> None:
    rows = [(f"text {i}", str(i / 7)) for i in range(200)]
    whole = table(tmp_path / "a.csv", rows, problem_type=ProblemType.REGRESSION)
    found = split(whole, 0.1, seed)
    assert found is not None
    values = [each.value for each in found.held_out if isinstance(each, TextExample)]
    bins = Counter(int((value or 0) * 7) // 20 for value in values)
    assert bins == dict.fromkeys(range(10), 2)


def test_sentences_with_rare_tags_are_on_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("w") as file:
        for i in range(300):
            tags = ["O", "B-rare" if i % 30 == 0 else "B-usual" if i % 3 == 0 else "O"]
            file.write(json.dumps({"tokens": ["a", f"w{i}"], "tags": tags}) + "\n")
    found = split(open_examples(path, Task.TOKEN_CLASSIFICATION), 0.1, 42)
    assert found is not None and found.held_out_rows == 30
    assert names(found.held_out) == {"B-rare": 1, "B-usual": 9, "O": 50}
    assert all(isinstance(each, TokenExample) for each in found.train)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_context_is_on_both_sides(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("w") as file:
        for i in range(200):
            answers = {"text": ["lies"], "answer_start": [7]} if i % 4 else {"text": [],
                       "answer_start": []}  # fmt: skip
            row = {"question": f"q{i}", "context": f"c {i // 5:3d} lies", "answers": answers}
            file.write(json.dumps(row) + "\n")
    found = split(open_examples(path, Task.QUESTION_ANSWERING), 0.1, seed)
    assert found is not None and 10 <= found.held_out_rows <= 20
    sides = [
        {each.context for each in side if isinstance(each, QuestionExample)}
        for side in (found.train, found.held_out)
    ]
    assert not sides[0] & sides[1]


def test_the_rows_are_found_again_by_what_is_recorded(tmp_path: Path) -> None:
    labels = tmp_path / "names.json"
    labels.write_text('{"a": "A", "b": "B"}')
    plain = table(tmp_path / "a.csv", [(f"text {i}", "ab"[i % 2]) for i in range(200)])
    whole = with_label_map(plain, read_label_map(labels))
    found = split(whole, 0.25, 7)
    assert found is not None
    for side in (found.train, found.held_out):
        again = side_of(open_examples(whole.path, Task.TEXT_CLASSIFICATION), side.part)
        assert texts(again) == texts(side)
    assert side_of(whole, None) == whole


def test_rows_that_are_added_leave_most_others_where_they_were(tmp_path: Path) -> None:
    rows = [(f"text {i}", "ab"[i % 2]) for i in range(400)]
    before = split(table(tmp_path / "a.csv", rows), 0.1, 42)
    after = split(table(tmp_path / "b.csv", [("new", "a"), *rows, ("newer", "b")]), 0.1, 42)
    assert before is not None and after is not None
    assert len(set(texts(before.held_out)) & set(texts(after.held_out))) >= 38


def test_a_view_reads_the_file_again_each_time_and_counts_its_own_rows(tmp_path: Path) -> None:
    whole = table(tmp_path / "a.csv", [(f"text {i}", "ab"[i % 2]) for i in range(10)])
    view = replace(whole, rows=bytes([1, 0] * 5))
    assert texts(view) == texts(view) == [f"text {i}" for i in range(0, 10, 2)]


def test_every_version_parts_an_unchanged_file_alike(tmp_path: Path) -> None:
    """The dev data of a checkpoint are found again by share and seed: their choice is fixed."""
    rows = [(f"Text {i}", "ab"[i % 2]) for i in range(20)]
    found = split(table(tmp_path / "a.csv", rows), 0.2, 42)
    assert found is not None

    def place(text: str) -> int:
        key = (42).to_bytes(8, "little")
        digest = hashlib.blake2b(text.lower().encode(), digest_size=8, key=key).digest()
        return int.from_bytes(digest, "little")

    first = [sorted((text for text, label in rows if label == own), key=place)[:2] for own in "ab"]
    assert sorted(texts(found.held_out)) == sorted(first[0] + first[1])
