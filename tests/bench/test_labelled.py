from pathlib import Path

import numpy as np
import pytest

from bertedge.bench.labelled import draw_labelled, same_lists, score
from bertedge.bench.statistics import ratio_interval
from bertedge.data import Columns
from bertedge.errors import DataError
from bertedge.spec import Task

TAGS = ("O", "B-room", "I-room")


def test_texts_are_scored_by_their_labels(tmp_path: Path, bundle: Path):
    data = tmp_path / "data.csv"
    data.write_text("text,label\na,music\nb,lights\nc,lights\nd,music\n")
    labels = ("lights", "music")
    task = Task.TEXT_CLASSIFICATION
    drawn = draw_labelled(data, task, Columns(), labels, count=10, seed=0)
    assert drawn.texts == (("a",), ("b",), ("c",), ("d",)) and drawn.data == "data.csv"
    found = score(drawn, [1, 0, 1, 1], "")
    assert found and found.scores.metric == "accuracy" and found.scores.value == 0.75
    assert found.names.tolist() == ["music", "lights", "music", "music"]
    assert score(drawn, [1, 0, 1], "") is None
    with pytest.raises(DataError, match="does not know the label 'music'"):
        draw_labelled(data, task, Columns(), ("lights", "heating"), count=10, seed=0)


@pytest.mark.parametrize(
    ("rows", "names"),
    [("a,1\nb,0\n", {}), ("a,loud\nb,LIGHT\n", {"loud": "music", "LIGHT": "lights"})],
)
def test_labels_are_matched_by_id_or_by_a_map(tmp_path: Path, rows: str, names: dict[str, str]):
    data = tmp_path / "data.csv"
    data.write_text(f"text,label\n{rows}")
    task = Task.TEXT_CLASSIFICATION
    labels = ("lights", "music")
    drawn = draw_labelled(data, task, Columns(), labels, count=9, seed=0, label_map=names)
    assert [each.names for each in drawn.examples] == [("music",), ("lights",)]


def test_unlabelled_data_is_refused(tmp_path: Path):
    data = tmp_path / "data.csv"
    data.write_text("text\na\n")
    with pytest.raises(DataError):
        draw_labelled(data, Task.TEXT_CLASSIFICATION, Columns(), ("a",), count=10, seed=0)


def test_words_get_the_label_of_their_first_token(tmp_path: Path, token_bundle: Path):
    import tokenizers

    json = (token_bundle / "tokenizer.json").read_text(encoding="utf-8")
    data = tmp_path / "data.conll"
    data.write_text("turn O\nlivingrooms B-room\noff O\n\nhall B-room\n\n")
    task = Task.TOKEN_CLASSIFICATION
    drawn = draw_labelled(data, task, Columns(), TAGS, count=10, seed=0)
    native = tokenizers.Tokenizer.from_str(json)
    native.no_truncation()
    tokens, predicted = [], []
    for (text,), words in zip(
        drawn.texts, (("turn", "livingrooms", "off"), ("hall",)), strict=True
    ):
        row = native.encode(text, add_special_tokens=False)
        starts = {text.index(word) for word in words if word in ("livingrooms", "hall")}
        tokens.append(row.tokens)
        # The pieces that go on with a word carry a label that must not count.
        predicted += [1 if start in starts else 2 for start, _ in row.offsets]
    assert any(len(row) > 3 for row in tokens)  # one word has several pieces
    found = score(drawn, predicted, json)
    assert found and found.scores.metric == "entity_f1"
    assert found.names.tolist() == ["I-room", "B-room", "I-room", "B-room"]
    unread = score(drawn, [1 if label == 1 else -1 for label in predicted], json)
    assert unread and unread.names.tolist() == ["O", "B-room", "O", "B-room"]
    assert unread.scores.value == 1.0
    assert score(drawn, predicted[1:], json) is None


def test_one_word_in_six_hundred_is_one_text_in_fifty():
    """Agreement by word hides what a user sees: most words are O."""
    one = [["O"] * 11 + ["B-A"] for _ in range(50)]
    other = [[*row] for row in one]
    other[7][3] = "B-A"
    same = same_lists(one, other, Task.TOKEN_CLASSIFICATION)
    assert same.sum() == 49 and not same[7]
    # Tags that mean the same entities are the same list.
    assert same_lists([["I-A", "I-A"]], [["B-A", "I-A"]], Task.TOKEN_CLASSIFICATION).all()


def test_a_frame_is_the_same_where_intent_and_entities_are():
    one = [["intent:a", "O", "B-x"], ["intent:b", "O", "B-x"], ["intent:a", "O", "B-x"]]
    other = [["intent:a", "O", "B-x"], ["intent:a", "O", "B-x"], ["intent:a", "B-x", "O"]]
    assert same_lists(one, other, Task.INTENT_SLOTS).tolist() == [True, False, False]


def test_each_metric_has_parts_whose_ratio_it_is(tmp_path: Path, token_bundle: Path):
    data = tmp_path / "data.csv"
    data.write_text("text,label\na,music\nb,lights\nc,lights\nd,music\n")
    labels = ("lights", "music")
    drawn = draw_labelled(data, Task.TEXT_CLASSIFICATION, Columns(), labels, count=10, seed=0)
    found = score(drawn, [1, 0, 1, 1], "")
    assert found and not found.tags
    over, under = found.parts.sum(axis=0)
    assert over / under == found.scores.value
    low, high = ratio_interval(found.parts)
    assert low < found.scores.value < high


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(0.8, 0.1, 400)
    low, high = ratio_interval(np.stack([values, np.ones(400)], axis=1))
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.002)
    assert high == pytest.approx(values.mean() + half, abs=0.002)
