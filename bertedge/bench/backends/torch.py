"""PyTorch in the predictor's hands: texts sorted by length, packed to a token budget.

So that on texts only the engines differ, the budget being the one that was measured to suit it.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bertedge.bench.backends import Prepared
from bertedge.bench.config import FILLS_MASKS
from bertedge.bench.messages import Open, TextWorkload, TokenWorkload
from bertedge.bench.spans import span_label
from bertedge.bench.vectors import as_labels
from bertedge.errors import SettingError
from bertedge.heads import best_labels, split_heads
from bertedge.runtime.batching import TOKEN_BUDGET, Batch
from bertedge.runtime.decoding import classify, find_entities, join_windows, split_tags
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.engine import Engine, infer
from bertedge.runtime.intents import find_intents
from bertedge.runtime.providers import CPU
from bertedge.runtime.questions import answer_each
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Aggregation, DecisionRule, Task, Text

if TYPE_CHECKING:
    from bertedge.bench.backends import Labels
    from bertedge.checkpoint import TorchEngine

BUDGETS = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Tried in this order, until one is clearly worse than the best."""
CLEARLY = 1.1
PATIENCE_S = 5.0
TORCH_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass(slots=True, kw_only=True)
class TorchBackend:
    """An engine behind the predictor's own parts; see `Backend`."""

    engine: Engine
    tokenizer: Tokenizer
    task: Task
    labels: tuple[str, ...]
    pad_token_id: int
    runs_on: str
    token_budget: int | None = None
    """Of a batch; measured on the first texts that come all at once."""

    def tokens(self, workload: TokenWorkload) -> Prepared:
        """Make batches of token ids ready to run."""
        return prepare_tokens(self.engine, self.task, self.labels, workload)

    def texts(self, workload: TextWorkload) -> Prepared:
        """Make texts ready to run, one by one or all at once."""
        texts = list(workload.texts)
        if not workload.at_once:
            return Prepared(inputs=len(texts), run=lambda i: self.label([texts[i]], TOKEN_BUDGET))
        if self.token_budget is None:
            self.token_budget = self._measure_budget(texts)
        budget = self.token_budget
        how = f"{budget:,} tokens a batch, measured, sorted by length"
        return Prepared(inputs=1, run=lambda _: self.label(texts, budget), batching=how)

    def label(self, texts: Sequence[tuple[str, ...]], token_budget: int) -> "Labels":
        """Label texts as the predictor does, from its own parts: `(texts,)` or `(tokens,)`."""
        match self.task:
            case Task.TEXT_CLASSIFICATION:
                return self._classify(texts, token_budget)
            case Task.TOKEN_CLASSIFICATION:
                return self._find_entities([text for (text,) in texts], token_budget)
            case Task.INTENT_SLOTS:
                return self._find_frames([text for (text,) in texts], token_budget)
            case Task.QUESTION_ANSWERING:
                return self._answer([(text[0], text[1]) for text in texts], token_budget)
            case Task.FILL_MASK:
                raise SettingError(FILLS_MASKS)
            case Task.FEATURE_EXTRACTION:
                encoded = self.tokenizer.encode([text for (text,) in texts])
                return as_labels(np.stack(self._infer(encoded, token_budget)))

    def _measure_budget(self, texts: Sequence[tuple[str, ...]]) -> int:
        """Choose the budget with which these very texts are labelled soonest."""
        self.label(texts, BUDGETS[1])
        times: dict[int, float] = {}
        began = time.perf_counter()
        for budget in BUDGETS:
            before = time.perf_counter()
            self.label(texts, budget)
            times[budget] = time.perf_counter() - before
            worse = times[budget] > CLEARLY * min(times.values())
            if worse or time.perf_counter() - began > PATIENCE_S:
                break
        return min(times, key=lambda budget: times[budget])

    def _classify(self, texts: Sequence[tuple[str, ...]], token_budget: int) -> "Labels":
        inputs: list[Text] = [text[0] if len(text) == 1 else (text[0], text[1]) for text in texts]
        encoded = self.tokenizer.encode(inputs)
        logits = np.stack(self._infer(encoded, token_budget))
        classify(logits, self.labels)
        labels: Labels = logits.argmax(axis=-1)
        return labels

    def _find_entities(self, texts: Sequence[str], token_budget: int) -> "Labels":
        windows = self.tokenizer.encode_windows(texts)
        logits = self._infer(windows, token_budget)
        tokens = join_windows(texts, windows, logits, self.tokenizer)
        find_entities(texts, tokens, split_tags(self.labels), Aggregation.FIRST)
        labels: Labels = tokens.scores.argmax(axis=-1)
        return labels

    def _find_frames(self, texts: Sequence[str], token_budget: int) -> "Labels":
        """Give each text's intent, and after it the tags of its tokens."""
        heads = split_heads(self.labels)
        windows = self.tokenizer.encode_windows(texts)
        logits = self._infer(windows, token_budget)
        intents = [heads.intents.index(each.label) for each in find_intents(windows, logits, heads)]
        tags = [row[:, heads.tag_columns] for row in logits]
        tokens = join_windows(texts, windows, tags, self.tokenizer)
        find_entities(texts, tokens, split_tags(heads.tags), Aggregation.FIRST)
        labels = tokens.scores.argmax(axis=-1) + heads.tag_columns.start
        return np.insert(labels, np.searchsorted(tokens.text, range(len(texts))), intents)

    def _answer(self, pairs: Sequence[tuple[str, str]], token_budget: int) -> "Labels":
        windows = self.tokenizer.encode_questions(pairs)
        logits = self._infer(windows, token_budget)
        found = answer_each([context for _, context in pairs], windows, logits, DecisionRule())
        return np.array([span_label(each.answer) for each in found], np.int64)

    def _infer(self, rows: Sequence[Encoded], token_budget: int) -> list[NDArray[np.float32]]:
        return infer(self.engine, rows, pad_token_id=self.pad_token_id, token_budget=token_budget)


def prepare_tokens(
    engine: Engine, task: Task, labels: tuple[str, ...], workload: TokenWorkload
) -> Prepared:
    """Make batches of token ids ready to run by an engine of ours."""
    batches = [_make_batch(rows) for rows in workload.batches]
    best = _best_of(task, labels)
    return Prepared(inputs=len(batches), run=lambda i: best(engine.logits(batches[i])))


def _make_batch(rows: Sequence[Sequence[int]]) -> Batch:
    """Make a batch of rows of one length."""
    ids = np.array(rows, np.int64)
    return Batch(input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=np.zeros_like(ids))


def _best_of(task: Task, labels: tuple[str, ...]) -> "Callable[[NDArray[np.float32]], Labels]":
    """Choose what gives the best label of each text or token of a batch; of embeddings, numbers."""
    match task:
        case Task.FEATURE_EXTRACTION:
            return as_labels
        case Task.INTENT_SLOTS:
            heads = split_heads(labels)
            return lambda logits: best_labels(logits, heads).ravel()
        case _:
            return lambda logits: logits.argmax(axis=-1).ravel()


def load_torch(request: Open) -> TorchBackend:
    """Load the checkpoint as transformers' users do, straight into its precision."""
    return _pack(_engine(request, compiled=False), request, how="eager")


def load_compiled(request: Open) -> TorchBackend:
    """The same under torch.compile, which compiles at its first runs, nothing cached before."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = request.scratch
    return _pack(_engine(request, compiled=True), request, how="compiled")


def _engine(request: Open, *, compiled: bool) -> "TorchEngine":
    import torch

    from bertedge.checkpoint import AUTO_MODELS, TorchEngine, add_pooling, use_threads

    use_threads(request.threads)
    model = AUTO_MODELS[request.task].from_pretrained(
        request.path,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        dtype=getattr(torch, TORCH_DTYPES[request.precision]),
    )
    if request.pooling is not None:
        model = add_pooling(model, request.pooling)
    engine = TorchEngine(model.eval(), device=request.device, dtype=request.precision)
    if compiled:
        model.compile(dynamic=True)  # in place; without it every new shape would compile again
    return engine


def _pack(engine: "TorchEngine", request: Open, *, how: str) -> TorchBackend:
    import torch

    json = Path(request.tokenizer).read_text(encoding="utf-8")
    on_cpu = request.device == CPU.name
    return TorchBackend(
        engine=engine,
        tokenizer=Tokenizer(json, max_length=request.max_length),
        task=request.task,
        labels=request.labels,
        pad_token_id=request.pad_token_id,
        runs_on=f"PyTorch {how} on the CPU"
        if on_cpu
        else getattr(torch, request.device).get_device_name(),
    )
