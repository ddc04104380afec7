"""The predictor: a verified bundle, opened, that labels texts."""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bertedge.bundle import Bundle, Manifest, Variant, open_bundle
from bertedge.errors import BundleError, DataError, SettingError
from bertedge.heads import Heads, split_heads
from bertedge.runtime.decisions import predict_texts
from bertedge.runtime.decoding import Floats, find_entities, join_windows, split_tags
from bertedge.runtime.dispatch import Dispatcher, Work
from bertedge.runtime.graphs import Graphs
from bertedge.runtime.intents import find_intents
from bertedge.runtime.masks import fill, without_mask
from bertedge.runtime.opening import Opened, open_variant
from bertedge.runtime.questions import answer_each
from bertedge.runtime.tokenization import Encoded, Tokenizer
from bertedge.tasks import (
    Aggregation,
    Embedding,
    Entities,
    FilledMasks,
    IntentSlots,
    Prediction,
    Task,
    Text,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor, ThreadPoolExecutor

Texts = Iterable[Text] | NDArray[np.float32]
CHUNK = 1024
"""Texts that are tokenized, sorted by length and held at a time."""
TOP_K = 5
"""Tokens that a mask gets, as from transformers' pipeline, which gives a question one answer."""
_TOP_K = {Task.FILL_MASK: TOP_K, Task.QUESTION_ANSWERING: 1}
_CHUNK_CHARACTERS = 2_000_000
LONG_INPUT = 32_000
"""Characters (some 8,000 tokens) from which on every core runs batches of its own."""


class Predictor:
    """Labels texts with one variant of a bundle. Safe to share by threads."""

    def __init__(self, bundle: Bundle, opened: Opened, tokenizer: Tokenizer) -> None:
        self._bundle = bundle
        self._opened = opened
        self._tokenizer = tokenizer
        self._heads = _heads(bundle)
        self._tags = split_tags(self._heads.tags if self._heads else self.labels)
        self._dispatcher = Dispatcher(bundle, opened, tokenizer)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "auto",
        threads: int | None = None,
        variant: str | None = None,
    ) -> "Predictor":
        """Open the bundle at `path`, verified; see `bertedge.load`."""
        bundle = open_bundle(Path(path))
        manifest = bundle.manifest
        tokenizer = Tokenizer(bundle.tokenizer_json(), max_length=manifest.max_length)
        opened = open_variant(bundle, tokenizer, device=device, threads=threads, name=variant)
        # A program may change its directory before it needs another session.
        bundle = replace(bundle, folder=bundle.folder.absolute())
        return cls(bundle, opened, tokenizer)

    @property
    def manifest(self) -> Manifest:
        """All that the bundle says of itself."""
        return self._bundle.manifest

    @property
    def task(self) -> Task:
        """What the model does."""
        return self.manifest.task

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the logits."""
        return self.manifest.labels

    @property
    def max_length(self) -> int:
        """Longest input in tokens, special tokens included."""
        return self.manifest.max_length

    @property
    def variant(self) -> Variant:
        """The variant that runs."""
        return self._opened.variant

    @property
    def engine(self) -> Graphs:
        """What runs it."""
        return self._opened.engine

    @property
    def tokenizer(self) -> Tokenizer:
        """The bundle's tokenizer."""
        return self._tokenizer

    def predict(
        self,
        texts: Iterable[Text],
        *,
        aggregation: Aggregation | str | None = None,
        top_k: int | None = None,
        token_budget: int | None = None,
    ) -> list[Prediction]:
        """Label texts (or tuples of two, for a pair model), in the order given.

        A model that answers questions takes tuples of a question and its context.
        `aggregation` says how tokens become entities: none, simple, first (the default: a word
        takes the label of its first token), average or max. `top_k` is how many tokens a mask
        gets (5), or answers a question (1). `token_budget` bounds a batch, in tokens with
        padding; by default it is what `runtime.tuning` measured here, once, on the first input
        that was long enough. DataError names a text that is none.
        """
        return list(
            self.predict_iter(
                texts, aggregation=aggregation, top_k=top_k, token_budget=token_budget
            )
        )

    def predict_one(
        self,
        text: Text,
        *,
        aggregation: Aggregation | str | None = None,
        top_k: int | None = None,
    ) -> Prediction:
        """Label one text (or one tuple of two)."""
        return self.predict([text], aggregation=aggregation, top_k=top_k)[0]

    def predict_iter(
        self,
        texts: Iterable[Text],
        *,
        aggregation: Aggregation | str | None = None,
        top_k: int | None = None,
        token_budget: int | None = None,
        chunk: int = CHUNK,
    ) -> Iterator[Prediction]:
        """Label a stream: predictions come in order, and no more than two chunks are held.

        Texts are sorted by length within a chunk, so larger chunks run faster, and a slow stream
        wants a smaller one.
        """
        if isinstance(texts, str):
            raise DataError("texts is one string; give a list of texts, or use predict_one")
        if chunk < 1 or (token_budget is not None and token_budget < 1):
            raise SettingError(f"chunk is {chunk}, token_budget {token_budget}; give 1 or more")
        asked = _Asked(
            strategy=self._strategy(aggregation),
            top_k=self._top_k(top_k),
            token_budget=token_budget,
        )
        return self._stream(iter(texts), asked, chunk)

    def embed(
        self, texts: Iterable[Text], *, token_budget: int | None = None
    ) -> NDArray[np.float32]:
        """Give the embeddings of texts as one matrix `(texts, hidden)`."""
        if self.task is not Task.FEATURE_EXTRACTION:
            raise SettingError(
                f"this model is for {self.task}; export its checkpoint with --task "
                f"{Task.FEATURE_EXTRACTION} for embeddings"
            )
        found = self.predict_iter(texts, token_budget=token_budget)
        rows = [each.values for each in found if isinstance(each, Embedding)]
        return np.stack(rows) if rows else np.empty((0, self._hidden), np.float32)

    def similarity(self, one: Texts, other: Texts) -> NDArray[np.float32]:
        """Give the cosine of each of `one` with each of `other` `(one, other)`.

        Either are texts, or embeddings `(texts, hidden)` that `embed` gave before.
        """
        both = (one, other)
        sides = [each if isinstance(each, np.ndarray) else self.embed(each) for each in both]
        from bertedge.runtime.similarity import cosine_matrix  # most models have no embeddings

        return cosine_matrix(*sides)

    @property
    def _hidden(self) -> int:
        return len(self.manifest.golden.logits[0])

    def _stream(self, texts: Iterator[Text], asked: "_Asked", chunk: int) -> Iterator[Prediction]:
        """Label chunk by chunk; while one runs, another thread tokenizes and queues the next.

        A chunk of one is answered before the next text is asked for.
        """
        with contextlib.ExitStack() as stack:
            pool = work = None
            done = 0
            held = _take(texts, chunk)
            size = _characters(held)
            while held:
                following = _take(texts, chunk) if chunk > 1 else []
                size += _characters(following)
                if pool is None and chunk > 1 and (following or size >= LONG_INPUT):
                    pool = stack.enter_context(_threads(self._dispatcher.workers))
                    ahead = stack.enter_context(_threads(1))
                start = partial(
                    self._start, long=size >= LONG_INPUT, token_budget=asked.token_budget
                )
                work = work or start(held, done, pool)
                done += len(held)
                waiting = ahead.submit(start, following, done, pool) if following else None
                yield from self._answer(held, work, asked)
                work = waiting.result() if waiting else None
                held = following if chunk > 1 else _take(texts, chunk)

    def _start(
        self,
        texts: Sequence[Text],
        first: int,
        pool: "Executor | None",
        *,
        long: bool,
        token_budget: int | None,
    ) -> Work:
        with self._dispatcher.call() as alone:
            encoded = self._encode(texts, first)
            return self._dispatcher.start(
                encoded, alone=alone, long=long, token_budget=token_budget, pool=pool
            )

    def _encode(self, texts: Sequence[Text], first: int) -> list[Encoded]:
        _check_texts(texts, first, pair=self.manifest.pair)
        match self.task:
            case Task.TEXT_CLASSIFICATION | Task.FEATURE_EXTRACTION:
                return self._tokenizer.encode(texts)
            case Task.TOKEN_CLASSIFICATION | Task.INTENT_SLOTS:
                return self._tokenizer.encode_windows([t for t in texts if isinstance(t, str)])
            case Task.QUESTION_ANSWERING:
                return self._tokenizer.encode_questions([t for t in texts if isinstance(t, tuple)])
            case Task.FILL_MASK:
                rows = self._tokenizer.encode(texts)
                if (odd := without_mask(rows, self._tokenizer.mask)) is not None:
                    mask = self._tokenizer.token(self._tokenizer.mask)
                    raise DataError(
                        f"text {first + odd} has no {mask}; put it where a word is to be found"
                    )
                return rows

    def _answer(self, texts: Sequence[Text], work: Work, asked: "_Asked") -> Iterator[Prediction]:
        encoded, logits = work.encoded, work.logits()
        match self.task:
            case Task.TEXT_CLASSIFICATION:
                rows = predict_texts(np.stack(logits), self.labels, self.manifest.decision)
                for row, prediction in zip(encoded, rows, strict=True):
                    yield replace(prediction, truncated=True) if row.truncated else prediction
            case Task.TOKEN_CLASSIFICATION:
                yield from self._find_entities(texts, encoded, logits, asked.strategy)
            case Task.INTENT_SLOTS:
                assert self._heads is not None
                intents = find_intents(encoded, logits, self._heads)
                tags = [row[:, self._heads.tag_columns] for row in logits]
                slots = self._find_entities(texts, encoded, tags, asked.strategy)
                for intent, found in zip(intents, slots, strict=True):
                    yield IntentSlots(
                        intent=intent.label,
                        score=intent.score,
                        scores=intent.scores,
                        slots=found.entities,
                        windows=found.windows,
                    )
            case Task.QUESTION_ANSWERING:
                contexts = [text[1] for text in texts]
                decision = self.manifest.decision
                yield from answer_each(contexts, encoded, logits, decision, top_k=asked.top_k)
            case Task.FILL_MASK:
                for row, answers in zip(encoded, logits, strict=True):
                    masks = fill(answers, self._tokenizer, asked.top_k)
                    yield FilledMasks(masks=masks, truncated=row.truncated)
            case Task.FEATURE_EXTRACTION:
                for row, values in zip(encoded, logits, strict=True):
                    yield Embedding(values=values.copy(), truncated=row.truncated)

    def _find_entities(
        self,
        texts: Sequence[Text],
        windows: Sequence[Encoded],
        logits: Sequence[Floats],
        strategy: Aggregation,
    ) -> Iterator[Entities]:
        singles = [text for text in texts if isinstance(text, str)]
        tokens = join_windows(singles, windows, logits, self._tokenizer)
        counts = np.bincount([window.text for window in windows], minlength=len(singles)).tolist()
        found = find_entities(singles, tokens, self._tags, strategy)
        for entities, count in zip(found, counts, strict=True):
            yield Entities(entities=entities, windows=count)

    def _strategy(self, aggregation: Aggregation | str | None) -> Aggregation:
        if aggregation is None:
            return Aggregation.FIRST
        if not self.task.tags_words:
            raise SettingError(f"aggregation is {aggregation!s}, but this model labels whole texts")
        try:
            return Aggregation(aggregation)
        except ValueError:
            raise SettingError(
                f"aggregation is {aggregation!r}; choose one of {', '.join(Aggregation)}"
            ) from None

    def _top_k(self, top_k: int | None) -> int:
        default = _TOP_K.get(self.task)
        if top_k is None:
            return default or 1
        if default is None:
            raise SettingError(
                f"top_k is {top_k}, but this model neither fills masks nor answers questions; "
                "leave it out"
            )
        if top_k < 1:
            raise SettingError(f"top_k is {top_k}; give 1 or more")
        return top_k


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """How texts are to be answered."""

    strategy: Aggregation
    top_k: int
    token_budget: int | None


def _heads(bundle: Bundle) -> Heads | None:
    """Part the labels of a model that finds intents and slots."""
    if bundle.manifest.task is not Task.INTENT_SLOTS:
        return None
    try:
        return split_heads(bundle.manifest.labels)
    except ValueError as error:
        raise BundleError(f"{bundle.folder}: {error}; export the model again") from None


@contextlib.contextmanager
def _threads(count: int) -> "Iterator[ThreadPoolExecutor]":
    """Yield a pool whose waiting work is dropped at the end."""
    from concurrent.futures import ThreadPoolExecutor  # 10 ms that a single text need not wait

    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _take(texts: Iterator[Text], chunk: int) -> list[Text]:
    held: list[Text] = []
    characters = 0
    for text in itertools.islice(texts, chunk):
        held.append(text)
        characters += _characters((text,))
        if characters >= _CHUNK_CHARACTERS:
            break
    return held


def _characters(texts: Sequence[object]) -> int:
    """Count the characters of texts and pairs; of what is neither, which is refused later, none."""
    parts = (part for text in texts for part in (text if isinstance(text, tuple) else (text,)))
    return sum(len(part) for part in parts if isinstance(part, str))


def _check_texts(texts: Sequence[object], first: int, *, pair: bool) -> None:
    for index, text in enumerate(texts, first):
        is_pair = (
            isinstance(text, tuple) and len(text) == 2 and all(isinstance(t, str) for t in text)
        )
        if is_pair if pair else isinstance(text, str):
            continue
        takes = "pairs: give a tuple of two strings" if pair else "single texts: give a string"
        found = "a pair" if is_pair else f"of type {type(text).__name__}"
        raise DataError(f"text {index} is {found}; this model takes {takes}")
