"""Texts with masks, each filled with the likeliest tokens."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bertedge.errors import DataError
from bertedge.predictions import Fill, FilledMasks
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.engine import Keep
from bertedge.runtime.logits import Floats, softmax
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import DecisionRule, ModelSpec, Text
from bertedge.tasks import contract
from bertedge.tasks.contract import (
    LABEL_BOUNDS,
    LabelledRows,
    Outputs,
    PredictOptions,
    no_aggregation,
    settle_top_k,
)

if TYPE_CHECKING:
    from bertedge.data.example import Example
    from bertedge.metrics import Scores

Ints = NDArray[np.int64]

AUTO_MODEL = "AutoModelForMaskedLM"
HEADS: tuple[str, ...] = ("ForMaskedLM", "BertForPreTraining")
ONNX_TASK = "fill-mask"
BOUNDS = LABEL_BOUNDS
TOP_K = 5
"""Tokens that a mask gets, as from transformers' pipeline."""
MASKED_SHARE = 0.15
"""Share of a text's tokens that `mask_tokens` masks, as in pretraining."""

decide, choose_threshold = contract.no_rule, contract.no_threshold
baseline = contract.no_baseline
judge = contract.judge_none


def metric(rule: DecisionRule) -> str:
    """Return the name of what `score` calls its value."""
    return "masked_accuracy"


def check(spec: ModelSpec, tokenizer: Tokenizer) -> None:
    """Raise BundleError where the tokenizer has no mask."""
    tokenizer.mask  # noqa: B018 (raises where there is none)


# Predicting.


def settle(options: PredictOptions) -> PredictOptions:
    """Default to five tokens a mask; SettingError for an aggregation."""
    no_aggregation(options)
    return PredictOptions(top_k=settle_top_k(options, TOP_K))


def encode(tokenizer: Tokenizer, inputs: Sequence[Text], first: int) -> list[Encoded]:
    """Return one row a text; DataError names the first that has no mask to fill."""
    rows, mask = tokenizer.encode(inputs), tokenizer.mask
    for number, row in enumerate(rows, first):
        if not row.truncated and mask not in row.ids:
            raise DataError(
                f"text {number} has no {tokenizer.token(mask)}; put it where a word is to be found"
            )
    return rows


def keep(tokenizer: Tokenizer, rows: Sequence[Encoded]) -> Keep:
    """Keep the logits at masks `(masks, vocabulary)`: all would be too many."""
    mask = tokenizer.mask
    return lambda row, logits: logits[rows[row].ids == mask]


def decode(
    spec: ModelSpec,
    tokenizer: Tokenizer,
    inputs: Sequence[Text],
    rows: Sequence[Encoded],
    logits: Sequence[Floats],
    options: PredictOptions,
) -> Iterator[FilledMasks]:
    """Yield the likeliest tokens of each mask of each text."""
    for row, at_masks in zip(rows, logits, strict=True):
        masks = fill(at_masks, tokenizer, options.top_k or TOP_K)
        yield FilledMasks(masks=masks, truncated=row.truncated)


def fill(logits: Floats, tokenizer: Tokenizer, top_k: int) -> tuple[tuple[Fill, ...], ...]:
    """Return the `top_k` likeliest tokens, best first, for each mask `(masks, vocabulary)`."""
    scores = softmax(logits)
    best = np.argsort(-scores, axis=-1, kind="stable")[:, :top_k]
    return tuple(
        tuple(
            Fill(token=tokenizer.token(token), token_id=token, score=float(row[token]))
            for token in tokens
        )
        for row, tokens in zip(scores, best.tolist(), strict=True)
    )


# Labelled data: texts are their own labels.


def encode_labelled(
    spec: ModelSpec, tokenizer: Tokenizer, examples: Sequence[Example], path: Path
) -> LabelledRows:
    """Tokenize texts and mask some of their tokens, whose ids are an array a text."""
    rows = tokenizer.encode([each.text for each in contract.text_examples(examples)])
    gold, places = [], []
    for row in rows:
        before = row.ids.copy()
        places.append(mask_tokens(row, tokenizer.mask))
        gold.append(before[places[-1]])
    return LabelledRows(
        rows=rows,
        gold=gold,
        keep=lambda row, logits: score_masked(logits[places[row]], gold[row]),
    )


def mask_tokens(row: Encoded, mask: int) -> Ints:
    """Put `mask` in the place of some of a row's tokens; return these places.

    At random, but always the same ones of the same row; at least one unless the row is empty.
    """
    content = np.arange(len(row.ids))[row.content]
    rng = np.random.default_rng(zlib.crc32(row.ids.tobytes()))
    count = min(len(content), max(1, round(MASKED_SHARE * len(content))))
    places = np.sort(rng.choice(content, count, replace=False)) if count else content
    row.ids[places] = mask
    return places


def score_masked(logits: Floats, gold: Ints) -> NDArray[np.float64]:
    """Return the likeliest token and the cross entropy of `gold` for each mask `(masks, 2)`."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    normalizer = np.log(np.exp(shifted).sum(axis=-1))
    entropy = normalizer - shifted[np.arange(len(gold)), gold]
    return np.stack([logits.argmax(axis=-1), entropy], axis=-1)


def outputs(
    spec: ModelSpec,
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    labelled: LabelledRows,
    logits: Sequence[NDArray[Any]],
) -> Outputs:
    """Return the likeliest token of each mask, with the cross entropy in the gold array's row."""
    gold = [
        np.stack([own, found[:, 1]], axis=1)
        for own, found in zip(labelled.gold, logits, strict=True)
    ]
    return Outputs(
        gold=gold,
        answers=[np.asarray(found[:, 0], np.int64) for found in logits],
        rows=len(examples),
        truncated=sum(row.truncated for row in labelled.rows),
    )


def score(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> Scores:
    """Score the tokens found for masked ones."""
    from bertedge.metrics import mask_scores

    truth = np.concatenate(gold)
    return mask_scores(truth[:, 0].astype(np.int64), np.concatenate(predicted), truth[:, 1])


def contributions(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> NDArray[np.float64]:
    """Return how many masks of each text are right, of how many `(texts, 2)`."""
    pairs = zip(gold, predicted, strict=True)
    return np.array([[(one[:, 0] == other).sum(), len(one)] for one, other in pairs], float)
