"""What an engineer writes with tokenizers and onnxruntime and nothing else, in forty lines.

The graph as it was exported, the session's defaults, batches of 32 texts in their order, padded to
their longest, texts cut to what the model reads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.bench.backends import Prepared, as_texts
from bertedge.bench.protocol import Open, Output, TextWorkload, TokenWorkload
from bertedge.predictions import Classification, Entities, Entity, Regression
from bertedge.runtime.providers import find_devices
from bertedge.spec import OUTSIDE, ModelSpec

BATCH = 32
"""Texts; what transformers' pipeline is usually given, too."""
IN_ORDER = f"{BATCH} texts a batch, in their order"

Feed = dict[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """Texts that ran together."""

    texts: Sequence[Any]
    encoded: Sequence[Any]
    logits: NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxRuntimeBackend:
    """Anything that turns the three usual arrays into logits, fed by tokenizers; see `Backend`."""

    logits: Callable[[Feed], NDArray[Any]]
    tokenizer: Any
    """Of tokenizers, with truncation and padding on."""
    model: ModelSpec
    runs_on: str

    def tokens(self, workload: TokenWorkload) -> Prepared:
        """Make batches of token ids ready to run."""
        feeds = []
        for rows in workload.batches:
            ids = np.array(rows, np.int64)
            ones, zeros = np.ones_like(ids), np.zeros_like(ids)
            feeds.append({"input_ids": ids, "attention_mask": ones, "token_type_ids": zeros})
        return Prepared(
            inputs=len(feeds),
            run=lambda i: self.logits(feeds[i]).argmax(axis=-1),
            read=lambda best: best.ravel().tolist(),
        )

    def texts(self, workload: TextWorkload) -> Prepared:
        """Make texts ready to run, one by one or all at once."""
        texts = as_texts(workload)
        if not workload.at_once:
            return Prepared(
                inputs=len(texts), run=lambda i: [self._run([texts[i]])], read=self._read
            )
        starts = range(0, len(texts), BATCH)
        return Prepared(
            inputs=1,
            run=lambda _: [self._run(texts[start : start + BATCH]) for start in starts],
            read=self._read,
            batching=IN_ORDER,
        )

    def _run(self, texts: Sequence[Any]) -> _Batch:
        encoded = self.tokenizer.encode_batch(texts)
        feed = {
            "input_ids": np.array([row.ids for row in encoded], np.int64),
            "attention_mask": np.array([row.attention_mask for row in encoded], np.int64),
            "token_type_ids": np.array([row.type_ids for row in encoded], np.int64),
        }
        return _Batch(texts=texts, encoded=encoded, logits=_softmax(self.logits(feed)))

    def _read(self, batches: Sequence[_Batch]) -> list[Output]:
        return [
            self._predict(text, row, scores)
            for batch in batches
            for text, row, scores in zip(batch.texts, batch.encoded, batch.logits, strict=True)
        ]

    def _predict(self, text: Any, row: Any, scores: NDArray[Any]) -> Output:
        labels = self.model.labels
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


def padded_tokenizer(json: str, *, max_length: int, pad_token_id: int) -> Any:
    """Make the tokenizer cut and pad, as its own documentation has it."""
    import tokenizers  # type: ignore[import-untyped]

    native = tokenizers.Tokenizer.from_str(json)
    native.enable_truncation(max_length)
    native.enable_padding(pad_id=pad_token_id)
    return native


def backend_of(request: Open, logits: Callable[[Feed], Any], runs_on: str) -> OnnxRuntimeBackend:
    """Feed whatever makes logits with tokenizers."""
    json = Path(request.tokenizer).read_text(encoding="utf-8")
    model = request.model
    tokenizer = padded_tokenizer(json, max_length=model.max_length, pad_token_id=model.pad_token_id)
    return OnnxRuntimeBackend(logits=logits, tokenizer=tokenizer, model=model, runs_on=runs_on)


def session_options(threads: int) -> Any:
    """Return onnxruntime's own defaults, but for the threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return options


def load(request: Open) -> OnnxRuntimeBackend:
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


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    if logits.shape[-1] == 1:
        return logits  # a value
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))
