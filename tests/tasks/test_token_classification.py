import numpy as np
import pytest

from bertedge.runtime.logits import softmax
from bertedge.spec import Aggregation
from bertedge.tasks.text_classification import classify
from bertedge.tasks.token_classification import Tokens, find_entities, split_tags

LABELS = ("O", "B-room", "I-room", "B-time", "device")


def tokens(text: str, pieces: list[tuple[str, str, float]]) -> Tokens:
    """Pieces of `text`, each with its label and score; `##` marks the rest of a word."""
    place, offsets, scores, continues = 0, [], [], []
    for piece, label, score in pieces:
        plain = piece.removeprefix("##")
        place = text.index(plain, place)
        offsets.append((place, place + len(plain)))
        place += len(plain)
        row = np.full(len(LABELS), (1 - score) / (len(LABELS) - 1))
        row[LABELS.index(label)] = score
        scores.append(row)
        continues.append(piece.startswith("##"))
    return Tokens(
        text=np.zeros(len(pieces), np.int64),
        offsets=np.array(offsets, np.int64).reshape(-1, 2),
        scores=np.array(scores, np.float32).reshape(-1, len(LABELS)),
        continues=np.array(continues, np.bool_),
    )


TEXT = "living room bedroom at seven lamp"
PIECES = [
    ("living", "B-room", 0.9),
    ("room", "I-room", 0.7),
    ("bed", "B-room", 0.5),
    ("##ro", "O", 0.9),
    ("##om", "I-room", 0.8),
    ("at", "O", 0.9),
    ("seven", "B-time", 0.6),
    ("lamp", "device", 0.6),
]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (
            Aggregation.NONE,
            "B-room:living I-room:room B-room:bed I-room:om B-time:seven device:lamp",
        ),
        (Aggregation.SIMPLE, "room:living room|room:bed|room:om|time:seven|device:lamp"),
        (Aggregation.FIRST, "room:living room|room:bedroom|time:seven|device:lamp"),
        (Aggregation.AVERAGE, "room:living room|time:seven|device:lamp"),
        (Aggregation.MAX, "room:living room|time:seven|device:lamp"),
    ],
)
def test_strategies_join_tokens_as_they_say(strategy: Aggregation, expected: str) -> None:
    (found,) = find_entities([TEXT], tokens(TEXT, PIECES), split_tags(LABELS), strategy)
    separator = " " if strategy is Aggregation.NONE else "|"
    assert separator.join(f"{each.label}:{each.text}" for each in found) == expected


def test_a_group_scores_the_mean_of_its_pieces() -> None:
    (found,) = find_entities([TEXT], tokens(TEXT, PIECES), split_tags(LABELS), Aggregation.SIMPLE)
    assert found[0].score == pytest.approx(0.8, abs=1e-6)


def test_an_entity_never_reaches_into_the_next_text() -> None:
    texts = ["living", "room"]
    both = Tokens(
        text=np.array([0, 1]),
        offsets=np.array([(0, 6), (0, 4)]),
        scores=np.eye(len(LABELS), dtype=np.float32)[[1, 2]],
        continues=np.array([False, True]),
    )
    for strategy in Aggregation:
        found = find_entities(texts, both, split_tags(LABELS), strategy)
        assert [[each.text for each in entities] for entities in found] == [["living"], ["room"]]


@pytest.mark.parametrize("strategy", list(Aggregation))
def test_a_text_without_tokens_has_no_entities(strategy: Aggregation) -> None:
    assert find_entities(["", " "], tokens("", []), split_tags(LABELS), strategy) == [(), ()]


def test_labels_come_with_the_scores_of_all() -> None:
    (one, other) = classify(np.array([[1.0, 3.0], [1000.0, -1000.0]], np.float32), ("no", "yes"))
    assert (one.label, other.label) == ("yes", "no")
    assert one.scores == {"no": pytest.approx(0.1192, abs=1e-4), "yes": one.score}
    assert other.scores == {"no": 1.0, "yes": 0.0}
    assert not one.truncated


def test_softmax_sums_to_one_over_the_last_axis() -> None:
    scores = softmax(np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32))
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=1e-6)
