"""Texts like those the model will read, and the ranges of the activations on them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import HistogramCollector
from onnxruntime.quantization.quant_utils import smooth_distribution
from scipy.special import rel_entr  # type: ignore[import-untyped]

from bertedge.bundle import Calibration
from bertedge.checkpoint import Checkpoint
from bertedge.checkpoint.recorded import open_recorded
from bertedge.data import Example, ExampleFile, TokenExample
from bertedge.errors import BertedgeError
from bertedge.export.parity_inputs import sentences, texts_of
from bertedge.export.quantization.matmuls import watch_inputs
from bertedge.export.third_party import quietly
from bertedge.runtime.encoding import Batch, Encoded, pad, plan
from bertedge.runtime.tokenizer import Tokenizer

METHODS = ("min-max", "percentile", "entropy")
TEXTS = 256
TOKENS = 16_384
"""Fewer texts are read where they are long: ranges change little after this many tokens."""
PERCENTILE = 99.99
BINS = 1024
LEVELS = 128
"""Of the candidate that entropy compares with, as in onnxruntime's own calibrator."""

Range = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationTexts:
    """The texts, tokenized, and where they are from; none of them is kept in a bundle."""

    rows: tuple[Encoded, ...]
    pad_token_id: int
    data: str
    sha256: str | None

    def batches(self) -> list[Batch]:
        """Return all texts in padded batches."""
        groups = plan([len(row.ids) for row in self.rows])
        return [pad([self.rows[i] for i in group], self.pad_token_id) for group in groups]

    def describe(self, method: str | None) -> Calibration:
        """Return what a bundle records of them."""
        return Calibration(data=self.data, sha256=self.sha256, texts=len(self.rows), method=method)

    def singles(self, count: int) -> list[Batch]:
        """Return the first texts, one a batch."""
        return [pad([row], self.pad_token_id) for row in self.rows[:count]]


def gather(checkpoint: Checkpoint, data: ExampleFile | None, *, pair: bool) -> CalibrationTexts:
    """Take texts of the training file, else of the labelled data, else bertedge's own."""
    source = _training_file(checkpoint) or data
    tokenizer = Tokenizer(checkpoint.tokenizer_json, max_length=checkpoint.model.max_length)
    if source is None:
        rows = tokenizer.encode(sentences(pair=pair))
    else:
        rows = _encode(tokenizer, _sample(source), pair=pair)
    kept = list(_within(rows))
    return CalibrationTexts(
        rows=tuple(kept),
        pad_token_id=checkpoint.model.pad_token_id,
        data="built-in" if source is None else source.path.name,
        sha256=None if source is None else source.sha256(),
    )


def channel_maxima(model: ir.Model, texts: CalibrationTexts) -> dict[str, NDArray[np.float32]]:
    """Find the largest magnitude of each channel that a product reads."""
    maxima: dict[str, NDArray[np.float32]] = {}
    for values in watch_inputs(model, texts.batches()):
        for name, value in values.items():
            found = np.abs(value).max(axis=0)
            maxima[name] = np.maximum(maxima.get(name, found), found)
    return maxima


def activation_ranges(model: ir.Model, texts: CalibrationTexts) -> dict[str, dict[str, Range]]:
    """Find what each product reads at least and at most, by each of METHODS.

    The largest and smallest value; both ends without 0.005 % of the values; the range that loses
    the least information (Kullback-Leibler).
    """
    collector = HistogramCollector("entropy", False, BINS, LEVELS, PERCENTILE, "same")
    extremes: dict[str, Range] = {}
    with quietly():
        for values in watch_inputs(model, texts.batches()):
            collector.collect(values)
            for name, value in values.items():
                low, high = extremes.get(name, (0.0, 0.0))
                extremes[name] = (min(low, float(value.min())), max(high, float(value.max())))
        percentile = collector.compute_percentile()
    entropy = {
        name: entropy_range(counts, edges)
        for name, (counts, edges, *_) in collector.histogram_dict.items()
    }
    return {
        "min-max": extremes,
        "percentile": {name: _clip(found, extremes[name]) for name, found in percentile.items()},
        "entropy": {name: _clip(found, extremes[name]) for name, found in entropy.items()},
    }


def entropy_range(counts: NDArray[np.int64], edges: NDArray[np.floating]) -> Range:
    """Return the range around the middle of a histogram that loses the least information.

    What `HistogramCollector.get_entropy_threshold` finds, whose loops over bins in Python took two
    thirds of an export's time. `counts` are those of the bins `(bins,)`, `edges` `(bins + 1,)`.
    """
    bins, middle = len(counts), len(counts) // 2
    below = np.concatenate([[0], np.cumsum(counts)])
    ranges, losses = [], []
    for half in range(LEVELS // 2, middle + 1):
        first, end = middle - half, min(middle + half + 1, bins)
        ranges.append((float(edges[first]), float(edges[end])))
        inner = counts[first:end]
        exact = inner.copy()
        exact[0] += below[first]
        exact[-1] += below[bins] - below[end]
        merged = len(inner) // LEVELS
        even = LEVELS * merged  # bins that fill levels; the last level has the rest, too
        levels = inner[:even].reshape(LEVELS, merged).sum(axis=1)
        levels[-1] += inner[even:].sum()
        occupied = (exact[:even] != 0).reshape(LEVELS, merged).sum(axis=1)
        shares = np.where(occupied, levels // np.maximum(occupied, 1), 0)
        rounded = np.zeros_like(exact)
        rounded[:even] = np.repeat(shares, merged)
        one, other = smooth_distribution(exact), smooth_distribution(rounded)
        if other is None:
            losses.append(np.inf)
        else:
            losses.append(rel_entr(one / one.sum(), other / other.sum()).sum())
    return ranges[int(np.argmin(np.asarray(losses, edges.dtype)))]


def _clip(found: tuple[float, ...], extremes: Range) -> Range:
    """Keep a range within what occurs, and around 0."""
    low = min(max(float(found[0]), extremes[0]), 0.0)
    return low, max(min(float(found[1]), extremes[1]), 0.0)


def _training_file(checkpoint: Checkpoint) -> ExampleFile | None:
    training = checkpoint.training
    if training is None:
        return None
    try:
        path = training.train.locate(checkpoint.folder)
        return open_recorded(checkpoint, training.train, path)
    except BertedgeError:
        return None


def _sample(source: ExampleFile) -> list[Example]:
    """Take texts from all over the file, which may be sorted by label; in no order."""
    count = sum(1 for _ in source)
    wanted = {i * count // TEXTS for i in range(TEXTS)}
    chosen = [example for i, example in enumerate(source) if i in wanted]
    order = np.random.default_rng(0).permutation(len(chosen))
    return [chosen[i] for i in order]


def _encode(tokenizer: Tokenizer, examples: list[Example], *, pair: bool) -> list[Encoded]:
    words = [each.tokens for each in examples if isinstance(each, TokenExample)]
    if words:
        return tokenizer.encode_words(words)
    return tokenizer.encode([text for each in examples for text in texts_of(each, pair=pair)])


def _within(rows: list[Encoded]) -> Iterator[Encoded]:
    tokens = 0
    for row in rows:
        tokens += len(row.ids)
        if tokens > TOKENS:
            return
        yield row
