import json
from pathlib import Path

import numpy as np
import pytest

from bertedge.bench.scoring import Same, compare, score
from bertedge.bench.statistics import ratio_interval
from bertedge.bench.workloads import draw_labelled
from bertedge.data import Columns
from bertedge.errors import DataError
from bertedge.metrics import FrameScores
from bertedge.predictions import (
    Answer,
    Answers,
    Classification,
    Embedding,
    Entities,
    Entity,
    IntentSlots,
    MultiLabelClassification,
    MultipleChoice,
)
from bertedge.spec import Task

TAGS = ("O", "B-room", "I-room")


def predictions(*labels: str) -> list[Classification]:
    return [Classification(label=each, score=1.0, scores={each: 1.0}) for each in labels]


def test_texts_are_scored_by_their_labels(tmp_path: Path):
    data = tmp_path / "data.csv"
    data.write_text("text,label\na,music\nb,lights\nc,lights\nd,music\n")
    labels = ("lights", "music")
    task = Task.TEXT_CLASSIFICATION
    drawn = draw_labelled(data, task, Columns(), labels, count=10, seed=0)
    assert drawn.texts == (("a",), ("b",), ("c",), ("d",)) and drawn.data == "data.csv"
    found = score(drawn, predictions("music", "lights", "music", "music"), labels)
    assert found and found.scores.metric == "accuracy" and found.scores.value == 0.75
    assert score(drawn, predictions("music", "lights", "music"), labels) is None
    assert score(drawn, predictions("music", "lights", "music", "noise"), labels) is None
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


def tags(*tokens: tuple[int, int, str]) -> Entities:
    entities = (Entity(label=n, score=1.0, start=a, end=b, text="") for a, b, n in tokens)
    return Entities(entities=tuple(entities))


def test_words_get_the_label_of_their_first_token(tmp_path: Path):
    data = tmp_path / "data.conll"
    data.write_text("turn O\nlivingrooms B-room\noff O\n\nhall B-room\n\n")
    task = Task.TOKEN_CLASSIFICATION
    drawn = draw_labelled(data, task, Columns(), TAGS, count=10, seed=0)
    assert drawn.texts == (("turn livingrooms off",), ("hall",))
    # The pieces that go on with a word carry a label that must not count.
    pieces = tags((5, 11, "B-room"), (11, 15, "I-room"), (15, 16, "I-room"))
    found = score(drawn, [pieces, tags((0, 4, "B-room"))], TAGS)
    assert found and found.scores.metric == "entity_f1" and found.scores.value == 1
    assert found.parts.tolist() == [[2, 2], [2, 2]]
    missed = score(drawn, [tags((11, 16, "B-room")), tags((0, 4, "B-room"))], TAGS)
    assert missed and missed.scores.value == pytest.approx(2 / 3)
    assert score(drawn, [pieces], TAGS) is None


def test_one_word_in_six_hundred_is_one_text_in_fifty():
    """Agreement by word hides what a user sees: most words are O."""
    texts = [("one two three four five six seven eight nine ten eleven twelve",)] * 50
    ones = [tags((60, 66, "B-A"))] * 50
    others = [*ones]
    others[7] = tags((14, 18, "B-A"), (60, 66, "B-A"))
    same = compare(others, ones, texts)
    assert len(same.labels) == 600 and sum(same.labels) == 599
    assert [number for number, whole in enumerate(same.texts) if not whole] == [7]
    found = same.agreement()
    assert found and (found.share, found.labels, found.texts) == (599 / 600, 600, 0.98)
    # Tags that mean the same entities are the same list.
    begins, goes_on = tags((0, 3, "B-A"), (4, 7, "I-A")), tags((0, 3, "I-A"), (4, 7, "I-A"))
    assert compare([goes_on], [begins], [("one two",)]).texts == (True,)


def test_a_frame_is_the_same_where_intent_and_entities_are():
    def frame(intent: str, *tokens: tuple[int, int, str]) -> IntentSlots:
        slots = tags(*tokens).entities
        return IntentSlots(intent=intent, score=1.0, scores={intent: 1.0}, slots=slots)

    second = (4, 7, "B-x")
    ones = [frame("a", second), frame("b", second), frame("a", second)]
    others = [frame("a", second), frame("a", second), frame("a", (0, 3, "B-x"))]
    same = compare(ones, others, [("one two",)] * 3)
    assert same.texts == (True, False, False)
    assert same.labels == (1, 1, 1, 0, 1, 1, 1, 0, 0)


def test_a_wrong_number_of_outputs_and_outputs_of_another_kind_agree_on_none():
    label = Classification(label="a", score=1.0, scores={"a": 1.0})
    assert compare([label], [label, label], [("x",)] * 2).labels == (0, 0)
    assert compare([3], [label], [("x",)]).labels == (0,)
    assert compare([label], [3]).labels == (0,)
    assert compare([label], [tags((0, 1, "B-A"))], [("x y",)]) == Same(
        labels=(0, 0), texts=(False,)
    )
    assert compare([], []).agreement() is None


def test_embeddings_agree_by_their_mean_cosine():
    def embed(*values: float) -> Embedding:
        return Embedding(values=np.array(values, np.float32))

    one, other = [embed(3, 4), embed(1, 0)], [embed(6, 8), embed(0, 5)]
    found = compare(one, other).agreement()
    assert found and found.share == pytest.approx(0.5) and found.labels == 2
    assert compare([embed(1, 0)], [embed(1, 0, 0)]).labels == (0,)


def test_the_best_label_is_compared_whatever_is_decided():
    """A threshold makes one engine say nothing where the other has the label."""
    scores = {"a": 0.4, "b": 0.3}
    low = Classification(label="out of scope", score=0.4, scores=scores)
    several = MultiLabelClassification(labels=(), scores=scores)
    high = Classification(label="a", score=0.6, scores={"a": 0.6, "b": 0.3})
    other = Classification(label="b", score=0.6, scores={"a": 0.3, "b": 0.6})
    assert compare([low, several, other], [high, high, high]).labels == (1, 1, 0)


def test_each_metric_has_parts_whose_ratio_it_is(tmp_path: Path):
    data = tmp_path / "data.csv"
    data.write_text("text,label\na,music\nb,lights\nc,lights\nd,music\n")
    labels = ("lights", "music")
    drawn = draw_labelled(data, Task.TEXT_CLASSIFICATION, Columns(), labels, count=10, seed=0)
    found = score(drawn, predictions("music", "lights", "music", "music"), labels)
    assert found
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


def frame(intent: str, *slots: Entity) -> IntentSlots:
    return IntentSlots(intent=intent, score=1.0, scores={intent: 1.0}, slots=slots)


def slot(label: str, start: int, end: int) -> Entity:
    return Entity(label=label, score=1.0, start=start, end=end, text="")


def test_choices_are_scored_and_compared_by_place(tmp_path: Path) -> None:
    rows = [{"context": "hall", "endings": ["on", "off", "in"], "label": n} for n in (0, 1)]
    data = tmp_path / "d.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    drawn = draw_labelled(data, Task.MULTIPLE_CHOICE, Columns(), ("choice",), count=10, seed=0)
    assert drawn.texts == (("hall", "on", "off", "in"),) * 2
    first, last = (
        MultipleChoice(choice=place, chosen="", score=1.0, scores=(0.1, 0.2, 0.7))
        for place in (0, 2)
    )
    found = score(drawn, [first, last], ("choice",))
    assert found and found.scores.value == 0.5 and found.parts.tolist() == [[1, 1], [0, 1]]
    assert compare([first, last], [first, first], drawn.texts).labels == (1, 0)


def test_frames_are_scored_by_words(tmp_path: Path) -> None:
    rows = [
        {"tokens": ["turn", "livingrooms", "off"], "tags": ["O", "B-room", "O"], "intent": "off"},
        {"tokens": ["hall"], "tags": ["B-room"], "intent": "on"},
    ]
    data = tmp_path / "d.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    labels = ("intent:on", "intent:off", "O", "B-room")
    drawn = draw_labelled(data, Task.INTENT_SLOTS, Columns(), labels, count=10, seed=0)
    # livingrooms has the pieces living ##room ##s, of which only the first counts.
    first = frame("off", slot("B-room", 5, 11))
    predicted = [first, frame("off", slot("B-room", 0, 4))]
    found = score(drawn, predicted, labels)
    assert found and isinstance(found.scores, FrameScores)
    values = (found.scores.value, found.scores.intents.value, found.scores.slots.value)
    assert values == (0.5, 0.5, 1)
    assert found.parts.tolist() == [[1, 1], [0, 1]]
    assert score(drawn, predicted[1:], labels) is None
    assert score(drawn, [first, frame("sing")], labels) is None
    second_piece = score(drawn, [frame("off", slot("B-room", 11, 15)), predicted[1]], labels)
    assert second_piece and isinstance(second_piece.scores, FrameScores)
    assert second_piece.scores.value == 0
    with pytest.raises(DataError, match="does not know the label 'intent:off'"):
        draw_labelled(
            data, Task.INTENT_SLOTS, Columns(), ("intent:on", "O", "B-room"), count=10, seed=0
        )


def answer(start: int, end: int) -> Answers:
    best = Answer(text="turn the hall lights off"[start:end], start=start, end=end, score=0.5)
    return Answers(answer=None, answers=(best,), no_answer=0.9)


def test_answers_are_scored_by_f1(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    answers = {"text": ["hall lights"], "answer_start": [9]}
    row = {"question": "what", "context": "turn the hall lights off", "answers": answers}
    path.write_text((json.dumps(row) + "\n") * 2)
    texts = draw_labelled(
        path, Task.QUESTION_ANSWERING, Columns(), ("start", "end"), count=9, seed=0
    )
    assert texts.texts == (("what", "turn the hall lights off"),) * 2
    scored = score(texts, [answer(9, 20), answer(9, 13)], ("start", "end"))
    assert scored is not None and scored.scores.metric == "answer_f1"
    assert scored.scores.value == pytest.approx((1 + 2 / 3) / 2)
    assert score(texts, [answer(9, 20)], ("start", "end")) is None
    assert compare([answer(9, 13), answer(0, 4)], [answer(9, 20), answer(0, 4)]).labels == (0, 1)
