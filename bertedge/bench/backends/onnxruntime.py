"""What an engineer writes with tokenizers and onnxruntime and nothing else, in forty lines.

The graph as it was exported, the session's defaults, batches of 32 texts in their order, padded to
their longest, texts cut to what the model reads.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bertedge.bench.backends import UNREAD, Prepared
from bertedge.bench.messages import Open, TextWorkload, TokenWorkload
from bertedge.runtime.providers import find_devices
from bertedge.spec import Task

if TYPE_CHECKING:
    from bertedge.bench.backends import Labels

BATCH = 32
"""Texts; what transformers' pipeline is usually given, too."""
IN_ORDER = f"{BATCH} texts a batch, in their order"

Feed = dict[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxRuntimeBackend:
    """Anything that turns the three usual arrays into logits, fed by tokenizers; see `Backend`."""

    logits: Callable[[Feed], NDArray[Any]]
    tokenizer: Any
    """Of tokenizers, with truncation and padding on."""
    task: Task
    json: str
    runs_on: str

    def tokens(self, workload: TokenWorkload) -> Prepared:
        """Make batches of token ids ready to run."""
        feeds = []
        for rows in workload.batches:
            ids = np.array(rows, np.int64)
            feeds.append(
                {
                    "input_ids": ids,
                    "attention_mask": np.ones_like(ids),
                    "token_type_ids": np.zeros_like(ids),
                }
            )
        return Prepared(
            inputs=len(feeds), run=lambda i: self.logits(feeds[i]).argmax(axis=-1).ravel()
        )

    def texts(self, workload: TextWorkload) -> Prepared:
        """Make texts ready to run, one by one or all at once."""
        texts = [text[0] if len(text) == 1 else text for text in workload.texts]
        counts = count_tokens(self.json, self.task, workload.texts)
        if not workload.at_once:
            return Prepared(
                inputs=len(texts), run=lambda i: self._label([texts[i]], counts[i : i + 1])
            )
        starts = range(0, len(texts), BATCH)

        def run(_: int) -> "Labels":
            parts = [self._label(texts[i : i + BATCH], counts[i : i + BATCH]) for i in starts]
            return np.concatenate(parts)

        return Prepared(inputs=1, run=run, batching=IN_ORDER)

    def _label(self, texts: Sequence[Any], counts: Sequence[int]) -> "Labels":
        encoded = self.tokenizer.encode_batch(texts)
        logits = self.logits(
            {
                "input_ids": np.array([row.ids for row in encoded], np.int64),
                "attention_mask": np.array([row.attention_mask for row in encoded], np.int64),
                "token_type_ids": np.array([row.type_ids for row in encoded], np.int64),
            }
        )
        labels: Labels = logits.argmax(axis=-1)
        if self.task is Task.TEXT_CLASSIFICATION:
            return labels
        plain = np.array([row.special_tokens_mask for row in encoded]) == 0
        rows = zip(labels, plain, counts, strict=True)
        return np.concatenate([fill(row[keep], count) for row, keep, count in rows])


def count_tokens(json: str, task: Task, texts: Sequence[tuple[str, ...]]) -> list[int]:
    """Count the labels that each text should get: one, or one for each of its own tokens."""
    if task is Task.TEXT_CLASSIFICATION:
        return [1] * len(texts)
    import tokenizers  # type: ignore[import-untyped]

    whole = tokenizers.Tokenizer.from_str(json)
    whole.no_truncation()
    whole.no_padding()
    encoded = whole.encode_batch([text for (text,) in texts], add_special_tokens=False)
    return [len(row.ids) for row in encoded]


def fill(labels: "Labels", count: int) -> "Labels":
    """Stretch the labels of a text that was cut to what it should have."""
    return np.pad(labels, (0, max(count - len(labels), 0)), constant_values=UNREAD)


def padded_tokenizer(json: str, *, max_length: int, pad_token_id: int) -> Any:
    """Make the tokenizer cut and pad, as its own documentation has it."""
    import tokenizers

    native = tokenizers.Tokenizer.from_str(json)
    native.enable_truncation(max_length)
    native.enable_padding(pad_id=pad_token_id)
    return native


def load(request: Open) -> OnnxRuntimeBackend:
    """Create a session with onnxruntime's own defaults, but for the threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request.threads
    session = onnxruntime.InferenceSession(
        request.path, options, providers=[find_devices(request.device)[0].provider]
    )
    names = [each.name for each in session.get_inputs()]
    json = Path(request.tokenizer).read_text(encoding="utf-8")
    return OnnxRuntimeBackend(
        logits=lambda feed: session.run(None, {name: feed[name] for name in names})[0],
        tokenizer=padded_tokenizer(
            json, max_length=request.max_length, pad_token_id=request.pad_token_id
        ),
        task=request.task,
        json=json,
        runs_on=session.get_providers()[0],
    )
