"""What an engineer writes with tokenizers and onnxruntime and nothing else, in forty lines.

The graph as it was exported, the session's defaults, batches of 32 texts in their order, padded to
their longest, texts cut to what the model reads.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.bench.backends import BATCH, IN_ORDER, Backend, prepare, prepare_texts
from bertedge.bench.protocol import Open, Output, TokenWorkload
from bertedge.predictions import Classification, Entities, Entity, Regression
from bertedge.runtime.providers import find_devices
from bertedge.spec import OUTSIDE

Feed = dict[str, NDArray[np.int64]]


def load(request: Open) -> Backend:
    """Open the graph at `path`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        request.path,
        session_options(request.threads),
        providers=[find_devices(request.device)[0].provider],
    )
    names = [each.name for each in session.get_inputs()]

    def logits(feed: Feed) -> Any:
        return session.run(None, {name: feed[name] for name in names})[0]

    return backend_of(request, logits, session.get_providers()[0])


def backend_of(request: Open, logits: Callable[[Feed], Any], runs_on: str) -> Backend:
    """Return what feeds anything that turns the three usual arrays into logits with tokenizers."""
    model = request.model
    tokenizer = padded_tokenizer(
        Path(request.tokenizer).read_text(encoding="utf-8"),
        max_length=model.max_length,
        pad_token_id=model.pad_token_id,
    )

    def run(texts: Sequence[Any]) -> list[tuple[Any, Any, NDArray[Any]]]:
        found = []
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            rows = tokenizer.encode_batch(batch)
            feed = {
                "input_ids": np.array([row.ids for row in rows], np.int64),
                "attention_mask": np.array([row.attention_mask for row in rows], np.int64),
                "token_type_ids": np.array([row.type_ids for row in rows], np.int64),
            }
            found.append((batch, rows, _softmax(logits(feed))))
        return found

    def read(batches: list[tuple[Any, Any, NDArray[Any]]]) -> list[Output]:
        return [
            _predict(text, row, scores, model.labels)
            for batch in batches
            for text, row, scores in zip(*batch, strict=True)
        ]

    def tokens(workload: TokenWorkload) -> Any:
        return prepare(
            [_feed(np.array(rows, np.int64)) for rows in workload.batches],
            lambda feed: logits(feed).argmax(axis=-1),
            lambda best: best.ravel().tolist(),
        )

    return Backend(
        runs_on=runs_on,
        texts=lambda workload: prepare_texts(workload, run, read, IN_ORDER),
        tokens=tokens,
    )


def padded_tokenizer(json: str, *, max_length: int, pad_token_id: int) -> Any:
    """Make the tokenizer cut and pad, as its own documentation has it."""
    import tokenizers  # type: ignore[import-untyped]

    native = tokenizers.Tokenizer.from_str(json)
    native.enable_truncation(max_length)
    native.enable_padding(pad_id=pad_token_id)
    return native


def session_options(threads: int) -> Any:
    """Return onnxruntime's own defaults, but for the threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return options


def _feed(ids: NDArray[np.int64]) -> Feed:
    ones, zeros = np.ones_like(ids), np.zeros_like(ids)
    return {"input_ids": ids, "attention_mask": ones, "token_type_ids": zeros}


def _predict(text: Any, row: Any, scores: NDArray[Any], labels: tuple[str, ...]) -> Output:
    if scores.ndim == 1 and len(labels) == 1:
        return Regression(value=float(scores[0]))
    if scores.ndim == 1:
        named = dict(zip(labels, scores.tolist(), strict=True))
        best = max(named, key=lambda name: named[name])
        return Classification(label=best, score=named[best], scores=named)
    rows = zip(scores, row.special_tokens_mask, row.offsets, strict=True)
    return Entities(
        entities=tuple(
            Entity(
                label=labels[own.argmax()],
                score=float(own.max()),
                start=start,
                end=end,
                text=text[start:end],
            )
            for own, special, (start, end) in rows
            if not special and labels[own.argmax()] != OUTSIDE
        )
    )


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    if logits.shape[-1] == 1:
        return logits  # a value
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))
