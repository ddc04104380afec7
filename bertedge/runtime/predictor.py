"""The predictor: a verified bundle, opened, that labels texts."""

import contextlib
import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bertedge.bundle import Bundle, Manifest, Variant, open_bundle
from bertedge.errors import DataError, SettingError
from bertedge.runtime import machine
from bertedge.runtime.batching import CUDA_TOKEN_BUDGET
from bertedge.runtime.decoding import classify, find_entities, join_windows, split_tags
from bertedge.runtime.graphs import Graphs
from bertedge.runtime.opening import Opened, open_variant
from bertedge.runtime.session import PROVIDERS, infer
from bertedge.runtime.tokenization import Encoded, Tokenizer
from bertedge.runtime.tuning import DEFAULT, TokenBudget, cache_file, measure, recall, remember
from bertedge.tasks import Aggregation, Entities, Prediction, Task, Text

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

CHUNK = 1024
"""Texts that are tokenized, sorted by length and held at a time."""
_CHUNK_CHARACTERS = 2_000_000
WORTH_MEASURING = 512
"""Rows at once before which it does not pay to measure how large batches should be."""
CUDA_BUDGET = TokenBudget(tokens=CUDA_TOKEN_BUDGET, why="the default for CUDA", rates={})


class Predictor:
    """Labels texts with one variant of a bundle. Safe to share by threads."""

    def __init__(
        self, bundle: Bundle, opened: Opened, tokenizer: Tokenizer, *, threads: int | None = None
    ) -> None:
        self._bundle = bundle
        self._opened = opened
        self._tokenizer = tokenizer
        self._tags = split_tags(bundle.manifest.labels)
        self._threads = threads
        self._budget: TokenBudget | None = None
        self._choosing = threading.Lock()

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
        return cls(bundle, opened, tokenizer, threads=threads)

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
        token_budget: int | None = None,
    ) -> list[Prediction]:
        """Label texts (or tuples of two, for a pair model), in the order given.

        `aggregation` says how tokens become entities: none, simple, first (the default: a word
        takes the label of its first token), average or max. `token_budget` bounds a batch, in
        tokens with padding; by default it is what `runtime.tuning` measured here, once, before
        the first input of 512 texts or more. DataError names a text that is none.
        """
        return list(self.predict_iter(texts, aggregation=aggregation, token_budget=token_budget))

    def predict_one(
        self, text: Text, *, aggregation: Aggregation | str | None = None
    ) -> Prediction:
        """Label one text (or one tuple of two)."""
        return self.predict([text], aggregation=aggregation)[0]

    def predict_iter(
        self,
        texts: Iterable[Text],
        *,
        aggregation: Aggregation | str | None = None,
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
        return self._stream(iter(texts), self._strategy(aggregation), token_budget, chunk)

    def _stream(
        self, texts: Iterator[Text], strategy: Aggregation, token_budget: int | None, chunk: int
    ) -> Iterator[Prediction]:
        """Label chunk by chunk; while one runs, another thread tokenizes the next.

        A chunk of one is answered before the next text is asked for.
        """
        held = _take(texts, chunk)
        encoded = self._encode(held, 0)
        done = 0
        with contextlib.ExitStack() as stack:
            ahead = None
            while held:
                done += len(held)
                following = _take(texts, chunk) if chunk > 1 else []
                if following:
                    ahead = ahead or stack.enter_context(_one_thread())
                    waiting = ahead.submit(self._encode, following, done)
                yield from self._answer(held, encoded, strategy, token_budget)
                if chunk == 1 and (following := _take(texts, chunk)):
                    encoded = self._encode(following, done)
                elif following:
                    encoded = waiting.result()
                held = following

    def _encode(self, texts: Sequence[Text], first: int) -> list[Encoded]:
        _check_texts(texts, first, pair=self.manifest.pair)
        match self.task:
            case Task.TEXT_CLASSIFICATION:
                return self._tokenizer.encode(texts)
            case Task.TOKEN_CLASSIFICATION:
                return self._tokenizer.encode_windows([t for t in texts if isinstance(t, str)])

    def _answer(
        self,
        texts: Sequence[Text],
        encoded: Sequence[Encoded],
        strategy: Aggregation,
        token_budget: int | None,
    ) -> Iterator[Prediction]:
        logits = infer(
            self.engine,
            encoded,
            pad_token_id=self.manifest.pad_token_id,
            token_budget=token_budget or self._choose_budget(encoded).tokens,
        )
        match self.task:
            case Task.TEXT_CLASSIFICATION:
                rows = classify(np.stack(logits), self.labels)
                for row, prediction in zip(encoded, rows, strict=True):
                    yield replace(prediction, truncated=True) if row.truncated else prediction
            case Task.TOKEN_CLASSIFICATION:
                singles = [text for text in texts if isinstance(text, str)]
                tokens = join_windows(singles, encoded, logits, self._tokenizer)
                texts_of = [window.text for window in encoded]
                counts = np.bincount(texts_of, minlength=len(singles)).tolist()
                found = find_entities(singles, tokens, self._tags, strategy)
                for entities, count in zip(found, counts, strict=True):
                    yield Entities(entities=entities, windows=count)

    def _choose_budget(self, encoded: Sequence[Encoded]) -> TokenBudget:
        """Take the budget that was remembered, or measure it if this input is long enough."""
        if self._budget is not None:
            return self._budget
        if PROVIDERS["cuda"] in self.engine.providers:
            return CUDA_BUDGET
        if len(encoded) < WORTH_MEASURING:
            return DEFAULT
        with self._choosing:
            if self._budget is None:
                file = cache_file(self.variant.model.sha256, self._threads or machine.cores())
                self._budget = recall(file)
            if self._budget is None:
                lengths = [len(row.ids) for row in encoded]
                self._budget = measure(self.engine, lengths, self.manifest.pad_token_id)
                remember(file, self._budget)
            return self._budget

    def _strategy(self, aggregation: Aggregation | str | None) -> Aggregation:
        if aggregation is None:
            return Aggregation.FIRST
        if self.task is not Task.TOKEN_CLASSIFICATION:
            raise SettingError(f"aggregation is {aggregation!s}, but this model labels whole texts")
        try:
            return Aggregation(aggregation)
        except ValueError:
            raise SettingError(
                f"aggregation is {aggregation!r}; choose one of {', '.join(Aggregation)}"
            ) from None


def _one_thread() -> "ThreadPoolExecutor":
    from concurrent.futures import ThreadPoolExecutor  # 10 ms that a single text need not wait

    return ThreadPoolExecutor(1)


def _take(texts: Iterator[Text], chunk: int) -> list[Text]:
    held: list[Text] = []
    characters = 0
    for text in itertools.islice(texts, chunk):
        held.append(text)
        characters += len(text) if isinstance(text, str) else 0
        if characters >= _CHUNK_CHARACTERS:
            break
    return held


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
