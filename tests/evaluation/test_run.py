import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertedge import evaluation, serialization
from bertedge.data import open_examples
from bertedge.errors import DataError
from bertedge.evaluation import TextModel
from bertedge.metrics import AnyScores, FrameScores, agreement
from bertedge.runtime.encoding import Batch
from bertedge.spec import DecisionRule, ModelSpec, ProblemType, Task


class FirstToken:
    """A stand-in with known answers: the class is whether a token's id is odd.

    For texts the token after [CLS] decides; for token labels each decides for itself.
    """

    def __init__(self, by_token: bool) -> None:
        self.by_token = by_token
        self.widest = 0

    def logits(self, batch: Batch) -> np.ndarray:
        self.widest = max(self.widest, batch.input_ids.size)
        ids = batch.input_ids if self.by_token else batch.input_ids[:, 1]
        odd = (ids % 2).astype(np.float32)
        return np.stack([1 - odd, odd], axis=-1)


@pytest.fixture
def vocabulary(base: Path) -> dict[str, int]:
    return json.loads((base / "tokenizer.json").read_text())["model"]["vocab"]


def text_model(base: Path, task: Task, labels: tuple[str, ...], max_length: int = 32) -> TextModel:
    spec = ModelSpec(task=task, labels=labels, pair=False, max_length=max_length, pad_token_id=0)
    engine = FirstToken(by_token=task is Task.TOKEN_CLASSIFICATION)
    return TextModel.of(spec, (base / "tokenizer.json").read_text(), engine)


def changed(model: TextModel, **fields: Any) -> TextModel:
    return replace(model, spec=replace(model.spec, **fields))


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def test_answers_come_in_the_order_of_the_file_whatever_the_batches(
    base: Path, vocabulary: dict[str, int], tmp_path: Path
) -> None:
    words = ["red", "blue", "apple", "old", "see"]
    rows: list[dict[str, object]] = []
    for i in range(3000):  # more than a chunk, of lengths that the batching reorders
        word = words[i % 5]
        rows.append({"text": f"{word} " + "the " * (i % 20), "label": vocabulary[word] % 2})
    model = text_model(base, Task.TEXT_CLASSIFICATION, ("0", "1"))
    examples = open_examples(write(tmp_path / "d.jsonl", rows), Task.TEXT_CLASSIFICATION)
    labelling = evaluation.evaluate(model, examples)
    assert labelling.scores.value == 1.0
    assert labelling.rows == 3000
    assert labelling.predicted.tolist() == [row["label"] for row in rows]


def test_texts_longer_than_the_model_are_counted(base: Path, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"text": "see " * n, "label": label} for n, label in ((2, 0), (9, 1), (20, 0), (6, 1))
    ]
    model = text_model(base, Task.TEXT_CLASSIFICATION, ("0", "1"), max_length=8)
    examples = open_examples(write(tmp_path / "d.jsonl", rows), Task.TEXT_CLASSIFICATION)
    assert evaluation.evaluate(model, examples).truncated == 2


def test_every_word_of_a_text_of_many_windows_gets_the_label_of_its_first_piece(
    base: Path, vocabulary: dict[str, int], tmp_path: Path
) -> None:
    words = ["red", "abc", "zq", "paris", "one", "xyz", "blue"] * 9
    firsts = [vocabulary.get(word, vocabulary[word[0]]) for word in words]
    names = ("O", "B-X")
    rows: list[dict[str, object]] = [{"tokens": words, "tags": [names[i % 2] for i in firsts]}]
    model = text_model(base, Task.TOKEN_CLASSIFICATION, names, max_length=12)
    examples = open_examples(write(tmp_path / "d.jsonl", rows), Task.TOKEN_CLASSIFICATION)
    labelling = evaluation.evaluate(model, examples)
    assert labelling.predicted.tolist() == [i % 2 for i in firsts]
    assert labelling.scores.value == 1.0


class Command:
    """A stand-in with known answers: [CLS] says the parity of the next token, words their own."""

    def logits(self, batch: Batch) -> np.ndarray:
        ids = batch.input_ids.copy()
        ids[:, 0] = ids[:, 1]
        odd = (ids % 2).astype(np.float32)
        # The columns of the other head are always the largest: they must not be read.
        return np.stack([9 - odd, 8 + odd, 10 - odd, 9 + odd], axis=-1)


def command(base: Path, max_length: int = 32) -> TextModel:
    labels = ("intent:even", "intent:odd", "O", "B-X")
    plain = text_model(base, Task.TOKEN_CLASSIFICATION, labels, max_length)
    return replace(changed(plain, task=Task.INTENT_SLOTS), engine=Command())


def test_an_intent_is_read_in_the_first_window_and_every_word_has_its_tag(
    base: Path, vocabulary: dict[str, int], tmp_path: Path
) -> None:
    words = ["red", "abc", "zq", "paris", "one", "xyz", "blue"]
    rows: list[dict[str, object]] = []
    for own in (words * 9, words[:1], words[3:] * 5):
        ids = [vocabulary.get(word, vocabulary[word[0]]) for word in own]
        tags = [("O", "B-X")[i % 2] for i in ids]
        rows.append({"tokens": own, "tags": tags, "intent": ("even", "odd")[ids[0] % 2]})
    examples = open_examples(write(tmp_path / "d.jsonl", rows), Task.INTENT_SLOTS)
    labelling = evaluation.evaluate(command(base, max_length=12), examples)
    assert labelling.rows == 3 and len(labelling.predicted) == sum(
        1 + len(r["tokens"]) for r in rows
    )  # type: ignore[arg-type]
    scores = labelling.scores
    assert isinstance(scores, FrameScores)
    assert (scores.value, scores.intents.value, scores.slots.value) == (1, 1, 1)


def test_a_frame_is_right_where_its_intent_and_all_its_tags_are(
    base: Path, vocabulary: dict[str, int], tmp_path: Path
) -> None:
    word = next(word for word in ("red", "blue", "see", "old") if vocabulary[word] % 2)
    right = {"tokens": [word] * 3, "tags": ["B-X"] * 3, "intent": "odd"}
    changes = ({}, {"intent": "even"}, {"tags": ["B-X", "O", "B-X"]}, {})
    rows: list[dict[str, object]] = [right | change for change in changes]
    model = command(base)
    examples = open_examples(write(tmp_path / "d.jsonl", rows), Task.INTENT_SLOTS)
    labelling = evaluation.evaluate(model, examples)
    scores = labelling.scores
    assert isinstance(scores, FrameScores)
    assert (scores.metric, scores.value) == ("frame_accuracy", 0.5)
    assert scores.intents.value == 0.75 and scores.slots.value == pytest.approx(22 / 23)
    assert serialization.from_plain(AnyScores, serialization.to_plain(scores)) == scores  # type: ignore[arg-type]
    other = replace(labelling, predicted=labelling.predicted.copy())
    other.predicted[[0, 1]] = (0, 2)  # the first text's intent, and the tag of its first word
    assert agreement(labelling.predicted, other.predicted) == 14 / 16


def test_an_intent_the_model_does_not_know_is_an_error_with_its_line(
    base: Path, tmp_path: Path
) -> None:
    rows: list[dict[str, object]] = [{"tokens": ["red"], "tags": ["O"], "intent": "none"}]
    examples = open_examples(write(tmp_path / "d.jsonl", rows), Task.INTENT_SLOTS)
    message = r"d\.jsonl:1: the model does not know the label 'intent:none'; .* or delete the row"
    with pytest.raises(DataError, match=message):
        evaluation.evaluate(command(base), examples)


def test_agreement_is_the_share_of_equal_labels(base: Path, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": "red", "label": 0}, {"text": "see", "label": 1}]
    model = text_model(base, Task.TEXT_CLASSIFICATION, ("0", "1"))
    examples = open_examples(write(tmp_path / "d.jsonl", rows * 5), Task.TEXT_CLASSIFICATION)
    one = evaluation.evaluate(model, examples)
    assert agreement(one.predicted, one.predicted) == 1.0
    other = evaluation.evaluate(model, examples)
    other.predicted[:3] = 1 - other.predicted[:3]
    assert agreement(one.predicted, other.predicted) == 0.7


def test_a_label_the_model_does_not_know_is_an_error_with_its_line(
    base: Path, tmp_path: Path
) -> None:
    rows: list[dict[str, object]] = [{"text": "red", "label": 0}, {"text": "see", "label": "no"}]
    model = text_model(base, Task.TEXT_CLASSIFICATION, ("0", "1"))
    examples = open_examples(write(tmp_path / "d.jsonl", rows), Task.TEXT_CLASSIFICATION)
    with pytest.raises(DataError, match=r"d\.jsonl:2: the model does not know the label 'no'"):
        evaluation.evaluate(model, examples)


def test_rows_out_of_scope_have_a_class_and_no_part_in_the_calibration_error(
    base: Path, vocabulary: dict[str, int], tmp_path: Path
) -> None:
    rows: list[dict[str, object]] = [
        {"text": word, "label": vocabulary[word] % 2} for word in ("red", "blue", "see")
    ]
    plain = text_model(base, Task.TEXT_CLASSIFICATION, ("0", "1"))
    inside = open_examples(write(tmp_path / "in.jsonl", rows), Task.TEXT_CLASSIFICATION)
    rows.append({"text": "old", "label": "oos"})
    every = open_examples(write(tmp_path / "all.jsonl", rows), Task.TEXT_CLASSIFICATION)
    with pytest.raises(DataError, match=r"all.jsonl:4: the model does not know the label 'oos'"):
        evaluation.evaluate(plain, every)
    decision = DecisionRule(threshold=0.9, out_of_scope="oos")  # softmax gives 0.73 to all
    labelling = evaluation.evaluate(changed(plain, rule=decision), every)
    assert labelling.predicted.tolist() == [2, 2, 2, 2]
    assert labelling.scores.value == 0.25
    assert labelling.calibration == evaluation.evaluate(plain, inside).calibration
    assert labelling.calibration is not None
    assert labelling.calibration.raw == pytest.approx(1 - 1 / (1 + np.exp(-1)))


def test_several_labels_and_values_are_scored_as_what_they_are(
    base: Path, vocabulary: dict[str, int], tmp_path: Path
) -> None:
    words = ["red", "blue", "apple", "old", "see"]
    lines: list[dict[str, object]] = [
        {"text": word, "label": ["even", "odd"][vocabulary[word] % 2 :][:1]} for word in words
    ]
    model = text_model(base, Task.TEXT_CLASSIFICATION, ("even", "odd"))
    several = DecisionRule(problem_type=ProblemType.MULTI_LABEL, threshold=0.6)
    path = write(tmp_path / "several.jsonl", lines)
    examples = open_examples(path, Task.TEXT_CLASSIFICATION, problem_type=several.problem_type)
    found = evaluation.evaluate(changed(model, rule=several), examples)
    assert (found.scores.metric, found.scores.value) == ("micro_f1", 1.0)
    value = DecisionRule(problem_type=ProblemType.REGRESSION)
    lines = [{"text": word, "label": 10 - vocabulary[word] % 2} for word in words]
    path = write(tmp_path / "values.jsonl", lines)
    examples = open_examples(path, Task.TEXT_CLASSIFICATION, problem_type=value.problem_type)
    found = evaluation.evaluate(changed(model, rule=value, labels=("value",)), examples)
    assert (found.scores.metric, found.scores.value) == ("spearman", pytest.approx(1.0))
    assert found.calibration is None and found.predicted.dtype.kind == "f"


def words_of(path: Path, tags: list[list[str]]) -> Path:
    return write(path, [{"tokens": ["see"] * len(each), "tags": each} for each in tags])


class Fixed:
    """A stand-in that gives each word the tag that a list says, one text at a time."""

    def __init__(self, tags: list[list[str]], labels: tuple[str, ...]) -> None:
        self.rows = iter([[labels.index(tag) for tag in each] for each in tags])
        self.labels = labels

    def logits(self, batch: Batch) -> np.ndarray:
        logits = np.zeros((*batch.input_ids.shape, len(self.labels)), np.float32)
        own = next(self.rows)
        logits[0, np.arange(1, len(own) + 1), own] = 1
        return logits


def test_agreement_of_tags_counts_entities_and_texts_and_words(base: Path, tmp_path: Path) -> None:
    labels = ("O", "B-A", "I-A")
    one = [["O"] * 6 + ["B-A", "I-A"], ["O"] * 4 + ["B-A", "I-A", "O"], ["O"] * 5]
    other = [["O"] * 6 + ["B-A", "O"], ["O"] * 4 + ["B-A", "I-A", "O"], ["O"] * 5]
    examples = open_examples(words_of(tmp_path / "w.jsonl", one), Task.TOKEN_CLASSIFICATION)
    model = replace(text_model(base, Task.TOKEN_CLASSIFICATION, labels), token_budget=1)
    found = [
        evaluation.evaluate(replace(model, engine=Fixed(tags, labels)), examples)
        for tags in (one, other)
    ]
    names = np.array(labels)
    assert [names[row].tolist() for row in found[1].answers] == other
    agreement = evaluation.compare_predictions(*found)
    assert (agreement.value, agreement.count) == (0.5, 2)
    assert agreement.texts == pytest.approx(2 / 3)
    assert agreement.words == pytest.approx(19 / 20)


@pytest.mark.parametrize("task", [Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION])
def test_the_parts_of_texts_make_up_the_metric(
    task: Task, base: Path, vocabulary: dict[str, int], tmp_path: Path
) -> None:
    words = ["red", "blue", "apple", "old", "see"]
    labels = ("O", "B-A") if task.tags_words else ("0", "1")
    rows: list[dict[str, object]] = []
    for i in range(40):
        chosen = [words[(i + k) % 5] for k in range(1 + i % 7)]
        tags = [labels[(vocabulary[word] + (i == k)) % 2] for k, word in enumerate(chosen)]
        text = {"tokens": chosen, "tags": tags}
        rows.append(text if task.tags_words else {"text": " ".join(chosen), "label": tags[0]})
    examples = open_examples(write(tmp_path / "p.jsonl", rows), task)
    found = evaluation.evaluate(text_model(base, task, labels), examples)
    assert found.per_text is not None and len(found.per_text) == 40
    above, below = found.per_text.sum(axis=0)
    assert 0 < above / below < 1
    assert above / below == pytest.approx(found.scores.value)
