import json
from pathlib import Path

import pytest

from bertedge.data import open_examples
from bertedge.errors import DataError
from bertedge.finetune.labels import check_labels, find_labels
from bertedge.spec import Task


def write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def test_numeric_labels_are_numbered_by_value(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": label} for label in (10, 9, 2, 10)]
    examples = open_examples(write(tmp_path / "t.jsonl", *rows), Task.TEXT_CLASSIFICATION)
    assert find_labels(examples) == ("2", "9", "10")


def test_both_tags_of_a_type_are_labels_even_if_one_never_occurs(tmp_path: Path) -> None:
    rows = [{"tokens": ["a", "b"], "tags": ["B-X", "O"]}, {"tokens": ["c"], "tags": ["O"]}]
    examples = open_examples(write(tmp_path / "t.jsonl", *rows), Task.TOKEN_CLASSIFICATION)
    assert find_labels(examples) == ("O", "B-X", "I-X")


def test_one_class_only_is_an_error(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "x"}] * 3
    examples = open_examples(write(tmp_path / "t.jsonl", *rows), Task.TEXT_CLASSIFICATION)
    with pytest.raises(DataError, match="only the label 'x'"):
        find_labels(examples)


def test_a_dev_label_that_train_lacks_is_an_error_with_its_line(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": "z"}]
    examples = open_examples(write(tmp_path / "dev.jsonl", *rows), Task.TEXT_CLASSIFICATION)
    with pytest.raises(DataError, match=r"dev\.jsonl:2: the training file does not have"):
        check_labels(examples, ("x", "y"))


def test_tags_that_are_numbers_need_their_names(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"tokens": ["a", "b"], "ner_tags": [0, 1]}\n')
    with pytest.raises(DataError, match=r"has numbers for tags, such as 0, .*--label-map FILE"):
        find_labels(open_examples(path, Task.TOKEN_CLASSIFICATION))
