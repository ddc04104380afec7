"""Rows to masked, padded batches, the same for the same place in the run.

Whole words are masked, by the 80/10/10 rule. transformers' collators draw from the process's own
random state and find words by `##`: a resumed run would see other masks, and Chinese no words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from bertedge.pretrain.rows import Row, Rows

IGNORED = -100
"""The label that PyTorch's cross entropy leaves out."""
HIDDEN, REPLACED = 0.8, 0.1
"""Of the tokens to predict, the shares shown as [MASK] and as any token; the others stay."""
ROWS, ORDER, HELD_OUT = 1, 2, 3
"""Part of the seed of random numbers, by what they are used for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masking:
    """How a row is masked."""

    share: float
    """Of the row's tokens, to predict."""
    mask_token: int
    ordinary: NDArray[np.int64]
    """The token ids that are not special."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """A row, and what to predict in it."""

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    """The token where it is to be predicted, IGNORED elsewhere."""


def mask(
    ids: NDArray[np.int64],
    begins: NDArray[np.bool_],
    masking: Masking,
    rng: np.random.Generator,
) -> Masked:
    """Choose words at random until they make up the share, and hide them from the model.

    A word is chosen with all its pieces. Chinese is written without spaces and BERT takes every
    character for a word, so there a character is what is chosen. `begins` marks the first piece
    of each word; what comes before the first word begins (the rest of one) counts as a word.
    """
    counted = np.cumsum(begins)
    words = counted - counted[0]
    sizes = np.bincount(words)
    order = rng.permutation(len(sizes))
    budget = max(1, round(masking.share * len(ids)))
    taken = int(np.searchsorted(np.cumsum(sizes[order]), budget, side="right"))
    chosen = np.zeros(len(sizes), np.bool_)
    chosen[order[: max(1, taken)]] = True
    places = np.flatnonzero(chosen[words])
    labels = np.full(len(ids), IGNORED, np.int64)
    labels[places] = ids[places]
    dice = rng.random(len(places))
    shown = ids.copy()
    shown[places[dice < HIDDEN]] = masking.mask_token
    random = places[(dice >= HIDDEN) & (dice < HIDDEN + REPLACED)]
    shown[random] = rng.choice(masking.ordinary, len(random))
    return Masked(ids=shown, labels=labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A masked row with its special tokens."""

    input_ids: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    next_sentence: int | None
    """1 where the second text is a random one, as transformers' BertForPreTraining counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMasker:
    """Turns a row into an item: masks it and puts the special tokens around its parts."""

    cls: int
    sep: int
    pad: int
    masking: Masking

    @classmethod
    def from_tokenizer(
        cls, tokenizer: transformers.PreTrainedTokenizerFast, share: float
    ) -> "RowMasker":
        """Return the masker for a tokenizer that has a mask token."""
        special = {token for token in tokenizer.all_special_ids if token != tokenizer.unk_token_id}
        ordinary = sorted(set(tokenizer.get_vocab().values()) - special)
        return cls(
            cls=int(tokenizer.cls_token_id),
            sep=int(tokenizer.sep_token_id),
            pad=int(tokenizer.pad_token_id),
            masking=Masking(
                share=share,
                mask_token=int(tokenizer.mask_token_id),
                ordinary=np.array(ordinary, np.int64),
            ),
        )

    def item(self, row: Row, rng: np.random.Generator) -> Item:
        """Mask a row and put the special tokens around its parts."""
        ids = np.concatenate([part.ids for part in row.parts])
        begins = np.concatenate([part.begins for part in row.parts])
        masked = mask(ids, begins, self.masking, rng)
        ends = np.cumsum([len(part.ids) for part in row.parts])
        places = np.concatenate([[0], ends])
        special = [self.cls, *[self.sep] * len(row.parts)]
        types = np.repeat(np.arange(len(row.parts)), np.diff(places) + 1)
        return Item(
            input_ids=np.insert(masked.ids, places, special),
            token_type_ids=np.append(0, types),
            labels=np.insert(masked.labels, places, IGNORED),
            next_sentence=None if row.random is None else int(row.random),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Row numbers."""

    train: NDArray[np.int64]
    held_out: NDArray[np.int64]


def split(count: int, share: float, *, most: int, seed: int) -> Split:
    """Choose at random which rows are held out: `share` of them, at least one, `most` at most."""
    order = np.random.default_rng([seed, HELD_OUT]).permutation(count)
    held_out = min(max(1, round(share * count)), count - 1, most)
    return Split(train=np.sort(order[held_out:]), held_out=np.sort(order[:held_out]))


def hold_out(rows: Rows, numbers: NDArray[np.int64], masker: RowMasker, *, seed: int) -> list[Item]:
    """Mask the held-out rows, in the same way whenever the seed is the same."""
    items = []
    for number in numbers.tolist():
        rng = np.random.default_rng([seed, HELD_OUT, number])
        items.append(masker.item(rows.row(number, rng), rng))
    return items


class Run(torch.utils.data.Dataset[Item]):
    """All rows of a run in the order in which they are trained on, epoch after epoch.

    Entry `i` depends on the seed and on `i` alone, so that a resumed run sees what an unbroken
    one does, with new masks in every epoch.
    """

    def __init__(
        self, rows: Rows, numbers: NDArray[np.int64], masker: RowMasker, *, seed: int
    ) -> None:
        self._rows, self._numbers, self._masker, self._seed = rows, numbers, masker, seed
        self._epoch, self._order = -1, numbers
        self.length = len(numbers)
        """Entries of the run."""

    def __len__(self) -> int:
        """Return `length`."""
        return self.length

    def __getitem__(self, place: int) -> Item:
        """Mask the row whose turn it is."""
        epoch, at = divmod(place, len(self._numbers))
        if epoch != self._epoch:
            shuffle = np.random.default_rng([self._seed, ORDER, epoch])
            self._epoch, self._order = epoch, shuffle.permutation(self._numbers)
        rng = np.random.default_rng([self._seed, ROWS, epoch, at])
        return self._masker.item(self._rows.row(int(self._order[at]), rng), rng)


def collate(items: Sequence[Item], pad: int) -> dict[str, torch.Tensor]:
    """Pad items to the longest: `(batch, sequence)`, and `(batch,)` for the next sentence."""
    length = max(len(item.input_ids) for item in items)

    def table(rows: Sequence[NDArray[np.int64]], fill: int) -> torch.Tensor:
        padded = np.full((len(rows), length), fill, np.int64)
        for target, row in zip(padded, rows, strict=True):
            target[: len(row)] = row
        return torch.from_numpy(padded)

    batch = {
        "input_ids": table([item.input_ids for item in items], pad),
        "attention_mask": table([np.ones_like(item.input_ids) for item in items], 0),
        "token_type_ids": table([item.token_type_ids for item in items], 0),
        "labels": table([item.labels for item in items], IGNORED),
    }
    known = [item.next_sentence for item in items if item.next_sentence is not None]
    if known:
        batch["next_sentence_label"] = torch.tensor(known)
    return batch
