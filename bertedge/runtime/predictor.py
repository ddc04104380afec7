"""The predictor: a verified bundle, opened, that labels texts."""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bertedge.bundle import Bundle, Manifest, Variant, open_bundle
from bertedge.errors import DataError, SettingError
from bertedge.runtime.dispatch import Dispatcher, Work
from bertedge.runtime.graphs import Graphs
from bertedge.runtime.opening import Opened, open_variant
from bertedge.runtime.processing import Asked, check_asked, decode, encode, read_model
from bertedge.runtime.tokenization import Tokenizer
from bertedge.tasks import Aggregation, Embedding, Prediction, Task, Text

if TYPE_CHECKING:
    from concurrent.futures import Executor, ThreadPoolExecutor

Texts = Iterable[Text] | NDArray[np.float32]
CHUNK = 1024
"""Texts that are tokenized, sorted by length and held at a time."""
_CHUNK_CHARACTERS = 2_000_000
LONG_INPUT = 32_000
"""Characters (some 8,000 tokens) from which on every core runs batches of its own."""


class Predictor:
    """Labels texts with one variant of a bundle. Safe to share by threads."""

    def __init__(self, bundle: Bundle, opened: Opened, tokenizer: Tokenizer) -> None:
        self._bundle = bundle
        self._opened = opened
        self._model = read_model(bundle, tokenizer)
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
        return self._model.tokenizer

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
        asked = check_asked(self.task, aggregation, top_k)
        return self._stream(iter(texts), asked, token_budget, chunk)

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

    def _stream(
        self, texts: Iterator[Text], asked: Asked, token_budget: int | None, chunk: int
    ) -> Iterator[Prediction]:
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
                start = partial(self._start, long=size >= LONG_INPUT, token_budget=token_budget)
                work = work or start(held, done, pool)
                done += len(held)
                waiting = ahead.submit(start, following, done, pool) if following else None
                yield from decode(self._model, held, work.encoded, work.logits(), asked)
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
            encoded = encode(self._model, texts, first)
            return self._dispatcher.start(
                encoded, alone=alone, long=long, token_budget=token_budget, pool=pool
            )


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
