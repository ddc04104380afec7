"""Hidden words: candidates for each mask of a text, and answers too wide to be kept whole."""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bertedge.predictions import Fill
from bertedge.runtime.decoding import softmax
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.tokenizer import Tokenizer

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

WIDE, KEPT = 4096, 256
"""Columns above which logits are thinned, and at most how many then stay."""
HIDDEN = 0.15
"""Share of a text's tokens that `hide` masks, as in pretraining."""


def thin(logits: Floats) -> Floats:
    """Take every n-th column of logits as wide as a vocabulary, all columns of others.

    Enough to tell a right graph from a wrong one, and few enough to be recorded.
    """
    columns = logits.shape[-1]
    return logits[..., :: -(-columns // KEPT)] if columns > WIDE else logits


def fill(logits: Floats, tokenizer: Tokenizer, top_k: int) -> tuple[tuple[Fill, ...], ...]:
    """Give the `top_k` likeliest tokens, best first, for each mask `(masks, vocabulary)`."""
    scores = softmax(logits)
    best = np.argsort(-scores, axis=-1, kind="stable")[:, :top_k]
    return tuple(
        tuple(
            Fill(token=tokenizer.token(token), token_id=token, score=float(row[token]))
            for token in tokens
        )
        for row, tokens in zip(scores, best.tolist(), strict=True)
    )


def hide(row: Encoded, mask: int) -> Ints:
    """Put `mask` in the place of some of a row's tokens; return these places.

    At random, but always the same ones of the same row; at least one unless the row is empty.
    """
    content = np.arange(len(row.ids))[row.content]
    rng = np.random.default_rng(zlib.crc32(row.ids.tobytes()))
    count = min(len(content), max(1, round(HIDDEN * len(content))))
    places = np.sort(rng.choice(content, count, replace=False)) if count else content
    row.ids[places] = mask
    return places


def judge(logits: Floats, gold: Ints) -> NDArray[np.float64]:
    """Give the likeliest token and the cross entropy of `gold` for each mask `(masks, 2)`."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    normalizer = np.log(np.exp(shifted).sum(axis=-1))
    entropy = normalizer - shifted[np.arange(len(gold)), gold]
    return np.stack([logits.argmax(axis=-1), entropy], axis=-1)


def without_mask(rows: Sequence[Encoded], mask: int) -> int | None:
    """Return the number of the first row that has no mask to fill and was not cut."""
    return next(
        (i for i, row in enumerate(rows) if not row.truncated and mask not in row.ids), None
    )
