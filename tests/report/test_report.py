"""What a report says, against other sources: scikit-learn, statsmodels' figures, plain counting."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bertedge import serialization
from bertedge.checkpoint.out_of_fold import (
    OUT_OF_FOLD,
    OutOfFold,
    read_out_of_fold,
    write_out_of_fold,
)
from bertedge.cli import main
from bertedge.data import TextExample, TokenExample, open_examples
from bertedge.errors import CheckpointError, DataError, SettingError
from bertedge.predictor import Predictor
from bertedge.report import Named, Report, ReportConfig, report
from bertedge.report.findings import findings
from bertedge.report.intervals import difference, gap, interval, metric_of, wilson
from bertedge.report.label_errors import cross_validated, rank_labels
from bertedge.report.perturbations import KINDS, Changed
from bertedge.report.text import render

TINY = Path(__file__).parents[2] / "models" / "tiny"


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


@pytest.fixture(scope="module")
def rows(labelled: Path) -> list[dict[str, str]]:
    with labelled.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def right(rows: list[dict[str, str]], classifier: Predictor) -> list[bool]:
    found = classifier.predict([row["text"] for row in rows])
    return [each.label == row["label"] for each, row in zip(found, rows, strict=True)]


def test_the_metric_is_the_share_of_right_rows_and_slices_add_up(
    full: Report, rows: list[dict[str, str]], right: list[bool]
) -> None:
    assert full.value.value == pytest.approx(np.mean(right))
    assert full.wrong == right.count(False) and len(full.errors) == min(full.wrong, 200)
    scores = [row.score for row in full.errors]
    assert scores == sorted(scores, reverse=True)
    length, lang, word = full.slicings
    assert sum(each.rows for each in length.slices) == full.rows == len(rows)
    for each in lang.slices:
        own = [ok for ok, row in zip(right, rows, strict=True) if row["lang"] == each.name]
        assert (each.rows, each.metric.value) == (len(own), pytest.approx(np.mean(own)))
    jazz = [ok for ok, row in zip(right, rows, strict=True) if "jazz" in row["text"]]
    assert word.slices[0].metric.value == pytest.approx(np.mean(jazz))
    assert word.slices[0].rows == len(jazz)
    (who,) = full.fairness
    by = {each.name: each.metric.value for each in who.slices}
    assert who.gap and who.gap.value == pytest.approx(by[who.best] - by[who.worst])
    commonest = max(row["label"] for row in rows if row["label"] == full.commonest)
    share = sum(row["label"] == commonest for row in rows) / len(rows)
    assert full.always_commonest == pytest.approx(share)


def test_reliability_bins_hold_every_text_and_their_error_is_the_calibrations(full: Report) -> None:
    assert sum(each.count for each in full.bins) == full.rows
    error = sum(each.count * abs(each.confidence - each.right) for each in full.bins) / full.rows
    assert full.calibration and full.calibration.calibrated == pytest.approx(error)


def test_duplicates_and_contradictions_are_counted(full: Report) -> None:
    found = full.duplicates
    assert found and found.repeated >= 1 and found.contradicting >= 2
    assert found.in_train == full.rows and found.fresh is None  # the very same file


def test_a_model_beside_itself_changes_nothing(full: Report) -> None:
    other = full.comparison
    assert other and other.same == 1 and other.only_model == other.only_other == 0
    assert (other.change.value, other.change.low, other.change.high) == (0, 0, 0)


def test_curves_are_those_of_the_training(full: Report) -> None:
    curves = {curve.name: curve for curve in full.curves}
    assert curves["loss"].steps == (10, 20, 40) and curves["loss"].values == (1.3, 0.9, 0.5)
    assert curves["dev_accuracy"].steps == (20, 40)


def test_the_learning_curve_ends_in_the_model_itself_and_says_what_more_rows_may_bring(
    full: Report,
) -> None:
    curve = full.learning_curve
    assert curve and [each.rows for each in curve.points] == [1_000, 2_000, 4_000, 8_000]
    assert curve.points[-1].metric == full.value
    assert curve.twice.low <= curve.twice.value <= curve.twice.high
    assert any("Twice as many rows as the 8,000" in line for line in findings(full))
    assert "rows trained on" in render(full)


def test_the_record_is_json_and_findings_are_sentences(full: Report) -> None:
    assert json.loads(serialization.to_json(full))["schema"] == 1
    said = findings(full)
    assert len(said) >= 4 and all(line.endswith(".") for line in said)
    assert any("stand in the training file" in line for line in said)
    one = replace(full, answered=1)
    assert "the same label" in findings(one)[0]


def test_a_wilson_interval_is_the_textbooks() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3: 81 of 263, 15 of 148, 0 of 20.
    for count, of, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605),
                                 (0, 20, 0.0, 0.1611)):  # fmt: skip
        found = wilson(count, of)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bootstrapped_intervals_hold_the_value_and_a_clear_difference_is_seen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    overlap = np.stack([2.0 * rng.integers(0, 3, 400), rng.integers(4, 7, 400)], axis=1)
    found = interval(overlap, "entity_f1")
    assert found.low < found.value == overlap[:, 0].sum() / overlap[:, 1].sum() < found.high
    half = 1.96 * np.std(overlap[:, 0] - found.value * overlap[:, 1]) / (20 * overlap[:, 1].mean())
    assert found.high - found.value == pytest.approx(half, rel=0.25)  # the delta method
    worse = overlap * [0.5, 1.0]
    assert difference(overlap, worse, "entity_f1").high < 0 < gap(worse, overlap, "entity_f1").low
    gold = rng.normal(size=300)
    pairs = np.stack([gold, gold + rng.normal(size=300)], axis=1)
    close = interval(pairs, "spearman")
    assert close.low < close.value == metric_of(pairs, "spearman") < close.high


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_flipped_labels_stand_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 4, 600)
    centres = rng.normal(size=(4, 16))
    features = centres[gold] * 3 + rng.normal(size=(600, 16))
    flipped = rng.choice(600, 60, replace=False)
    noisy = gold.copy()
    noisy[flipped] = (gold[flipped] + rng.integers(1, 4, 60)) % 4
    probabilities = cross_validated(features, noisy, 5)  # one label never occurs
    assert probabilities.shape == (600, 5) and (probabilities[:, 4] == 0).all()
    ranked = rank_labels(noisy, probabilities)
    first = set(ranked.order[:60].tolist())
    assert len(first & set(flipped.tolist())) >= 48
    assert 40 <= ranked.count <= 80 and len(set(ranked.order.tolist())) == 600


def test_changes_are_the_same_every_time_and_leave_labels_alone() -> None:
    text = TextExample(text="Turn the kitchen lights off, now!", pair=None, label="x", line=1)
    words = TokenExample(tokens=("Kitchen", "lights", "!"), tags=("B-x", "I-x", "O"), line=2)
    for name, change in KINDS.items():
        changed = Changed(path=Path("d"), examples=[text, words], change=change, seed=0)
        one, two = list(changed)
        assert list(changed) == [one, two]
        assert isinstance(one, TextExample) and one.label == "x" and one.text
        if name != "lower case":
            assert one.text != text.text
        assert isinstance(two, TokenExample) and two.tags == words.tags
        assert len(two.tokens) == 3 and all(two.tokens)
    by_name = {
        name: next(iter(Changed(path=Path("d"), examples=[text], change=change, seed=0))).text
        for name, change in KINDS.items()
    }  # fmt: skip
    assert by_name["UPPER CASE"] == "TURN THE KITCHEN LIGHTS OFF, NOW!"
    assert by_name["no punctuation"] == "Turn the kitchen lights off now"
    assert sorted(by_name["words shuffled"].split()) == sorted(text.text.split())
    (chinese,) = Changed(path=Path("d"), change=KINDS["typos"], seed=0, examples=[
        TextExample(text="打开客厅的灯", pair=None, label="x", line=1)])  # fmt: skip
    assert isinstance(chinese, TextExample)
    assert chinese.text != "打开客厅的灯" and sorted(chinese.text) == sorted("打开客厅的灯")


def test_tags_have_a_report_too(tmp_path: Path, tagger: Predictor) -> None:
    path = tmp_path / "tags.jsonl"
    tokens = ["turn", "the", "hall", "lights", "off"]
    tags = ["O", "O", "B-room", "B-device", "O"]
    lines = [{"tokens": tokens[: 2 + i % 4], "tags": tags[: 2 + i % 4], "who": "ab"[i % 2]}
             for i in range(40)]  # fmt: skip
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    result = run(TINY / "token-classification", "--data", path, "--slice-by", "who", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["metric"] == "entity_f1" and found["doubts"] is None
    assert {each["name"] for each in found["slicings"][1]["slices"]} == {"a", "b"}
    assert [kind["name"] for kind in found["robustness"]["kinds"]] == [
        "typos", "lower case", "UPPER CASE",
    ]  # fmt: skip


def test_the_command_writes_the_page_and_prints_the_short_form(
    labelled: Path, tmp_path: Path
) -> None:
    pytest.importorskip("vl_convert")
    output = tmp_path / "report.html"
    command = (TINY / "text-classification", "--data", labelled, "--output", output)
    result = run(*command, "--no-robustness")
    assert result.exit_code == 0, result.stderr
    assert "accuracy 0." in result.stdout and f"page: {output}" in result.stdout
    assert "\x1b" not in result.stdout
    assert output.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    again = run(*command)
    assert again.exit_code == 1 and "--overwrite" in again.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--slice-by", "langg"), "did you mean 'lang'?"),
        (("--fairness-by", "text"), "--fairness-by needs two"),
        (("--embedder", TINY / "text-classification"), "not for feature-extraction"),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(
    more: tuple[object, ...], said: str, labelled: Path
) -> None:
    result = run(TINY / "text-classification", "--data", labelled, "--no-robustness", *more)
    assert result.exit_code == 1 and result.stdout == ""
    assert said in result.stderr.splitlines()[-1]


def test_labels_that_were_trained_on_are_not_judged_by_the_model_itself(
    labelled: Path, named: Named
) -> None:
    examples = open_examples(labelled, named.model.spec.task)
    config = ReportConfig(robustness=False, is_train=True)
    found = report(named, examples, config).doubts
    assert found and found.count is None and "--embedder" in found.source
    vectors = np.random.default_rng(0).normal(size=(242, 8))
    embedded = replace(config, embed=lambda texts: vectors[: len(texts)])
    judged = report(named, examples, embedded).doubts
    assert judged and judged.count is not None and "cross-validated" in judged.source


def test_labels_of_the_training_file_are_judged_by_the_folds_of_the_training(
    labelled: Path, named: Named, tmp_path: Path
) -> None:
    labels = named.model.spec.labels
    examples = open_examples(labelled, named.model.spec.task)
    gold = np.array([labels.index(example.names[0]) for example in examples])
    probabilities = np.full((len(gold), len(labels)), 0.02)
    likelier = np.where(np.isin(np.arange(len(gold)), [3, 50]), (gold + 1) % len(labels), gold)
    probabilities[np.arange(len(gold)), likelier] = 1 - 0.02 * (len(labels) - 1)
    found = OutOfFold(
        row=np.arange(len(gold)), fold=np.arange(len(gold)) % 3, gold=gold,
        probabilities=probabilities.astype(np.float32), labels=np.array(labels),
    )  # fmt: skip
    write_out_of_fold(tmp_path, found)
    config = ReportConfig(
        robustness=False, is_train=True, out_of_fold=read_out_of_fold(tmp_path)
    )  # fmt: skip
    judged = report(named, examples, config).doubts
    assert judged and judged.count == 2 and "folds" in judged.source
    assert {each.place for each in judged.listed} == {"5", "52"}  # behind the header
    other = replace(config, out_of_fold=replace(found, gold=(gold + 1) % len(labels)))
    unknown = report(named, examples, other).doubts
    assert unknown and unknown.count is None
    (tmp_path / OUT_OF_FOLD).write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"folds\.npz is damaged"):
        read_out_of_fold(tmp_path)


def test_a_column_that_is_not_there_is_an_error_with_its_file(labelled: Path, named: Named) -> None:
    examples = open_examples(labelled, named.model.spec.task)
    with pytest.raises(DataError, match=r"test\.csv:1"):
        report(named, examples, ReportConfig(slice_by=("nowhere",), robustness=False))
    with pytest.raises(SettingError, match="needs two"):
        report(named, examples, ReportConfig(fairness_by=("text",), robustness=False))
