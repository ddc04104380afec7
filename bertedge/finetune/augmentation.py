"""Training rows that differ each time they are met, by changes that their labels outlive."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import accelerate
import numpy as np
import transformers

from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.embedding_subset import token_ids_in
from bertedge.finetune.features import Features
from bertedge.finetune.inputs import Inputs
from bertedge.finetune.label_words import (
    TypicalWords,
    collect_mentions,
    find_mentions,
    labels_of,
    typical_words,
)
from bertedge.finetune.masked_lm import MaskedLm, load_masked_lm
from bertedge.finetune.settings.augmentation import Augmentation
from bertedge.finetune.words import (
    SPECIAL,
    Vocabulary,
    Word,
    join_words,
    put,
    read_vocabulary,
    split_words,
)
from bertedge.spec import OUTSIDE

UNCHANGED = 0.5
"""Of the rows, so that texts are learnt as they are, too."""

Row = dict[str, Any]
Draw = np.random.Generator
Change = Callable[[list[Word], Row, Draw], list[Word]]


class Augmenter(transformers.TrainerCallback):
    """Changes rows on their way into a batch.

    What is drawn depends on the seed, the epoch and the row's tokens alone, so that a resumed run
    draws as an unbroken one. Tokens that come in are all of the training data, the only ones whose
    embeddings are trained.
    """

    def __init__(self, kinds: Sequence[Augmentation], seed: int, *, share: float) -> None:
        self.epoch = 0
        self.changes: dict[Augmentation, Change] = {}
        self.masked_lm: MaskedLm | None = None
        self.vocabulary: Vocabulary | None = None
        self.outside: int | None = None
        """The label of words that may be changed; None: all may be."""
        self._kinds, self._seed, self._share = kinds, seed, share

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Draw anew."""
        self.epoch = int((state.epoch or 0.0) + 1e-6)  # a fraction where a run is resumed

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows, about half of them changed in one way each."""
        found = list(rows)
        masked: list[tuple[int, list[int], Draw]] = []
        for number, row in enumerate(rows):
            draw = self._draw(row)
            kind = self._kinds[int(draw.integers(len(self._kinds)))]
            if draw.random() < UNCHANGED:
                continue
            words = self._split(row)
            if kind is Augmentation.MASKED_LM:
                masked.append((number, self._tokens(words, draw), draw))
            else:
                found[number] = join_words(self.changes[kind](words, row, draw), row)
        if masked and self.masked_lm is not None:
            numbers, places, draws = zip(*masked, strict=True)
            filled = self.masked_lm.fill([rows[i] for i in numbers], places, draws)
            for number, ids in zip(numbers, filled, strict=True):
                found[number] = dict(rows[number]) | {"input_ids": ids}
        return found

    def free(self, words: Sequence[Word]) -> list[int]:
        """Return which words may be changed."""
        return [
            i
            for i, word in enumerate(words)
            if word.segment != SPECIAL and (self.outside is None or word.labels[0] == self.outside)
        ]

    def some(self, places: Sequence[int], draw: Draw) -> list[int]:
        """Draw the share of them that is changed, one at least."""
        count = min(len(places), max(1, round(self._share * len(places))))
        return sorted(draw.choice(places, count, replace=False).tolist()) if places else []

    def delete(self, words: list[Word], row: Row, draw: Draw) -> list[Word]:
        """Leave out each word by chance (random deletion: Wei & Zou 2019, arXiv:1901.11196)."""
        places = self.free(words)
        gone = {i for i in places if draw.random() < self._share}
        kept = {words[i].segment for i in range(len(words)) if i not in gone}
        for segment in {words[i].segment for i in gone} - kept:  # none is emptied
            gone.discard(int(draw.choice([i for i in gone if words[i].segment == segment])))
        return [word for i, word in enumerate(words) if i not in gone]

    def swap(self, words: list[Word], row: Row, draw: Draw) -> list[Word]:
        """Exchange two words of one text, as often as the share says (random swap, the same)."""
        for one in self.some(self.free(words), draw):
            others = [i for i in self.free(words) if words[i].segment == words[one].segment]
            other = int(draw.choice(others))
            words[one], words[other] = words[other], words[one]
        return words

    def _split(self, row: Row) -> list[Word]:
        assert self.vocabulary is not None
        return split_words(row, self.vocabulary, tagged=self.outside is not None)

    def _tokens(self, words: Sequence[Word], draw: Draw) -> list[int]:
        """Return the places of the tokens of some words."""
        starts = np.cumsum([0, *(len(word.ids) for word in words)])
        chosen = self.some(self.free(words), draw)
        return [place for i in chosen for place in range(starts[i], starts[i + 1])]

    def _draw(self, row: Row) -> Draw:
        text = np.asarray(row["input_ids"], np.int64).tobytes()
        return np.random.default_rng([self._seed, self.epoch, zlib.crc32(text)])


def make_augmenter(config: FinetuneConfig, inputs: Inputs, train: Features) -> Augmenter | None:
    """Return what the config asks for; SettingError where the base cannot do it."""
    if not config.augment:
        return None
    augmenter = Augmenter(config.augment, config.seed, share=config.augment_share)
    vocabulary = augmenter.vocabulary = read_vocabulary(inputs.tokenizer)
    if config.task.tags_words:
        augmenter.outside = inputs.labels.index(OUTSIDE)
    changes = augmenter.changes
    changes[Augmentation.DELETION] = augmenter.delete
    changes[Augmentation.SWAP] = augmenter.swap
    if Augmentation.LABEL_WORDS in config.augment:
        typical = typical_words(train, vocabulary)
        changes[Augmentation.LABEL_WORDS] = label_words(augmenter, typical, inputs.max_length)
    if Augmentation.MENTION in config.augment:
        changes[Augmentation.MENTION] = mentions(config, inputs, train, vocabulary)
    if Augmentation.MASKED_LM in config.augment:
        known = token_ids_in([train], None)
        allowed = known[~np.isin(known, list(vocabulary.special))]
        device = accelerate.PartialState().device
        augmenter.masked_lm = load_masked_lm(inputs, allowed, device)
    return augmenter


def label_words(augmenter: Augmenter, typical: dict[int, TypicalWords], max_length: int) -> Change:
    """Return the change of words that say little to words that are typical of the label.

    As in UDA (Xie et al. 2020, arXiv:1904.12848, appendix B) a word is replaced the more likely
    the lower its tf-idf; what takes its place is drawn by the tf-idf of the row's own label.
    """

    def change(words: list[Word], row: Row, draw: Draw) -> list[Word]:
        own = [typical[label] for label in labels_of(row) if label in typical]
        places = augmenter.free(words)
        if not own or not places:
            return words
        of = own[int(draw.integers(len(own)))]
        weights = np.array([of.weights.get(words[i].ids, 0.0) for i in places])
        chances = weights.max() - weights + 1e-9
        count = len(augmenter.some(places, draw))
        chosen = draw.choice(places, count, replace=False, p=chances / chances.sum())
        room = max_length - sum(len(word.ids) for word in words)
        for i in chosen.tolist():
            ids = of.words[int(draw.choice(len(of.words), p=of.shares))]
            more = len(ids) - len(words[i].ids)
            if more <= room:
                words[i], room = put(words[i], ids), room - more
        return words

    return change


def mentions(
    config: FinetuneConfig, inputs: Inputs, train: Features, vocabulary: Vocabulary
) -> Change:
    """Return the change of entities to others of their type in the data.

    Mention replacement (Dai & Adel 2020, arXiv:2010.11683): one of a text's, and each other with
    the chance `augment_share`.
    """
    known = collect_mentions(train, vocabulary, inputs.labels)

    def change(words: list[Word], row: Row, draw: Draw) -> list[Word]:
        found = find_mentions(words, inputs.labels)
        first = int(draw.integers(len(found))) if found else 0
        room = inputs.max_length - sum(len(word.ids) for word in words)
        for number in reversed(range(len(found))):  # the places before stay what they are
            place, kind = found[number]
            taken = draw.random() < config.augment_share or number == first
            others = known.get(kind, [])
            if not taken or not others:
                continue
            new = others[int(draw.integers(len(others)))]
            old = words[place]
            more = sum(len(w.ids) for w in new) - sum(len(w.ids) for w in old)
            if more <= room:
                at = old[0]
                words[place] = [
                    Word(ids=w.ids, labels=w.labels, type_id=at.type_id, segment=at.segment)
                    for w in new
                ]
                room -= more
        return words

    return change
