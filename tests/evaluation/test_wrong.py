"""`evaluate --errors`: the rows a model gets wrong, beside what `predict` says of them."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bertedge import evaluation
from bertedge.cli import main
from bertedge.data import GoldAnswer, QuestionExample, TextExample, open_examples
from bertedge.evaluation import TextModel
from bertedge.predictor import Predictor
from bertedge.runtime.encoding import Batch
from bertedge.spec import DecisionRule, ModelSpec, ProblemType, Task
from bertedge.tasks import multiple_choice, question_answering, text_classification
from bertedge.tasks.contract import LabelledRows
from bertedge.tasks.judged_tags import judge_tags, tag_spans

WORDS = [
    "turn",
    "the",
    "hall",
    "lights",
    "off",
    "play",
    "some",
    "jazz",
    "warmer",
    "please",
    "at",
    "seven",
]
INTENT_SLOTS = Path(__file__).parents[2] / "models" / "tiny" / "intent-slots"


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(each) for each in arguments])


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def labelled(tmp_path: Path, classifier: Predictor) -> Path:
    """Texts with commas, quotes and line ends, with labels by lot."""
    rng = random.Random(0)
    path = tmp_path / "data.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for i in range(700):  # several chunks
            text = " ".join(rng.choices(WORDS, k=rng.randint(1, 9)))
            writer.writerow([f'{text}, "{i}"\nend', rng.choice(classifier.labels)])
    return path


def test_the_file_has_every_wrong_row_and_no_other_surest_first(
    labelled: Path, tmp_path: Path, text_bundle: Path, classifier: Predictor
) -> None:
    output = tmp_path / "errors.csv"
    result = run("evaluate", text_bundle, "--data", labelled, "--errors", output)
    assert result.exit_code == 0, result.stderr
    assert f"surest first: {output}" in result.stdout
    with labelled.open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = {}
    for row, found in zip(rows, classifier.predict([r["text"] for r in rows]), strict=True):
        if found.label != row["label"]:
            expected[row["text"]] = (row["label"], found.label, found.score)
    errors = read(output)
    assert len(errors) == len(expected) > 300
    for each in errors:
        gold, predicted, score = expected[each["text"]]
        assert (each["gold"], each["predicted"]) == (gold, predicted)
        assert float(each["score"]) == pytest.approx(score, abs=1e-4)
        i = int(each["text"].split('"')[1])
        assert each["line"] == str(2 + 2 * i)  # where the row begins in the file
    scores = [float(each["score"]) for each in errors]
    assert scores == sorted(scores, reverse=True)


def test_scores_are_the_same_with_and_without_the_file(
    labelled: Path, tmp_path: Path, text_bundle: Path
) -> None:
    command = ("evaluate", text_bundle, "--data", labelled, "--json")
    plain, kept = (
        json.loads(run(*command, *more).stdout) for more in ((), ("--errors", tmp_path / "e.csv"))
    )
    assert plain["scores"] == kept["scores"] and plain["calibration"] == kept["calibration"]


def test_nothing_is_replaced_unasked_and_a_failure_leaves_nothing(
    labelled: Path, tmp_path: Path, text_bundle: Path
) -> None:
    output = tmp_path / "errors.csv"
    output.write_text("mine")
    command = ("evaluate", text_bundle, "--data", labelled, "--errors", output)
    refused = run(*command)
    assert refused.exit_code == 1 and output.read_text() == "mine"
    assert run(*command, "--overwrite").exit_code == 0 and output.read_text() != "mine"
    before = set(tmp_path.iterdir())
    labelled.write_text("text,label\nplay,lights\nplay,unknown\n")
    other = tmp_path / "other.csv"
    assert run("evaluate", text_bundle, "--data", labelled, "--errors", other).exit_code == 1
    assert set(tmp_path.iterdir()) == before
    mixed = run(*command, "--as-text")
    assert mixed.exit_code == 2 and "leave --as-text out" in mixed.stderr


@pytest.mark.parametrize("joint", [False, True])
def test_of_tags_the_entities_that_differ_are_named(
    joint: bool, tmp_path: Path, token_bundle: Path
) -> None:
    bundle = INTENT_SLOTS if joint else token_bundle
    with Predictor.open(bundle, device="cpu", threads=1) as predictor:
        spec = predictor.manifest.model
        model = TextModel(spec=spec, tokenizer=predictor.tokenizer, engine=predictor.engine)
        words = ["turn", "the", "hall", "lights", "off", "at", "seven"]
        rows: list[dict[str, object]] = [{"tokens": words, "tags": ["O"] * 7, "intent": "off"}]
        path = tmp_path / "d.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        examples = open_examples(path, spec.task)
        (answer,) = evaluation.evaluate(model, examples).answers
        tags = [spec.labels[i] for i in answer[joint:]]
        spans = tag_spans(tags)
        assert spans  # a random model finds something
        said = "; ".join(f"{kind}: {' '.join(words[a:b])}" for a, b, kind in spans)
        intent = spec.labels[answer[0]].removeprefix("intent:") if joint else ""
        evaluation.write_wrong(model, examples, tmp_path / "errors.csv")
        (error,) = read(tmp_path / "errors.csv")
        assert error["text"] == " ".join(words)
        if joint and intent != "off":
            assert (error["gold"], error["predicted"]) == ("off", f"{intent}; {said}")
        else:
            assert (error["gold"], error["predicted"]) == ("", said)
        # Gold is what the model says: nothing is wrong.
        path.write_text(json.dumps({"tokens": words, "tags": tags, "intent": intent}) + "\n")
        evaluation.write_wrong(model, examples, tmp_path / "errors.csv", overwrite=True)
        assert read(tmp_path / "errors.csv") == []


def test_entities_are_compared_by_place_and_type_and_the_surest_wrong_word_counts() -> None:
    words = ["Ann", "Lee", "met", "Bo", "in", "Oslo"]
    right = ["B-PER", "I-PER", "O", "B-PER", "O", "B-LOC"]
    said = ["B-PER", "I-PER", "O", "O", "O", "B-PER"]
    sure = np.array([0.99, 0.98, 0.9, 0.6, 0.9, 0.8])
    found = judge_tags(words, right, said, sure)
    assert (found.gold, found.predicted) == ("PER: Bo; LOC: Oslo", "PER: Oslo")
    assert found.wrong and found.score == 0.8
    same = judge_tags(["北", "京"], ["B-LOC", "I-LOC"], ["I-LOC", "I-LOC"], np.array([0.7, 0.9]))
    assert not same.wrong  # the same entity in other tags
    whole = judge_tags(["北", "京"], ["B-LOC", "I-LOC"], ["O", "O"], np.array([0.7, 0.9]))
    assert whole.gold == "LOC: 北京"


def spec(task: Task, **fields: Any) -> ModelSpec:
    labels = fields.pop("labels", ())
    return ModelSpec(
        task=task, labels=labels, pair=False, max_length=32, pad_token_id=0,
        rule=DecisionRule(**fields),
    )  # fmt: skip


def test_sets_of_labels_are_wrong_where_any_is_and_scored_by_the_surest_wrong_one() -> None:
    multi = spec(
        Task.TEXT_CLASSIFICATION, labels=("a", "b", "c"), problem_type=ProblemType.MULTI_LABEL
    )
    logits = [np.array([2.0, -1.0, 0.5], np.float32), np.array([2.0, -1.0, -0.5], np.float32)]
    gold = np.array([[1, 1, 0], [1, 0, 0]], np.bool_)
    wrong, right = text_classification.judge(multi, [], LabelledRows(rows=[], gold=[gold]), logits)
    assert (wrong.gold, wrong.predicted, wrong.wrong) == ("a, b", "a, c", True)
    assert wrong.score == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-6)  # b is left out at 0.27
    assert not right.wrong


def test_values_are_ordered_by_how_far_they_are_off() -> None:
    values = spec(Task.TEXT_CLASSIFICATION, labels=("value",), problem_type=ProblemType.REGRESSION)
    logits = [np.array([1.5], np.float32), np.array([2.0], np.float32)]
    rows = LabelledRows(rows=[], gold=[np.array([1.0, 2.0])])
    off, exact = text_classification.judge(values, [], rows, logits)
    assert (off.gold, off.predicted, off.score, off.wrong) == ("1", "1.5", 0.5, True)
    assert not exact.wrong
    assert evaluation.wrong.columns_of(values)[-1] == "error"


class Spans:
    """Says that the answer is the second token of the context."""

    def logits(self, batch: Batch) -> np.ndarray:
        found = np.full((*batch.input_ids.shape, 2), -9, np.float32)
        for row, types in zip(found, batch.token_type_ids, strict=True):
            row[int(types.argmax()) + 1] = 9
        return found


def test_questions_show_their_answers_and_choices_their_texts(base: Path) -> None:
    tokenizer = (base / "tokenizer.json").read_text()
    model = TextModel.of(spec(Task.QUESTION_ANSWERING, labels=("start", "end")), tokenizer, Spans())
    asked = [
        QuestionExample(question="see", context="the red apple", answers=answers, where=f"d:{i}")
        for i, answers in enumerate(
            [(GoldAnswer(text="Red", start=None),), (GoldAnswer(text="apple", start=8),), ()]
        )
    ]
    labelled = question_answering.encode_labelled(model.spec, model.tokenizer, asked, Path("d"))
    found = list(question_answering.judge(model.spec, asked, labelled, model.infer(labelled.rows)))
    assert [each.wrong for each in found] == [False, True, True]
    assert [(each.gold, each.predicted) for each in found[1:]] == [("apple", "red"), ("", "red")]
    choice = TextExample(text="dark", pair="on", others=("off", "up"), label="0", line=1)
    rows = multiple_choice.encode(model.tokenizer, [choice.input], 0)
    logits = [np.array([value], np.float32) for value in (0.0, 1.0, 0.0)]
    (chosen,) = multiple_choice.judge(
        spec(Task.MULTIPLE_CHOICE, labels=("choice",)), [choice],
        LabelledRows(rows=rows, gold=[np.array([0])]), logits,
    )  # fmt: skip
    assert (chosen.gold, chosen.predicted, chosen.wrong) == ("on", "off", True)
    assert chosen.score == pytest.approx(np.e / (np.e + 2))
