"""Tokenized rows as words again, so that whole words can be changed."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import transformers
from numpy.typing import NDArray

from bertedge.tasks.token_classification import IGNORED

SPECIAL = -1
_MARKS = ("Ġ", "▁")
"""What byte-level and SentencePiece vocabularies write before the first piece of a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """The tokens of a word, or a special token."""

    ids: tuple[int, ...]
    labels: tuple[int, ...] = ()
    """One a token, where words are tagged."""
    type_id: int = 0
    segment: int = SPECIAL
    """Which text of a pair the word is of; SPECIAL for a special token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What of a vocabulary tells words apart."""

    begins: NDArray[np.bool_]
    """Tokens that begin a word `(tokens,)`."""
    special: frozenset[int]


def read_vocabulary(tokenizer: transformers.PreTrainedTokenizerFast) -> Vocabulary:
    """Return which tokens begin words; where nothing marks that, each token is a word."""
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    prefix = getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None)
    mark = next((each for each in _MARKS if any(t.startswith(each) for t in tokens)), None)
    if prefix:
        begins = [not token.startswith(prefix) for token in tokens]
    else:
        begins = [mark is None or token.startswith(mark) for token in tokens]
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    return Vocabulary(begins=np.array(begins, np.bool_), special=frozenset(special))


def split_words(row: dict[str, Any], vocabulary: Vocabulary, *, tagged: bool) -> list[Word]:
    """Return the words of a row; of tagged ones those of the data, which begin with their tag."""
    ids = row["input_ids"]
    types = row.get("token_type_ids") or [0] * len(ids)
    labels = row["labels"] if tagged else None
    words: list[Word] = []
    segment, inside = 0, False
    for i, token in enumerate(ids):
        label: tuple[int, ...] = () if labels is None else (int(labels[i]),)
        if token in vocabulary.special:
            words.append(Word(ids=(token,), labels=label, type_id=types[i]))
            segment, inside = segment + inside, False
            continue
        begins = vocabulary.begins[token] if labels is None else labels[i] != IGNORED
        if begins or not inside:
            words.append(Word(ids=(token,), labels=label, type_id=types[i], segment=segment))
            inside = True
        else:
            last = words[-1]
            words[-1] = replace(last, ids=(*last.ids, token), labels=last.labels + label)
    return words


def join_words(words: list[Word], row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with these words instead of its own."""
    joined = dict(row) | {"input_ids": [token for word in words for token in word.ids]}
    if "token_type_ids" in row:
        joined["token_type_ids"] = [word.type_id for word in words for _ in word.ids]
    if words and words[0].labels:
        joined["labels"] = [label for word in words for label in word.labels]
    return joined


def put(word: Word, ids: tuple[int, ...]) -> Word:
    """Return a word that stands where `word` does; its tag is that of its first token."""
    labels = (*word.labels[:1], *[IGNORED] * (len(ids) - 1)) if word.labels else ()
    return replace(word, ids=ids, labels=labels)
