"""Text classifiers of every kind against transformers' own pipeline on the same checkpoint."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bertedge import serialization
from bertedge.bundle import Manifest
from bertedge.predictions import Classification, MultiLabelClassification, Regression
from bertedge.runtime.logits import sigmoid
from bertedge.spec import DecisionRule, ProblemType
from bertedge.tasks.text_classification import (
    apply_rule,
    label_names,
    predict,
    probabilities,
)

LABELS = ("a", "b", "c")
LOGITS = np.array([[2.0, -1.0, 0.1], [-3.0, -2.0, -4.0], [1.0, 3.0, 2.0]], np.float32)
SINGLE = DecisionRule()
SEVERAL = DecisionRule(problem_type=ProblemType.MULTI_LABEL)
VALUE = DecisionRule(problem_type=ProblemType.REGRESSION)


def test_sigmoid_holds_at_both_ends() -> None:
    found = sigmoid(np.array([-1e4, -2.0, 0.0, 2.0, 1e4], np.float32))
    expected = [0.0, 1 / (1 + np.exp(2)), 0.5, 1 / (1 + np.exp(-2)), 1.0]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_several_labels_are_those_above_the_threshold_best_first() -> None:
    found = predict(LOGITS, LABELS, SEVERAL)
    assert all(isinstance(each, MultiLabelClassification) for each in found)
    assert [each.labels for each in found] == [("a", "c"), (), ("b", "c", "a")]
    high = replace(SEVERAL, threshold=0.8)
    assert [each.labels for each in predict(LOGITS, LABELS, high)] == [
        ("a",),
        (),
        ("b", "c"),
    ]
    assert apply_rule(LOGITS, high).tolist() == [
        [True, False, False],
        [False, False, False],
        [False, True, True],
    ]
    assert list(found[0].scores) == list(LABELS)


def test_a_text_whose_best_score_is_low_is_out_of_scope() -> None:
    scoped = DecisionRule(threshold=0.7, out_of_scope="oos")
    plain, found = (predict(LOGITS, LABELS, each) for each in (SINGLE, scoped))
    assert [each.label for each in plain] == ["a", "b", "b"]
    assert [each.label for each in found] == ["a", "oos", "oos"]
    assert [each.score for each in found] == [each.score for each in plain]
    assert found[1].scores == plain[1].scores and "oos" not in found[1].scores
    names = label_names(LABELS, scoped)
    assert [names[number] for number in apply_rule(LOGITS, scoped)] == ["a", "oos", "oos"]


@pytest.mark.parametrize("decision", [SINGLE, SEVERAL])
def test_a_temperature_changes_scores_and_never_their_order(decision: DecisionRule) -> None:
    warm = replace(decision, temperature=2.5)
    np.testing.assert_allclose(
        probabilities(LOGITS, warm), probabilities(LOGITS / np.float32(2.5), decision), rtol=1e-6
    )
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 4, (500, 7)).astype(np.float32)
    before, after = probabilities(logits, decision), probabilities(logits, warm)
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
    assert (apply_rule(logits, decision) == apply_rule(logits, warm)).all()


def test_a_value_is_given_as_the_model_gives_it() -> None:
    found = predict(np.array([[7.25], [-3.0]], np.float32), ("value",), VALUE)
    assert found == [Regression(value=7.25), Regression(value=-3.0)]


def test_one_label_of_several_and_a_thousand_are_decided_alike() -> None:
    lone = predict(np.array([[1.0], [-1.0]], np.float32), ("spam",), SEVERAL)
    assert [each.labels for each in lone] == [("spam",), ()]
    names = tuple(f"L{i}" for i in range(1000))
    logits = np.random.default_rng(1).normal(0, 1, (2, 1000)).astype(np.float32)
    (first, _) = predict(logits, names, SINGLE)
    assert isinstance(first, Classification) and first.label == names[logits[0].argmax()]


@pytest.mark.parametrize(
    ("labels", "problem", "function"),
    [(3, "multi_label_classification", "sigmoid"), (1, "regression", "none"), (3, None, "softmax")],
)
def test_predictions_are_those_of_transformers_pipeline(
    base: Path, tmp_path: Path, labels: int, problem: str | None, function: str
) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("optimum")
    from bertedge.export import ExportConfig, export
    from bertedge.predictor import Predictor

    folder = tmp_path / "checkpoint"
    config = transformers.AutoConfig.from_pretrained(base, num_labels=labels, problem_type=problem)
    torch.manual_seed(3)
    model = transformers.BertForSequenceClassification(config)
    torch.nn.init.normal_(model.classifier.weight, std=2.0)
    model.save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    tokenizer.save_pretrained(folder)
    export(ExportConfig(checkpoint=str(folder), output=tmp_path / "bundle"))
    predictor = Predictor.open(tmp_path / "bundle", device="cpu")
    texts = ["see the red apple", "", "old", "take one very old grape here and there zebra", "🙂"]
    pipeline = transformers.pipeline(
        "text-classification", model=str(folder), tokenizer=tokenizer, device="cpu"
    )
    expected = pipeline(texts, function_to_apply=function, top_k=None)
    for found, rows in zip(predictor.predict(texts), expected, strict=True):
        scores = {row["label"]: row["score"] for row in rows}
        if isinstance(found, Regression):
            assert found.value == pytest.approx(scores["LABEL_0"], abs=1e-4)
            continue
        assert found.scores == pytest.approx(scores, abs=1e-4)
        if isinstance(found, MultiLabelClassification):
            given = [row["label"] for row in rows if row["score"] >= 0.5]
            assert list(found.labels) == given
        else:
            assert found.label == rows[0]["label"]
    manifest = json.loads((tmp_path / "bundle" / "bertedge.json").read_text())
    assert manifest["model"]["rule"]["problem_type"] == (problem or "single_label_classification")


def test_a_bundle_that_says_nothing_of_it_decides_as_before(text_bundle: Path) -> None:
    said = json.loads((text_bundle / "bertedge.json").read_text())
    said["model"].pop("rule")
    assert serialization.from_plain(Manifest, said).model.rule == SINGLE
