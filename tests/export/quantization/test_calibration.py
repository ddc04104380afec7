from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime.quantization.calibrate import HistogramCollector

from bertedge.bundle import hash_file
from bertedge.checkpoint import Checkpoint, DataFile, Training, open_checkpoint
from bertedge.data import Columns, open_examples
from bertedge.export.quantization import calibration
from bertedge.export.quantization.calibration import activation_ranges, channel_maxima, gather
from bertedge.export.quantization.matmuls import find_matmuls
from bertedge.spec import Task


@pytest.fixture
def checkpoint(checkpoints: Any) -> Checkpoint:
    return open_checkpoint(str(checkpoints("bert")))


def write(path: Path, texts: list[str]) -> Path:
    path.write_text("text,label\n" + "".join(f"{text},bad\n" for text in texts))
    return path


@pytest.fixture
def trained_on(training_record: Callable[..., Training]) -> Callable[..., Checkpoint]:
    """Give a checkpoint a record of its training on a file."""

    def record(checkpoint: Checkpoint, path: Path) -> Checkpoint:
        columns = Columns(text="text", label="label")
        train = DataFile(path=str(path), sha256=hash_file(path), rows=2, columns=columns)
        return replace(checkpoint, training=training_record(checkpoint.model, train))

    return record


def test_the_training_texts_come_first_then_the_labelled_then_our_own(
    trained_on: Callable[..., Checkpoint], checkpoint: Checkpoint, tmp_path: Path
) -> None:
    train = write(tmp_path / "train.csv", ["very good", "no"])
    dev = open_examples(write(tmp_path / "dev.csv", ["not"] * 3), Task.TEXT_CLASSIFICATION)
    opened = trained_on(checkpoint, train)
    found = gather(opened, dev, pair=False)
    assert (found.data, found.sha256, len(found.rows)) == ("train.csv", hash_file(train), 2)
    write(train, ["very bad"])  # not what the model was trained on any more
    assert gather(opened, dev, pair=False).data == "dev.csv"
    train.unlink()
    assert gather(opened, dev, pair=False).data == "dev.csv"
    own = gather(opened, None, pair=False)
    assert (own.data, own.sha256) == ("built-in", None)
    assert len(own.rows) >= 10
    assert len(gather(opened, None, pair=True).rows[0].ids) > len(own.rows[0].ids)


def test_texts_are_taken_from_all_over_a_sorted_file(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "TEXTS", 8)
    data = write(tmp_path / "data.csv", ["a"] * 50 + ["very good hotel in berlin"] * 50)
    found = gather(checkpoint, open_examples(data, Task.TEXT_CLASSIFICATION), pair=False)
    lengths = [len(row.ids) for row in found.rows]
    assert len(lengths) == 8
    assert lengths.count(3) == 4
    monkeypatch.setattr(calibration, "TOKENS", 20)
    assert sum(len(row.ids) for row in gather(checkpoint, None, pair=False).rows) <= 20


def test_words_calibrate_token_labels(checkpoints: Any, tmp_path: Path) -> None:
    path = tmp_path / "data.conll"
    path.write_text("anna\tO\nmet\tO\n\nno\tO\n")
    opened = open_checkpoint(str(checkpoints("bert", Task.TOKEN_CLASSIFICATION)))
    examples = open_examples(path, Task.TOKEN_CLASSIFICATION, Columns(separator="\t"))
    found = gather(opened, examples, pair=False)
    assert sorted(len(row.ids) for row in found.rows) == [3, 4]


def test_ranges_hold_zero_and_what_occurs(checkpoint: Checkpoint, fused: Any) -> None:
    model = fused("bert").model
    texts = gather(checkpoint, None, pair=False)
    ranges = activation_ranges(model, texts)
    largest = channel_maxima(model, texts)
    assert (
        set(ranges["min-max"])
        == {node.inputs[0].name for node in find_matmuls(model)}
        == set(largest)
    )
    for name, (low, high) in ranges["min-max"].items():
        assert low <= 0 <= high
        assert max(-low, high) == pytest.approx(float(largest[name].max()))
        for method in ("percentile", "entropy"):
            inner = ranges[method][name]
            assert low <= inner[0] <= 0 <= inner[1] <= high
    narrower = [
        np.subtract(*ranges["percentile"][name]) > np.subtract(*found)
        for name, found in ranges["min-max"].items()
    ]
    assert any(narrower)


@pytest.mark.parametrize("kind", ["even", "one-sided", "constant", "growing"])
def test_the_entropy_range_is_that_of_onnxruntime(kind: str) -> None:
    random = np.random.default_rng(0)
    collector = HistogramCollector("entropy", False, 256, calibration.LEVELS, 99.99, "same")
    for scale in (1, 1, 3):
        values = random.standard_t(3, (500, 4)).astype(np.float32)
        match kind:
            case "one-sided":
                values = np.maximum(values, np.float32(-0.17))
            case "constant":
                values = np.full_like(values, 2.5)
            case "growing":
                values *= scale
        collector.collect({"x": values})
    counts, edges, low, high, _ = collector.histogram_dict["x"]
    expected = collector.compute_entropy()["x"][:2]
    found = calibration.entropy_range(counts, edges)
    assert (max(found[0], low), min(found[1], high)) == expected
    assert kind == "constant" or found[1] < high  # a part of what occurs is left out


def test_padding_is_not_calibrated_on(checkpoint: Checkpoint, fused: Any) -> None:
    model = fused("bert").model
    texts = gather(checkpoint, None, pair=False)
    padded = channel_maxima(model, texts)
    alone = [
        channel_maxima(model, replace(texts, rows=texts.rows[i : i + 1]))
        for i in range(len(texts.rows))
    ]
    for name, value in padded.items():
        largest = np.max([each[name] for each in alone], axis=0)
        np.testing.assert_allclose(value, largest, rtol=1e-4, atol=1e-5)
