import time
import warnings

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import accuracy_score as seqeval_accuracy
from seqeval.metrics import classification_report as seqeval_report
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix, f1_score

from bertedge.metrics import (
    Scores,
    agreement,
    classification_scores,
    entity_agreement,
    entity_counts,
    entity_scores,
    multi_label_scores,
    value_scores,
)

LABELS = ["a", "b", "c", "d", "e"]
IOB2 = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
BIOES = [*IOB2, "E-PER", "S-PER", "E-LOC", "S-LOC", "B-A-B", "I-A-B"]


def rows_of(scores: Scores) -> dict[str, list[float]]:
    rows = {row.label: [row.precision, row.recall, row.f1, row.support] for row in scores.classes}
    macro = [scores.macro_precision, scores.macro_recall, scores.macro_f1]
    return rows | {"macro avg": macro}


def rows_of_report(report: dict[str, dict[str, float]], names: list[str]) -> dict[str, list[float]]:
    keys = ["precision", "recall", "f1-score", "support"]
    rows = {name: [report[name][key] for key in keys] for name in names}
    return rows | {"macro avg": [report["macro avg"][key] for key in keys[:3]]}


@pytest.mark.parametrize("seed", range(30))
def test_classification_agrees_with_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    # Few examples and skewed labels, so that some labels are only gold, only predicted, or absent.
    chances = random.dirichlet(np.full(len(LABELS), 0.3))
    count = int(random.integers(1, 40))
    gold, predicted = (random.choice(len(LABELS), count, p=chances) for _ in range(2))
    predicted[random.random(count) < 0.2] = random.integers(len(LABELS))
    scores = classification_scores(gold, predicted, LABELS)
    present = sorted({*gold.tolist(), *predicted.tolist()})
    report = classification_report(
        gold,
        predicted,
        labels=present,
        target_names=[LABELS[label] for label in present],
        output_dict=True,
        zero_division=0,
    )
    ours = {name: row for name, row in rows_of(scores).items() if name in report}
    expected = rows_of_report(report, [LABELS[label] for label in present])
    assert ours.keys() == expected.keys()
    for name, row in expected.items():
        assert ours[name] == pytest.approx(row)
    assert scores.accuracy == scores.value == pytest.approx(np.mean(gold == predicted))
    assert scores.confusion is not None
    matrix = confusion_matrix(gold, predicted, labels=range(len(LABELS)))
    assert np.array(scores.confusion).tolist() == matrix.tolist()


def test_labels_that_do_not_occur_are_listed_but_left_out_of_the_averages() -> None:
    scores = classification_scores(np.array([0, 0]), np.array([0, 0]), ["a", "b"])
    assert [row.label for row in scores.classes] == ["a", "b"]
    assert scores.classes[1].support == scores.classes[1].f1 == 0
    assert scores.macro_f1 == 1.0


def test_scores_are_plain_numbers_and_say_what_they_measure() -> None:
    scores = classification_scores(np.array([0, 1]), np.array([0, 0]), ["a", "b"])
    assert (scores.metric, scores.value) == ("accuracy", 0.5)
    assert type(scores.value) is type(scores.macro_f1) is type(scores.classes[0].f1) is float
    assert type(scores.classes[0].support) is int
    assert scores.confusion == ((1, 0), (1, 0))
    assert type(scores.confusion[0][0]) is int


@pytest.mark.parametrize(("labels", "there"), [(20, True), (21, False)])
def test_the_confusion_matrix_is_given_for_at_most_20_labels(labels: int, there: bool) -> None:
    names = [str(number) for number in range(labels)]
    scores = classification_scores(np.array([0]), np.array([0]), names)
    assert (scores.confusion is not None) == there


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32])
def test_small_integers_do_not_overflow(kind: type[np.integer]) -> None:
    gold = np.array([19, 19], kind)
    scores = classification_scores(gold, gold, [str(number) for number in range(20)])
    assert scores.confusion is not None
    assert scores.confusion[19][19] == 2


@pytest.mark.parametrize(
    ("gold", "predicted"),
    [([], []), ([0], [0, 1]), ([[0]], [[0]]), ([2], [0]), ([0], [2]), ([-1], [0]), ([0], [-1])],
)
def test_label_numbers_that_cannot_be_scored_are_refused(gold: list, predicted: list) -> None:
    with pytest.raises(ValueError, match="label"):
        classification_scores(np.array(gold, int), np.array(predicted, int), ["a", "b"])


@pytest.mark.parametrize("tags", [IOB2, BIOES], ids=["iob2", "bioes"])
@pytest.mark.parametrize("seed", range(40))
def test_entities_agree_with_seqeval(tags: list[str], seed: int) -> None:
    """Random tags are mostly ill-formed: both read those as conlleval does."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, 8, size=random.integers(1, 12))
    gold = [random.choice(tags, length).tolist() for length in lengths]
    predicted = [
        [tag if random.random() < 0.7 else str(random.choice(tags)) for tag in sentence]
        for sentence in gold
    ]
    scores = entity_scores(gold, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = seqeval_report(gold, predicted, output_dict=True, zero_division=0)
    assert scores.accuracy == pytest.approx(seqeval_accuracy(gold, predicted))
    assert scores.value == pytest.approx(report["micro avg"]["f1-score"])
    counts = entity_counts(gold, predicted)
    right, there, given = counts.sum(axis=0)
    assert scores.value == pytest.approx(2 * right / (there + given) if there + given else 0)
    each = [entity_scores([one], [other]) for one, other in zip(gold, predicted, strict=True)]
    assert counts[:, 2].tolist() == [sum(row.support for row in one.classes) for one in each]
    names = [name for name in report if not name.endswith(" avg")]
    assert names == [row.label for row in scores.classes]
    if not names:
        return  # seqeval's averages of nothing are NaN
    expected = rows_of_report(report, names)
    ours = rows_of(scores)
    assert ours.keys() == expected.keys()
    for name, row in expected.items():
        assert ours[name] == pytest.approx(row)


def test_models_agree_on_entities_however_many_words_are_outside() -> None:
    one = [["O"] * 100 + ["B-A"], ["O"] * 100 + ["B-B"], ["O"] * 100]
    other = [["O"] * 100 + ["B-A"], ["O"] * 100 + ["B-A"], ["O"] * 100]
    assert entity_agreement(one, other) == 0.5
    assert entity_agreement(one, one) == entity_agreement(one[2:], other[2:]) == 1.0


def test_entities_do_not_run_from_one_sentence_into_the_next() -> None:
    scores = entity_scores([["B-A"], ["I-A"]], [["B-A"], ["I-A"]])
    assert scores.classes[0].support == 2


def test_entity_scores_say_what_they_measure() -> None:
    scores = entity_scores([["B-A", "I-A", "O", "B-B"]], [["B-A", "I-A", "B-B", "O"]])
    assert (scores.metric, scores.value, scores.accuracy) == ("entity_f1", 0.5, 0.5)
    assert [(row.label, row.f1, row.support) for row in scores.classes] == [
        ("A", 1, 1),
        ("B", 0, 1),
    ]
    assert scores.confusion is None


@pytest.mark.parametrize(
    "other",
    [
        ["I-A", "I-A", "B-A", "O", "I-B"],  # IOB1
        ["B-A", "E-A", "S-A", "O", "S-B"],  # BIOES
        ["B-A", "L-A", "U-A", "O", "U-B"],  # BILOU
        ["B-A", "M-A", "W-A", "O", "W-B"],  # BMEWO
    ],
)
def test_schemes_are_compared_by_their_entities(other: list[str]) -> None:
    assert entity_scores([["B-A", "I-A", "B-A", "O", "B-B"]], [other]).value == 1.0


def test_tags_without_a_prefix_are_entities_too() -> None:
    """A checkpoint made elsewhere may have such labels."""
    assert entity_scores([["B-A", "I-A", "O", "B-B"]], [["A", "A", "O", "B"]]).value == 1.0
    assert entity_scores([["B-A", "I-A", "O", "B-A"]], [["A", "A", "O", "B"]]).value == 0.5


def test_no_entities_at_all_count_as_zero() -> None:
    scores = entity_scores([["O", "O"]], [["O", "O"]])
    assert (scores.value, scores.accuracy, scores.macro_f1, scores.classes) == (0.0, 1.0, 0.0, ())


@pytest.mark.parametrize("tags", [[], [[]]])
def test_no_words_at_all_are_refused(tags: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="no words"):
        entity_scores(tags, tags)


@pytest.mark.parametrize("predicted", [[["O"]], [["O", "O"], ["O"]], []])
def test_tags_of_unequal_length_are_refused(predicted: list[list[str]]) -> None:
    with pytest.raises(ValueError, match="differ in length"):
        entity_scores([["O", "O"]], predicted)


def test_a_million_words_take_seconds_not_minutes() -> None:
    random = np.random.default_rng(0)
    tags = random.choice(IOB2, (40_000, 25)).tolist()
    began = time.process_time()
    assert entity_scores(tags, tags).value == 1.0
    assert time.process_time() - began < 60


@pytest.mark.parametrize("seed", range(20))
def test_several_labels_agree_with_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    chances = random.dirichlet(np.full(len(LABELS), 0.5))
    shape = (int(random.integers(1, 40)), len(LABELS))
    gold, predicted = (random.random(shape) < chances for _ in range(2))
    scores = multi_label_scores(gold, predicted, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = classification_report(
            gold, predicted, target_names=LABELS, output_dict=True, zero_division=0
        )
        micro = f1_score(gold, predicted, average="micro", zero_division=0)
    assert scores.metric == "micro_f1" and scores.value == pytest.approx(micro)
    assert scores.accuracy == pytest.approx(accuracy_score(gold, predicted))
    for row in scores.classes:
        found = [row.precision, row.recall, row.f1, row.support]
        expected = [report[row.label][key] for key in ("precision", "recall", "f1-score")]
        assert found == pytest.approx([*expected, report[row.label]["support"]])
    there = (gold | predicted).any(axis=0)
    assert scores.macro_f1 == pytest.approx(
        np.mean([row.f1 for row, is_there in zip(scores.classes, there, strict=True) if is_there])
        if there.any()
        else 0
    )


@pytest.mark.parametrize("seed", range(10))
def test_correlations_agree_with_scipy(seed: int) -> None:
    random = np.random.default_rng(seed)
    gold = random.integers(0, 6, 50) / 2  # many are equal
    predicted = (gold + random.normal(0, 1, 50)).round(1)
    scores = value_scores(gold, predicted)
    assert scores.metric == "spearman"
    assert scores.value == pytest.approx(spearmanr(gold, predicted).statistic)
    assert scores.pearson == pytest.approx(pearsonr(gold, predicted).statistic)
    assert scores.rmse == pytest.approx(np.sqrt(((gold - predicted) ** 2).mean()))


def test_the_correlation_with_a_constant_is_0() -> None:
    scores = value_scores(np.array([1.0, 2.0, 3.0]), np.full(3, 2.0))
    assert (scores.value, scores.pearson) == (0.0, 0.0)
    assert value_scores(np.array([1.0]), np.array([1.0])).value == 0.0


def test_agreement_is_of_labels_of_several_labels_and_of_near_values() -> None:
    one, other = np.array([1, 2, 3, 4]), np.array([1, 2, 3, 0])
    assert agreement(one, other) == 0.75
    assert agreement(np.eye(5)[one] > 0, np.eye(5)[other] > 0) == 0.75  # sets of one label
    sets = np.array([[True, False], [False, False], [True, True], [False, True]])
    others = np.array([[True, False], [False, False], [True, False], [True, False]])
    assert agreement(sets, others) == agreement(others, sets) == pytest.approx(4 / 7)
    nothing = np.zeros((3, 2), np.bool_)
    assert agreement(nothing, nothing) == 1.0
    values = np.array([0.0, 2.0, 5.0, 3.0])
    assert agreement(values, values + 0.24) == 1.0  # 5 % of the spread is 0.25
    assert agreement(values, values + np.array([0.26, 0, 0, -0.26])) == 0.5


def test_entity_counts_tell_which_texts_have_the_same_whole_list() -> None:
    gold = [["B-A", "I-A", "O"], ["B-A", "O"], ["O"], ["B-A", "I-A"], [], ["B-A", "B-A"]]
    other = [["I-A", "I-A", "O"], ["B-B", "O"], ["O"], ["B-A", "B-A"], [], ["B-A", "O"]]
    counts = entity_counts(gold, other)
    assert counts.tolist() == [[1, 1, 1], [0, 1, 1], [0, 0, 0], [0, 2, 1], [0, 0, 0], [1, 1, 2]]
    right, found, true = counts.sum(axis=0)
    assert entity_scores(gold, other).value == 2 * right / (found + true)
