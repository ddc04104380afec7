"""Texts to rows of token ids, as transformers' fast tokenizers give them."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import tokenizers  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bertedge.errors import BundleError, SettingError
from bertedge.runtime.encoding import (
    Encoded,
    Ints,
    longest_first,
    strided_starts,
    window_starts,
)
from bertedge.runtime.process import NATIVE
from bertedge.runtime.tokenizer_json import broken, parse
from bertedge.spec import Text

_SURROGATES = re.compile("[\ud800-\udfff]")
_UNKNOWN_TOKENS = ("[UNK]", "<unk>")
_MASK_TOKENS = ("[MASK]", "<mask>")
LONGEST_OVERLAP = 128
"""Tokens that two windows over a context share, where the model reads enough of them: the stride
of the BERT paper, and of transformers' pipeline."""
_NO_OFFSETS = np.empty((0, 2), np.int64)
_NO_WORDS = np.empty(0, np.int64)


class Tokenizer:
    """A `tokenizer.json`, made to truncate or to cut windows at `max_length` tokens.

    `stride` is how many tokens two neighbouring windows share; a quarter of a window by default.
    Lone surrogates, which no encoding can carry, are read as U+FFFD. Safe to share by threads.
    """

    def __init__(self, json: str, *, max_length: int, stride: int | None = None) -> None:
        native = parse(json)
        self._native = native
        self._max_length = max_length
        specials = native.num_special_tokens_to_add(False)
        if max_length <= native.num_special_tokens_to_add(True):
            raise SettingError(
                f"max_length is {max_length}, which the special tokens alone would fill; "
                "choose at least 8"
            )
        probe = native.encode("a").sequence_ids
        self._before = probe.index(0) if 0 in probe else min(specials, 1)
        self._after = specials - self._before
        self._room = max_length - specials
        self._stride = min(max_length // 4 if stride is None else stride, self._room - 1)
        self._overlap = min(max_length // 2, LONGEST_OVERLAP)
        self._prefix = getattr(native.model, "continuing_subword_prefix", None)
        self._unknown = _unknown_token(native)
        self._token_lengths = np.full(native.get_vocab_size(), -1, np.int64)

    def encode(self, texts: Sequence[Text]) -> list[Encoded]:
        """Return one row a text or pair, truncated at its end (the longer of a pair first)."""
        encodings = _encode(self._native.encode_batch_fast, texts)
        return [self._truncated(text, encoding) for text, encoding in enumerate(encodings)]

    def encode_windows(self, texts: Sequence[str]) -> list[Encoded]:
        """Return the windows of each text: one where it fits, else several that overlap."""
        encodings = _encode(self._native.encode_batch, texts)
        return [w for text, encoding in enumerate(encodings) for w in self._windows(text, encoding)]

    def encode_words(self, words: Sequence[Sequence[str]]) -> list[Encoded]:
        """Return the windows of texts that are split into words already; `word_ids` index them."""
        encodings = _encode(partial(self._native.encode_batch, is_pretokenized=True), words)
        return [w for text, encoding in enumerate(encodings) for w in self._windows(text, encoding)]

    def encode_questions(self, pairs: Sequence[tuple[str, str]]) -> list[Encoded]:
        """Return the windows over the context of each pair of a question and a context.

        The question stands before each window; `content`, `offsets` and `word_ids` are of the
        context. Windows are those that tokenizers' own truncation "only_second" makes. A question
        that would leave several windows room for little more than they share is cut, and
        `truncated`.
        """
        encodings = _encode(self._native.encode_batch, pairs)
        return [w for pair, encoding in enumerate(encodings) for w in self._asked(pair, encoding)]

    @property
    def specials(self) -> int:
        """How many special tokens a text gets."""
        return int(self._before + self._after)

    @property
    def size(self) -> int:
        """How many tokens there are, added ones included."""
        return len(self._token_lengths)

    @property
    def mask(self) -> int:
        """The id of the mask token; BundleError where there is none."""
        ids = (self._native.token_to_id(name) for name in _MASK_TOKENS)
        found = next((token for token in ids if token is not None), None)
        if found is None:
            raise BundleError(
                f"the tokenizer has none of the mask tokens {', '.join(_MASK_TOKENS)}; "
                "export a model that was trained to fill masks"
            )
        return int(found)

    def token(self, token_id: int) -> str:
        """Write one token as text, `##` included."""
        try:
            with NATIVE:
                return str(self._native.decode([token_id], skip_special_tokens=False))
        except Exception as error:  # tokenizers raises bare Exception
            raise broken(error) from error

    def continues_word(self, text: str, ids: Ints, offsets: Ints) -> NDArray[np.bool_]:
        """Return which of `ids` continue the word of the token before them `(tokens,)`.

        `offsets` `(tokens, 2)` are the tokens' characters in `text`. As transformers' pipeline has
        it: where the vocabulary marks continuations (`##`), a token continues a word if its own
        length is not that of its characters; elsewhere, if no space is before it.
        """
        start = offsets[:, 0]
        if self._prefix:
            continues = self._lengths(ids) != offsets[:, 1] - start
        else:
            characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
            space = np.append(characters == ord(" "), False)
            continues = (start > 0) & ~space[start - 1] & ~space[start]
        return np.asarray(continues & (ids != self._unknown), np.bool_)

    def _truncated(self, text: int, encoding: Any) -> Encoded:
        ids = np.array(encoding.ids, np.int64)
        type_ids = np.array(encoding.type_ids, np.int64)
        truncated = len(ids) > self._max_length
        if truncated:
            origin = np.array(encoding.sequence_ids, np.float64)  # None becomes NaN
            first, second = origin == 0, origin == 1
            specials = len(ids) - int(first.sum()) - int(second.sum())
            lengths = longest_first(first.sum(), second.sum(), self._max_length - specials)
            keep = np.isnan(origin)
            for part, length in zip((first, second), lengths, strict=True):
                keep |= part & (np.cumsum(part) <= length)
            ids, type_ids = ids[keep], type_ids[keep]
        return Encoded(
            ids=ids,
            type_ids=type_ids,
            offsets=_NO_OFFSETS,
            word_ids=_NO_WORDS,
            content=slice(self._before, len(ids) - self._after),
            first=0,
            text=text,
            truncated=truncated,
        )

    def _windows(self, text: int, encoding: tokenizers.Encoding) -> Iterator[Encoded]:
        whole = _whole(text, encoding)
        end = len(whole.ids) - self._after
        starts = window_starts(end - self._before, self._room, self._stride)
        parts = np.split(np.arange(len(whole.ids)), [self._before, end])
        return _cut(whole, parts, starts, self._room)

    def _asked(self, pair: int, encoding: tokenizers.Encoding) -> Iterator[Encoded]:
        whole = _whole(pair, encoding)
        origin = _or_minus_one(encoding.sequence_ids)
        question, context = np.flatnonzero(origin == 0), np.flatnonzero(origin == 1)
        specials = len(origin) - len(question) - len(context)
        longest = self._max_length - specials - self._overlap - self._overlap // 4
        kept = np.flatnonzero(origin != 1)
        if len(origin) > self._max_length and len(question) > max(longest, 0):
            whole = replace(whole, truncated=True)
            kept = np.setdiff1d(kept, question[max(longest, 0) :])
        before = kept[kept < context[0]] if len(context) else kept
        room = self._max_length - len(kept)
        starts = strided_starts(len(context), room, min(self._overlap, room - 1))
        return _cut(whole, [before, context, kept[len(before) :]], starts, room)

    def _lengths(self, ids: Ints) -> Ints:
        # Filled as tokens are met: asking for the whole vocabulary would slow the first answer.
        # A vocabulary with gaps has ids beyond its size; the model has seen that it knows them.
        missing = int(ids.max(initial=0)) + 1 - len(self._token_lengths)
        if missing > 0:
            self._token_lengths = np.pad(self._token_lengths, (0, missing), constant_values=-1)
        unseen = ids[self._token_lengths[ids] < 0].tolist()
        for token in set(unseen):  # np.unique would import numpy.ma: 20 ms of the first answer
            self._token_lengths[token] = len(self._native.id_to_token(token) or "")
        return self._token_lengths[ids]


def _whole(text: int, encoding: tokenizers.Encoding) -> Encoded:
    """Return an encoding as one row, however long."""
    ids = np.array(encoding.ids, np.int64)
    return Encoded(
        ids=ids,
        type_ids=np.array(encoding.type_ids, np.int64),
        offsets=np.array(encoding.offsets, np.int64).reshape(-1, 2),
        word_ids=_or_minus_one(encoding.word_ids),
        content=slice(0, len(ids)),
        first=0,
        text=text,
        truncated=False,
    )


def _cut(
    whole: Encoded, parts: Sequence[Ints], starts: Iterable[int], room: int
) -> Iterator[Encoded]:
    """Yield the windows of at most `room` tokens of the content that begin at `starts`.

    `parts` are the numbers of the tokens before the content, of the content, and after it.
    """
    before, content, after = parts
    for first in starts:
        own = content[first : first + room]
        take = np.concatenate([before, own, after])
        yield Encoded(
            ids=whole.ids[take],
            type_ids=whole.type_ids[take],
            offsets=whole.offsets[take],
            word_ids=whole.word_ids[take],
            content=slice(len(before), len(before) + len(own)),
            first=first,
            text=whole.text,
            truncated=whole.truncated,
        )


def _or_minus_one(numbers: Sequence[int | None]) -> Ints:
    given = np.array(numbers, np.float64)  # None becomes NaN
    return np.where(np.isnan(given), -1, given).astype(np.int64)


def _unknown_token(native: tokenizers.Tokenizer) -> int:
    names = (getattr(native.model, "unk_token", None), *_UNKNOWN_TOKENS)
    known = (native.token_to_id(name) for name in names if name)
    return next((token for token in known if token is not None), -1)


def _encode(encode: Callable[[Any], list[Any]], texts: Sequence[Any]) -> list[Any]:
    try:
        with NATIVE:
            try:
                return encode(list(texts))
            except (TypeError, UnicodeError):  # what tokenizers says of a lone surrogate
                return encode([_without_surrogates(text) for text in texts])
    except Exception as error:  # tokenizers raises bare Exception
        raise broken(error) from error


def _without_surrogates(text: Any) -> Any:
    if isinstance(text, str):
        return _SURROGATES.sub("\ufffd", text)
    return type(text)(_without_surrogates(part) for part in text)
