"""Training with the embeddings of those tokens alone that the data has."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from bertedge.finetune.features import Features


class EmbeddingSubset(torch.nn.Module):
    """A word embedding of `used` tokens, which takes the ids of the whole vocabulary."""

    def __init__(self, whole: torch.nn.Embedding, used: NDArray[np.int64]) -> None:
        super().__init__()
        rows = torch.from_numpy(used).to(whole.weight.device)
        place = torch.zeros(whole.num_embeddings, dtype=torch.int64, device=rows.device)
        place[rows] = torch.arange(len(used), device=rows.device)
        self.register_buffer("place", place, persistent=False)
        self.weight = torch.nn.Parameter(whole.weight.detach()[rows].clone())
        self.weight.requires_grad_(whole.weight.requires_grad)
        padding = whole.padding_idx
        self._padding = None if padding is None else int(place[padding])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Look up vectors `(…, hidden)`."""
        return torch.nn.functional.embedding(self.place[ids], self.weight, self._padding)


@contextlib.contextmanager
def embedding_subset(
    model: transformers.PreTrainedModel, data: Sequence[Features]
) -> Iterator[None]:
    """Replace the model's word embeddings by those of the data's tokens for the time of the block.

    The others have no gradient. What an optimizer would do in each step to rows that nothing reads
    is half of its work on a small model, and most of it on a multilingual one; left out, they are
    also spared its decay.
    """
    whole = model.get_input_embeddings()
    if not isinstance(whole, torch.nn.Embedding):  # virtual tokens, beside rows that are frozen
        yield
        return
    used = token_ids_in(data, whole.padding_idx)
    narrow = EmbeddingSubset(whole, used)
    model.set_input_embeddings(narrow)
    try:
        yield
    finally:
        whole.to(narrow.weight.device)
        with torch.no_grad():
            whole.weight[torch.from_numpy(used)] = narrow.weight
        model.set_input_embeddings(whole)


def token_ids_in(data: Sequence[Features], padding: int | None) -> NDArray[np.int64]:
    """Return the ids `(tokens,)` that occur in any of the data, sorted, and that of the padding."""
    found = [np.array([0 if padding is None else padding])]
    for features in data:
        ids = features.data.with_format("arrow")["input_ids"][:]
        found += [np.unique(_flat(chunk).to_numpy()) for chunk in ids.chunks]
    return np.unique(np.concatenate(found)).astype(np.int64)


def _flat(ids: Any) -> Any:
    """Return an Arrow array of lists, or of lists of lists, as one of numbers."""
    while ids.type.num_fields:
        ids = ids.flatten()
    return ids
