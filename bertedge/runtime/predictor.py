"""The predictor: a verified bundle, opened, that labels texts."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bertedge.bundle import Bundle, Manifest, Variant, open_bundle
from bertedge.errors import DataError, SettingError
from bertedge.runtime.batching import CUDA_TOKEN_BUDGET, TOKEN_BUDGET
from bertedge.runtime.decoding import classify, find_entities, join_windows, split_tags
from bertedge.runtime.opening import Opened, check_golden, open_variant
from bertedge.runtime.session import PROVIDERS, Session, infer
from bertedge.runtime.tokenization import Tokenizer
from bertedge.tasks import Aggregation, Classification, Entities, Prediction, Task, Text

CHUNK = 1024
"""Texts that are tokenized, sorted by length and held at a time."""
_CHUNK_CHARACTERS = 2_000_000


class Predictor:
    """Labels texts with one variant of a bundle. Safe to share by threads."""

    def __init__(self, bundle: Bundle, opened: Opened, tokenizer: Tokenizer) -> None:
        self._bundle = bundle
        self._opened = opened
        self._tokenizer = tokenizer
        self._tags = split_tags(bundle.manifest.labels)
        on_cuda = PROVIDERS["cuda"] in opened.session.providers
        self._token_budget = CUDA_TOKEN_BUDGET if on_cuda else TOKEN_BUDGET

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
        opened = open_variant(bundle, device=device, threads=threads, name=variant)
        tokenizer = Tokenizer(bundle.tokenizer_json(), max_length=manifest.max_length)
        check_golden(manifest, opened.variant, opened.session, tokenizer)
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
    def engine(self) -> Session:
        """What runs it."""
        return self._opened.session

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
        tokens with padding; the default suits the device. DataError names a text that is none.
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
        """Label a stream: predictions come in order, and no more than `chunk` texts are held.

        Texts are sorted by length within a chunk, so larger chunks run faster, and a slow stream
        wants a smaller one.
        """
        if isinstance(texts, str):
            raise DataError("texts is one string; give a list of texts, or use predict_one")
        budget = self._token_budget if token_budget is None else token_budget
        if chunk < 1 or budget < 1:
            raise SettingError(f"chunk is {chunk}, token_budget {budget}; give 1 or more")
        return self._stream(iter(texts), self._strategy(aggregation), budget, chunk)

    def _stream(
        self, texts: Iterator[Text], strategy: Aggregation, token_budget: int, chunk: int
    ) -> Iterator[Prediction]:
        done = 0
        while held := _take(texts, chunk):
            _check_texts(held, done, pair=self.manifest.pair)
            match self.task:
                case Task.TEXT_CLASSIFICATION:
                    yield from self._classify(held, token_budget)
                case Task.TOKEN_CLASSIFICATION:
                    singles = [text for text in held if isinstance(text, str)]
                    yield from self._find_entities(singles, strategy, token_budget)
            done += len(held)

    def _classify(self, texts: Sequence[Text], token_budget: int) -> Iterator[Classification]:
        encoded = self._tokenizer.encode(texts)
        logits = infer(
            self.engine,
            encoded,
            pad_token_id=self.manifest.pad_token_id,
            token_budget=token_budget,
        )
        for row, prediction in zip(encoded, classify(np.stack(logits), self.labels), strict=True):
            yield replace(prediction, truncated=True) if row.truncated else prediction

    def _find_entities(
        self, texts: Sequence[str], strategy: Aggregation, token_budget: int
    ) -> Iterator[Entities]:
        windows = self._tokenizer.encode_windows(texts)
        logits = infer(
            self.engine,
            windows,
            pad_token_id=self.manifest.pad_token_id,
            token_budget=token_budget,
        )
        tokens = join_windows(texts, windows, logits, self._tokenizer)
        counts = np.bincount([window.text for window in windows], minlength=len(texts)).tolist()
        for entities, count in zip(
            find_entities(texts, tokens, self._tags, strategy), counts, strict=True
        ):
            yield Entities(entities=entities, windows=count)

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
