from pathlib import Path

import pytest

from bertedge.bench.labelled import draw_labelled, score
from bertedge.errors import DataError
from bertedge.examples import Columns
from bertedge.tasks import Task

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
