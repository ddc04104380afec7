"""What each task does around the engine: texts to rows of tokens, and logits to predictions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bertedge.bundle import Bundle, Manifest
from bertedge.errors import BundleError, DataError, SettingError
from bertedge.heads import Heads, split_heads
from bertedge.predictions import Embedding, Entities, FilledMasks, IntentSlots, Prediction
from bertedge.runtime.decisions import predict_texts
from bertedge.runtime.decoding import Floats, Tags, find_entities, join_windows, split_tags
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.intents import find_intents
from bertedge.runtime.masks import fill, without_mask
from bertedge.runtime.questions import answer_each
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Aggregation, Task, Text

TOP_K = 5
"""Tokens that a mask gets, as from transformers' pipeline, which gives a question one answer."""
_TOP_K = {Task.FILL_MASK: TOP_K, Task.QUESTION_ANSWERING: 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What is known of a bundle's model beside its graph."""

    manifest: Manifest
    tokenizer: Tokenizer
    heads: Heads | None
    """None but for intents and slots."""
    tags: Tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How texts are to be answered."""

    strategy: Aggregation
    top_k: int


def read_model(bundle: Bundle, tokenizer: Tokenizer) -> Model:
    """Take the labels of a bundle's model apart; BundleError where its task wants others."""
    manifest = bundle.manifest
    heads = None
    if manifest.model.task is Task.INTENT_SLOTS:
        try:
            heads = split_heads(manifest.model.labels)
        except ValueError as error:
            raise BundleError(f"{bundle.folder}: {error}; export the model again") from None
    tags = split_tags(heads.tags if heads else manifest.model.labels)
    return Model(manifest=manifest, tokenizer=tokenizer, heads=heads, tags=tags)


def check_asked(task: Task, aggregation: Aggregation | str | None, top_k: int | None) -> Asked:
    """Fill in what is left open; SettingError for what the task does not take."""
    return Asked(strategy=_strategy(task, aggregation), top_k=_top_k(task, top_k))


def encode(model: Model, texts: Sequence[Text], first: int) -> list[Encoded]:
    """Tokenize texts, of which the one at fault, counted from `first`, is named by DataError."""
    _check_texts(texts, first, pair=model.manifest.model.pair)
    tokenizer = model.tokenizer
    match model.manifest.model.task:
        case Task.TEXT_CLASSIFICATION | Task.FEATURE_EXTRACTION:
            return tokenizer.encode(texts)
        case Task.TOKEN_CLASSIFICATION | Task.INTENT_SLOTS:
            return tokenizer.encode_windows(_singles(texts))
        case Task.QUESTION_ANSWERING:
            return tokenizer.encode_questions([t for t in texts if isinstance(t, tuple)])
        case Task.FILL_MASK:
            rows = tokenizer.encode(texts)
            if (odd := without_mask(rows, tokenizer.mask)) is not None:
                mask = tokenizer.token(tokenizer.mask)
                raise DataError(
                    f"text {first + odd} has no {mask}; put it where a word is to be found"
                )
            return rows


def decode(
    model: Model,
    texts: Sequence[Text],
    rows: Sequence[Encoded],
    logits: Sequence[Floats],
    asked: Asked,
) -> Iterator[Prediction]:
    """Turn the logits of the rows of texts into a prediction a text, in order."""
    manifest = model.manifest
    match manifest.model.task:
        case Task.TEXT_CLASSIFICATION:
            predictions = predict_texts(
                np.stack(logits), manifest.model.labels, manifest.model.rule
            )
            for row, prediction in zip(rows, predictions, strict=True):
                yield replace(prediction, truncated=True) if row.truncated else prediction
        case Task.TOKEN_CLASSIFICATION:
            yield from _find_entities(model, texts, rows, logits, asked.strategy)
        case Task.INTENT_SLOTS:
            yield from _find_frames(model, texts, rows, logits, asked.strategy)
        case Task.QUESTION_ANSWERING:
            contexts = [text[1] for text in texts]
            yield from answer_each(contexts, rows, logits, manifest.model.rule, top_k=asked.top_k)
        case Task.FILL_MASK:
            for row, answers in zip(rows, logits, strict=True):
                masks = fill(answers, model.tokenizer, asked.top_k)
                yield FilledMasks(masks=masks, truncated=row.truncated)
        case Task.FEATURE_EXTRACTION:
            for row, values in zip(rows, logits, strict=True):
                yield Embedding(values=values.copy(), truncated=row.truncated)


def _find_entities(
    model: Model,
    texts: Sequence[Text],
    windows: Sequence[Encoded],
    logits: Sequence[Floats],
    strategy: Aggregation,
) -> Iterator[Entities]:
    singles = _singles(texts)
    tokens = join_windows(singles, windows, logits, model.tokenizer)
    counts = np.bincount([window.text for window in windows], minlength=len(singles)).tolist()
    found = find_entities(singles, tokens, model.tags, strategy)
    for entities, count in zip(found, counts, strict=True):
        yield Entities(entities=entities, windows=count)


def _find_frames(
    model: Model,
    texts: Sequence[Text],
    windows: Sequence[Encoded],
    logits: Sequence[Floats],
    strategy: Aggregation,
) -> Iterator[IntentSlots]:
    heads = model.heads
    assert heads is not None
    intents = find_intents(windows, logits, heads)
    tags = [row[:, heads.tag_columns] for row in logits]
    slots = _find_entities(model, texts, windows, tags, strategy)
    for intent, found in zip(intents, slots, strict=True):
        yield IntentSlots(
            intent=intent.label,
            score=intent.score,
            scores=intent.scores,
            slots=found.entities,
            windows=found.windows,
        )


def _strategy(task: Task, aggregation: Aggregation | str | None) -> Aggregation:
    if aggregation is None:
        return Aggregation.FIRST
    if not task.tags_words:
        raise SettingError(f"aggregation is {aggregation!s}, but this model labels whole texts")
    try:
        return Aggregation(aggregation)
    except ValueError:
        raise SettingError(
            f"aggregation is {aggregation!r}; choose one of {', '.join(Aggregation)}"
        ) from None


def _top_k(task: Task, top_k: int | None) -> int:
    default = _TOP_K.get(task)
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


def _singles(texts: Sequence[Text]) -> list[str]:
    return [text for text in texts if isinstance(text, str)]


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
