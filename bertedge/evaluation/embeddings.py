"""Texts as vectors: of pairs, beside how alike they are; of plain texts, for comparison alone."""

from collections.abc import Sequence

import numpy as np

from bertedge.data import Example, TextExample
from bertedge.evaluation.labeller import Labeller, Part


def embed(labeller: Labeller, examples: Sequence[Example]) -> Part:
    """Embed both texts of each pair, or the one there is: `(examples, 1 or 2, hidden)`."""
    texts = [example for example in examples if isinstance(example, TextExample)]
    parts = [part for each in texts for part in (each.text, each.pair) if part is not None]
    encoded = labeller.tokenizer.encode(parts)
    vectors = np.stack(labeller.infer(encoded))
    values = [each.value for each in texts if each.value is not None]
    return Part(
        gold=[np.array(values, np.float64)] if values else [],
        predicted=[vectors.reshape(len(texts), -1, vectors.shape[-1])],
        truncated=sum(row.truncated for row in encoded),
    )
