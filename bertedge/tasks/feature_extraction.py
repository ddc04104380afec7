"""Texts as vectors, compared by their cosines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bertedge.errors import DataError
from bertedge.metrics.regression import cosines, unit
from bertedge.predictions import Embedding
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.logits import Floats
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import DecisionRule, ModelSpec, Text
from bertedge.tasks import contract
from bertedge.tasks.contract import (
    AgreementBounds,
    LabelledRows,
    Outputs,
    PredictOptions,
)

if TYPE_CHECKING:
    from bertedge.data.example import Example
    from bertedge.metrics import ValueScores

AUTO_MODEL = "AutoModel"
HEADS: tuple[str, ...] = ()
"""Any encoder gives embeddings."""
ONNX_TASK = "feature-extraction"
BOUNDS = AgreementBounds(good=0.998, least=0.99, counted=False)
"""Mean cosines: 0.9988 cost no Spearman on STS-B, 0.9942 cost 0.14 points (MiniLM)."""

check, keep, settle = contract.no_check, contract.keep_all, contract.no_options
decide, choose_threshold = contract.no_rule, contract.no_threshold
baseline = contract.no_baseline
judge = contract.judge_none


def metric(rule: DecisionRule) -> str:
    """Return the name of what `score` calls its value."""
    return "spearman"


# Predicting.


encode = contract.encode_texts


def decode(
    spec: ModelSpec,
    tokenizer: Tokenizer,
    inputs: Sequence[Text],
    rows: Sequence[Encoded],
    logits: Sequence[Floats],
    options: PredictOptions,
) -> Iterator[Embedding]:
    """Yield the vector of each text."""
    for row, values in zip(rows, logits, strict=True):
        yield Embedding(values=values.copy(), truncated=row.truncated)


def cosine_matrix(one: ArrayLike, other: ArrayLike) -> NDArray[np.float32]:
    """Return the cosine of each embedding of `one` with each of `other` `(one, other)`.

    DataError where they are not of one model.
    """
    vectors = [np.atleast_2d(np.asarray(each, np.float32)) for each in (one, other)]
    widths = [each.shape[1] for each in vectors]
    if widths[0] != widths[1] or any(each.ndim != 2 for each in vectors):
        shapes = " and ".join(str(each.shape) for each in vectors)
        raise DataError(f"embeddings are {shapes}; both must be of one model, (texts, hidden)")
    return np.asarray(unit(vectors[0]) @ unit(vectors[1]).T, np.float32)


# Labelled data: pairs of texts with the similarity that is right; or texts alone.


def encode_labelled(
    spec: ModelSpec, tokenizer: Tokenizer, examples: Sequence[Example], path: Path
) -> LabelledRows:
    """Tokenize both texts of each pair, or the one there is; gold is one array `(pairs,)`."""
    texts = contract.text_examples(examples)
    parts = [part for each in texts for part in (each.text, each.pair) if part is not None]
    values = [each.value for each in texts if each.value is not None]
    return LabelledRows(
        rows=tokenizer.encode(parts), gold=[np.array(values, np.float64)] if values else []
    )


def outputs(
    spec: ModelSpec,
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    labelled: LabelledRows,
    logits: Sequence[NDArray[Any]],
) -> Outputs:
    """Stack the vectors `(examples, 1 or 2, hidden)`."""
    vectors = np.stack(logits)
    return Outputs(
        gold=labelled.gold,
        answers=[vectors.reshape(len(examples), -1, vectors.shape[-1])],
        rows=len(examples),
        truncated=sum(row.truncated for row in labelled.rows),
    )


def score(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> ValueScores | None:
    """Score the cosines of pairs; None where nothing is known of the texts."""
    from bertedge.metrics import similarity_scores

    return similarity_scores(np.concatenate(gold), np.concatenate(predicted)) if gold else None


def contributions(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> NDArray[np.float64] | None:
    """Return the values that are right and the cosines `(pairs, 2)`."""
    if not gold:
        return None
    vectors = np.concatenate(predicted)
    values = cosines(vectors[:, 0], vectors[:, 1])
    return np.stack([np.concatenate(gold), values], axis=1)
