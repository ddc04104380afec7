"""The predictor: a verified bundle, opened, that labels texts."""

import contextlib
import itertools
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from bertedge.bundle import Manifest, Variant, open_bundle
from bertedge.errors import DataError, SettingError
from bertedge.logs import log
from bertedge.model import TextModel
from bertedge.predictions import (
    Classification,
    Embedding,
    MultiLabelClassification,
    Prediction,
    Ranked,
    Regression,
)
from bertedge.runtime.engine import PaddingAwareEngine, PendingBatches
from bertedge.runtime.process import LOCKS
from bertedge.runtime.scheduler import Scheduler
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.runtime.variants import OpenVariant, open_variant
from bertedge.spec import Aggregation, LabelKind, ModelSpec, ProblemType, Task, Text
from bertedge.tasks import task_module
from bertedge.tasks.contract import PredictOptions

if TYPE_CHECKING:
    from concurrent.futures import Executor, ThreadPoolExecutor

    from bertedge.explanation import Explanation

P_co = TypeVar("P_co", bound=Prediction, covariant=True)
Texts = Iterable[Text] | NDArray[np.float32]
CHUNK = 1024
"""Texts that are tokenized, sorted by length and held at a time."""
_CHUNK_CHARACTERS = 2_000_000
LONG_INPUT = 32_000
"""Characters (some 8,000 tokens) from which on every core runs batches of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """What a bundle was opened with, and is opened again with in another process."""

    path: Path
    device: str
    threads: int | None
    variant: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Live:
    """What runs, in the process that opened it."""

    opened: OpenVariant
    model: TextModel
    options: PredictOptions
    """Of a call that names none."""
    scheduler: Scheduler
    process: int


class Predictor(Generic[P_co]):
    """Labels texts with one variant of a bundle. Safe to share by threads.

    Processes share no session: a forked child, and whoever unpickles one, opens the bundle again
    at its path with the settings that it was opened with here.

    Examples:
        >>> import bertedge
        >>> model = bertedge.load("bundles/mine")
        >>> model.labels
        ('device_status', 'lights_off', 'music_play')
        >>> model.task.value, model.variant.name
        ('text-classification', 'cpu-int8')
    """

    def __init__(self, settings: _Settings) -> None:
        self._settings = settings
        self._open: _Live | None = _open(settings)
        self._bundle = self._open.opened.bundle

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        task: Task | str | None = None,
        problem_type: ProblemType | str | None = None,
        device: str = "auto",
        threads: int | None = None,
        variant: str | None = None,
    ) -> "Predictor[Any]":
        """Open the bundle at `path`, verified; see `bertedge.load`."""
        # A program may change its directory before the bundle is needed again.
        folder = Path(path).absolute()
        found = cls(_Settings(path=folder, device=device, threads=threads, variant=variant))
        _check_wanted(found.manifest.model, folder, task, problem_type)
        return found

    def close(self) -> None:
        """Close the sessions and free their memory; calls under way still end.

        Examples:
            >>> import bertedge
            >>> model = bertedge.load("bundles/mine")
            >>> model.close()
            >>> model.predict(["play some jazz"])
            Traceback (most recent call last):
            bertedge.errors.SettingError: the predictor of ... is closed; load the bundle again
        """
        self._open = None

    def __enter__(self) -> "Predictor[P_co]":
        """Return itself, to be closed where the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """Return what it is in one line."""
        state = self.variant.name if self._open else "closed"
        return f"Predictor({str(self._settings.path)!r}, {self.task.value}, {state})"

    def __reduce__(self) -> tuple[type["Predictor[P_co]"], tuple[_Settings]]:
        """Pickle it as its path and settings."""
        return type(self), (self._settings,)

    @property
    def _live(self) -> _Live:
        live = self._open
        if live is None:
            raise SettingError(
                f"the predictor of {self._settings.path} is closed; load the bundle again"
            )
        return live if live.process == os.getpid() else self._follow(live)

    def _follow(self, parents: _Live) -> _Live:
        """Open the bundle in a forked child: the threads of the parent's session are not here."""
        with LOCKS.opening:
            live = self._open
            if live is None or live is parents:
                live = _open(self._settings)
                self._bundle, self._open = live.opened.bundle, live
        return live

    @property
    def manifest(self) -> Manifest:
        """All that the bundle says of itself."""
        return self._bundle.manifest

    @property
    def task(self) -> Task:
        """What the model does."""
        return self.manifest.model.task

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the logits."""
        return self.manifest.model.labels

    @property
    def max_length(self) -> int:
        """Longest input in tokens, special tokens included."""
        return self.manifest.model.max_length

    @property
    def variant(self) -> Variant:
        """The variant that runs."""
        return self._live.opened.variant

    @property
    def engine(self) -> PaddingAwareEngine:
        """What runs it."""
        return self._live.opened.engine

    @property
    def model(self) -> TextModel:
        """What it does before and after the engine runs: tokenizing and decoding."""
        return self._live.model

    @property
    def scheduler(self) -> Scheduler:
        """What chooses the cores that rows run on."""
        return self._live.scheduler

    @property
    def tokenizer(self) -> Tokenizer:
        """The bundle's tokenizer."""
        return self._live.model.tokenizer

    def predict(
        self,
        texts: Iterable[Text],
        *,
        aggregation: Aggregation | str | None = None,
        top_k: int | None = None,
        token_budget: int | None = None,
    ) -> list[P_co]:
        """Label texts (or tuples of two, for a pair model), in the order given.

        A model that answers questions takes tuples of a question and its context.
        `aggregation` says how tokens become entities: none, simple, first (the default: a word
        takes the label of its first token), average or max. `top_k` is how many tokens a mask
        gets (5), or answers a question (1). `token_budget` bounds a batch, in tokens with
        padding; by default it is the device's. DataError names a text that is none.

        Examples:
            >>> import bertedge
            >>> model = bertedge.load("bundles/mine")
            >>> texts = ["play some jazz", "turn the hall lights off"]
            >>> [found.label for found in model.predict(texts)]
            ['music_play', 'lights_off']
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
    ) -> P_co:
        """Label one text (or one tuple of two).

        Examples:
            >>> import bertedge
            >>> bertedge.load("bundles/mine").predict_one("play some jazz").score
            0.98
        """
        return self.predict([text], aggregation=aggregation, top_k=top_k)[0]

    def predict_iter(
        self,
        texts: Iterable[Text],
        *,
        aggregation: Aggregation | str | None = None,
        top_k: int | None = None,
        token_budget: int | None = None,
        chunk: int = CHUNK,
    ) -> Iterator[P_co]:
        """Label a stream: predictions come in order, and no more than two chunks are held.

        Texts are sorted by length within a chunk, so larger chunks run faster, and a slow stream
        wants a smaller one.

        Examples:
            >>> import bertedge
            >>> model = bertedge.load("bundles/mine")
            >>> with open("lines.txt") as lines:
            ...     [each.label for each in model.predict_iter(line.strip() for line in lines)]
            ['lights_off', 'music_play', 'device_status']
        """
        live = self._live
        if aggregation is not None or top_k is not None:
            options = live.model.task.settle(PredictOptions(aggregation=aggregation, top_k=top_k))
            live = replace(live, options=options)
        return cast("Iterator[P_co]", _stream(live, texts, token_budget, chunk))

    def zero_shot(
        self,
        texts: Iterable[str],
        candidate_labels: Sequence[str] | str,
        *,
        hypothesis_template: str | None = None,
        multi_label: bool = False,
        token_budget: int | None = None,
    ) -> "list[Classification] | list[MultiLabelClassification]":
        """Label texts with labels that the model was not trained on, by natural language inference.

        A label stands in `hypothesis_template` ("This example is {}." where there is none), and
        its score says how far the text entails that.
        Scores, best first, are those of transformers' zero-shot-classification pipeline: they
        add up to 1, or with `multi_label` each is a label's own, and those from 0.5 on are given.
        SettingError for a model that does not tell entailment.

        Examples:
            >>> import bertedge
            >>> model = bertedge.load("bundles/inference")
            >>> found = model.zero_shot(["play some jazz"], ["music", "lights"])
            >>> len(found[0].scores)
            2
        """
        found = self.zero_shot_iter(
            texts,
            candidate_labels,
            hypothesis_template=hypothesis_template,
            multi_label=multi_label,
            token_budget=token_budget,
        )
        return cast("list[Classification] | list[MultiLabelClassification]", list(found))

    def zero_shot_iter(
        self,
        texts: Iterable[str],
        candidate_labels: Sequence[str] | str,
        *,
        hypothesis_template: str | None = None,
        multi_label: bool = False,
        token_budget: int | None = None,
        chunk: int = CHUNK,
    ) -> "Iterator[Classification | MultiLabelClassification]":
        """Label a stream as `zero_shot` does.

        `chunk` is as for `predict_iter`, of texts with each of their labels: 64 texts where there
        are 16 labels.
        """
        # Here, as most models are asked for their own labels.
        from bertedge.zero_shot import zero_shot_model

        live = self._live
        model = zero_shot_model(
            live.model, candidate_labels, hypothesis_template, multi_label=multi_label
        )
        live = replace(live, model=model)
        if chunk > 1:
            chunk = max(chunk // len(model.candidates), 1)
        found = _stream(live, texts, token_budget, chunk)
        return cast("Iterator[Classification | MultiLabelClassification]", found)

    def explain(self, text: Text, *, label: str | None = None) -> "Explanation":
        """Compute what each word does to the score of the text's label; see `Explanation`.

        Each of the first 512 words is left out in turn, so that it takes as long as to label as
        many texts. `label` is explained instead of the best one. Of models for labels of whole
        texts (classification, values, the intent of intent-slots); SettingError for others.

        Examples:
            >>> import bertedge
            >>> found = bertedge.load("bundles/mine").explain("play some jazz")
            >>> found.label, [each.word for each in found.words]
            ('music_play', ['play', 'some', 'jazz'])
        """
        # Here, as most calls explain nothing.
        from bertedge.explanation import explain

        return explain(self._live.model, text, label)

    def rank(
        self,
        query: str,
        passages: Iterable[str],
        *,
        top_k: int | None = None,
        token_budget: int | None = None,
    ) -> list[Ranked]:
        """Sort passages by what a cross-encoder says of each beside the query, best first.

        SettingError for a model that gives pairs no score.

        Examples:
            >>> import bertedge
            >>> model = bertedge.load("bundles/reranker")
            >>> found = model.rank("lights", ["play some jazz", "turn the lights off"])
            >>> sorted(each.index for each in found)
            [0, 1]
        """
        self.check_ranks()
        if top_k is not None and top_k < 1:
            raise SettingError(f"top_k is {top_k}; give 1 or more")
        if isinstance(passages, str):
            raise DataError("passages is one string; give a list of texts")
        texts = list(passages)
        found = self.predict([(query, each) for each in texts], token_budget=token_budget)
        ranked = [
            Ranked(index=i, score=each.value, text=text, truncated=each.truncated)
            for i, (text, each) in enumerate(zip(texts, found, strict=True))
            if isinstance(each, Regression)
        ]
        return sorted(ranked, key=lambda each: -each.score)[:top_k]

    def check_ranks(self) -> None:
        """Raise SettingError unless the model gives pairs of texts a score."""
        spec = self.manifest.model
        if spec.rule.problem_type is not ProblemType.REGRESSION or not spec.pair:
            reads = "pairs" if spec.pair else "single texts"
            raise SettingError(
                "ranking needs a cross-encoder, which gives a pair of texts one score; this model "
                f"is for {spec.task} of {reads} with {len(spec.labels)} labels"
            )

    def embed(
        self, texts: Iterable[Text], *, token_budget: int | None = None
    ) -> NDArray[np.float32]:
        """Return the embeddings of texts as one matrix `(texts, hidden)`.

        Examples:
            >>> import bertedge
            >>> bertedge.load("bundles/vectors").embed(["play some jazz", "lights off"]).shape
            (2, 32)
        """
        if self.task.labels_are is not LabelKind.VECTOR:
            raise SettingError(
                f"this model is for {self.task}; export its checkpoint with --task "
                f"{Task.of(LabelKind.VECTOR)} for embeddings"
            )
        found = self.predict_iter(texts, token_budget=token_budget)
        rows = [each.values for each in found if isinstance(each, Embedding)]
        hidden = len(self.manifest.golden.logits[0])
        return np.array(rows, np.float32).reshape(-1, hidden)

    def similarity(self, one: Texts, other: Texts) -> NDArray[np.float32]:
        """Compute the cosine of each of `one` with each of `other` `(one, other)`.

        Either are texts, or embeddings `(texts, hidden)` that `embed` returned before.

        Examples:
            >>> import bertedge
            >>> model = bertedge.load("bundles/vectors")
            >>> answers = model.embed(["play some jazz", "turn the hall lights off"])
            >>> int(model.similarity(["play some jazz"], answers).argmax())
            0
        """
        both = (one, other)
        sides = [each if isinstance(each, np.ndarray) else self.embed(each) for each in both]
        # Here, as most models have no embeddings.
        from bertedge.tasks.feature_extraction import cosine_matrix

        return cosine_matrix(*sides)


def _check_wanted(
    spec: ModelSpec, folder: Path, task: Task | str | None, problem_type: ProblemType | str | None
) -> None:
    """Raise SettingError where a bundle is not for the task that the caller needs."""
    if task is not None and task not in Task.__members__.values():
        raise SettingError(f"task is {task!r}; choose one of {', '.join(Task)}")
    if task is not None and task != spec.task:
        raise SettingError(f"{folder} is for {spec.task}, not for {task}")
    if task is None and problem_type is None:
        return
    wanted = ProblemType.SINGLE_LABEL if problem_type is None else problem_type
    if wanted not in ProblemType.__members__.values():
        raise SettingError(f"problem_type is {wanted!r}; choose one of {', '.join(ProblemType)}")
    if wanted != spec.rule.problem_type:
        raise SettingError(
            f"{folder} is for {spec.rule.problem_type}, not for {wanted}; load it with "
            f'problem_type="{spec.rule.problem_type}"'
        )


def _open(settings: _Settings) -> _Live:
    began = time.perf_counter()
    bundle = open_bundle(settings.path)
    manifest = bundle.manifest
    spec = manifest.model
    tokenizer = Tokenizer(bundle.tokenizer_json(), max_length=spec.max_length)
    task = task_module(spec.task)
    task.check(spec, tokenizer)
    opened = open_variant(
        bundle,
        tokenizer,
        device=settings.device,
        threads=settings.threads,
        name=settings.variant,
    )
    log(
        __name__,
        "opened %s: %s, variant %s on %s, threads %d, %.0f ms",
        settings.path,
        spec.task,
        opened.variant.name,
        opened.engine.providers[0],
        opened.engine.threads,
        1000 * (time.perf_counter() - began),
    )
    return _Live(
        opened=opened,
        model=TextModel(
            spec=spec,
            tokenizer=tokenizer,
            engine=opened.engine,
            token_budget=opened.device.token_budget,
        ),
        options=task.settle(PredictOptions()),
        scheduler=Scheduler(opened),
        process=os.getpid(),
    )


def _stream(
    live: _Live, texts: Iterable[Text], token_budget: int | None, chunk: int
) -> Iterator[Prediction]:
    """Check what was asked for, and label chunk by chunk."""
    if isinstance(texts, str):
        raise DataError("texts is one string; give a list of texts, or use predict_one")
    if chunk < 1 or (token_budget is not None and token_budget < 1):
        raise SettingError(f"chunk is {chunk}, token_budget {token_budget}; give 1 or more")
    return _label(live, iter(texts), token_budget, chunk)


def _label(
    live: _Live, texts: Iterator[Text], token_budget: int | None, chunk: int
) -> Iterator[Prediction]:
    """Label chunk by chunk; while one runs, another thread tokenizes and queues the next.

    A chunk of one is answered before the next text is asked for.
    """
    with contextlib.ExitStack() as stack:
        pool = work = None
        done = 0
        held = _take(texts, chunk)
        times = live.model.rows_per_input
        size = times * _characters(held)
        while held:
            following = _take(texts, chunk) if chunk > 1 else []
            size += times * _characters(following)
            if pool is None and chunk > 1 and (following or size >= LONG_INPUT):
                pool = stack.enter_context(_threads(live.scheduler.workers))
                ahead = stack.enter_context(_threads(1))
            start = partial(_start, live, long=size >= LONG_INPUT, token_budget=token_budget)
            work = work or start(held, done, pool)
            done += len(held)
            waiting = ahead.submit(start, following, done, pool) if following else None
            yield from live.model.decode(held, work.encoded, work.logits(), live.options)
            work = waiting.result() if waiting else None
            held = following if chunk > 1 else _take(texts, chunk)


def _start(
    live: _Live,
    texts: Sequence[Text],
    first: int,
    pool: "Executor | None",
    *,
    long: bool,
    token_budget: int | None,
) -> PendingBatches:
    with live.scheduler.call() as alone:
        encoded = live.model.encode(texts, first)
        return live.scheduler.start(
            encoded,
            live.model.keep(encoded),
            alone=alone,
            long=long,
            token_budget=token_budget,
            pool=pool,
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
