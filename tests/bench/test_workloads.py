import json
from pathlib import Path

import pytest

from bertedge.bench.workloads import (
    Cell,
    default_grid,
    draw,
    parse_grid,
    plain_tokens,
    text_of,
    text_workloads,
    token_workload,
)
from bertedge.data import open_examples
from bertedge.errors import SettingError
from bertedge.spec import Task


def names(cells: tuple[Cell, ...]) -> list[str]:
    return [cell.name for cell in cells]


def test_a_grid_is_read_in_order_and_without_repetitions():
    assert names(parse_grid("8x16, 1x128,8x16", 128)) == ["8x16", "1x128"]


@pytest.mark.parametrize("text", ["", "16", "1x", "0x16", "1x0", "ax3", "1x16,", "-1x16", "1x16x2"])
def test_a_malformed_grid_is_refused_with_an_example(text: str):
    with pytest.raises(SettingError, match="1x16,8x128"):
        parse_grid(text, 128)


def test_a_grid_longer_than_the_model_is_refused_with_its_length():
    with pytest.raises(SettingError, match="1x65, but the model reads 64"):
        parse_grid("1x64,1x65", 64)


def test_the_default_grid_is_cut_to_the_model():
    assert names(default_grid(512)) == ["1x16", "1x128", "8x128"]
    assert names(default_grid(64)) == ["1x16", "1x64", "8x64"]
    assert names(default_grid(8)) == ["1x8", "8x8"]


def test_plain_tokens_are_the_vocabulary_without_special_tokens(bundle: Path):
    text = (bundle / "tokenizer.json").read_text(encoding="utf-8")
    vocabulary = json.loads(text)["model"]["vocab"]
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    expected = sorted(number for token, number in vocabulary.items() if token not in special)
    assert plain_tokens(text, len(vocabulary)) == expected
    assert max(plain_tokens(text, 50)) == 49


@pytest.mark.parametrize(("batch", "batches"), [(1, 32), (8, 4), (32, 1), (50, 1)])
def test_a_cell_has_enough_rows_to_compare_labels_on(batch: int, batches: int):
    workload = token_workload(Cell(batch=batch, length=3), [7, 8, 9], seed=1)
    assert len(workload.batches) == batches
    assert {len(rows) for rows in workload.batches} == {batch}
    assert {len(row) for rows in workload.batches for row in rows} == {3}
    assert {token for rows in workload.batches for row in rows for token in row} == {7, 8, 9}


def test_the_seed_decides_on_the_tokens():
    cell, tokens = Cell(batch=2, length=16), range(1000)
    assert token_workload(cell, tokens, seed=1) == token_workload(cell, tokens, seed=1)
    assert token_workload(cell, tokens, seed=1) != token_workload(cell, tokens, seed=2)


def drawn(
    data: Path, task: Task, seed: int = 0, *, pair: bool = False
) -> tuple[tuple[str, ...], ...]:
    file = open_examples(data, task, labelled=False, pair=pair)
    return tuple(text_of(each) for each in draw(file, 100, seed=seed))


def test_texts_are_drawn_evenly_and_kept_in_the_order_of_the_file(tmp_path: Path):
    data = tmp_path / "data.csv"
    data.write_text("text\n" + "".join(f"text {n:04}\n" for n in range(1000)))
    texts = drawn(data, Task.TEXT_CLASSIFICATION)
    assert len(set(texts)) == 100
    assert list(texts) == sorted(texts)
    assert texts == drawn(data, Task.TEXT_CLASSIFICATION)
    assert texts != drawn(data, Task.TEXT_CLASSIFICATION, 1)
    assert 25 <= sum(text < ("text 0500",) for text in texts) <= 75


def test_a_short_file_is_taken_whole_its_pairs_as_they_are_its_words_as_texts(tmp_path: Path):
    pairs, words = tmp_path / "data.tsv", tmp_path / "data.conll"
    pairs.write_text("sentence1\tsentence2\nfirst\tsecond\nthird\tfourth\n")
    found = drawn(pairs, Task.TEXT_CLASSIFICATION, pair=True)
    assert found == (("first", "second"), ("third", "fourth"))
    words.write_text("turn O\nit O\noff O\n\nstop O\n\n")
    assert drawn(words, Task.TOKEN_CLASSIFICATION) == (("turn it off",), ("stop",))


def test_texts_are_labelled_one_by_one_and_all_at_once():
    one, many = text_workloads([("a",), ("b",)])
    assert (one.at_once, many.at_once) == (False, True)
    assert one.texts == many.texts == (("a",), ("b",))


def test_a_batch_that_no_machine_holds_is_refused():
    assert parse_grid("2048x512", 512)
    with pytest.raises(SettingError, match="a batch of 51,199,488 tokens"):
        parse_grid("99999x512", 512)
