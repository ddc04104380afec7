"""bertedge's own engines: PyTorch in the predictor's hands, and the predictor with a bundle.

Texts of both are sorted by length and packed to a token budget, so that on texts only the engines
differ; PyTorch's budget is the one that was measured to suit it.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertedge.bench.backends import Prepared, as_texts
from bertedge.bench.protocol import Open, Output, TextWorkload, TokenWorkload
from bertedge.model import TextModel
from bertedge.predictions import Embedding, Prediction
from bertedge.runtime.encoding import TOKEN_BUDGET, Batch
from bertedge.runtime.engine import Engine
from bertedge.runtime.providers import CPU
from bertedge.spec import Aggregation, ModelSpec, Text
from bertedge.tasks.contract import PredictOptions

BUDGETS = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Tried in this order, until one is clearly worse than the best."""
CLEARLY = 1.1
PATIENCE_S = 5.0
TORCH_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
AS_PREDICTOR = "as the predictor packs them, sorted by length"

Predict = Callable[[Sequence[Text], int], Sequence[Prediction]]
"""Predicts texts in batches of so many tokens."""


@dataclass(slots=True, kw_only=True)
class BertedgeBackend:
    """An engine between the predictor's tokenizer and decoding; see `Backend`."""

    engine: Engine
    predict: Predict
    model: ModelSpec
    runs_on: str
    token_budget: int | None = None
    """Of a batch; None: measured on the first texts that come all at once."""
    batching: str | None = None
    """None: such as "1,024 tokens a batch, measured, sorted by length"."""

    def tokens(self, workload: TokenWorkload) -> Prepared:
        """Make batches of token ids ready to run."""
        batches = [_make_batch(rows) for rows in workload.batches]
        read = _embeddings if self.model.pooling is not None else _best
        return Prepared(
            inputs=len(batches), run=lambda i: self.engine.logits(batches[i]), read=read
        )

    def texts(self, workload: TextWorkload) -> Prepared:
        """Make texts ready to run, one by one or all at once."""
        texts: list[Text] = as_texts(workload)
        if not workload.at_once:
            return Prepared(
                inputs=len(texts), run=lambda i: self.predict([texts[i]], TOKEN_BUDGET), read=list
            )
        if self.token_budget is None:
            self.token_budget = self._measure_budget(texts)
        budget = self.token_budget
        how = self.batching or f"{budget:,} tokens a batch, measured, sorted by length"
        return Prepared(
            inputs=1, run=lambda _: self.predict(texts, budget), read=list, batching=how
        )

    def _measure_budget(self, texts: Sequence[Text]) -> int:
        """Choose the budget with which these very texts are predicted soonest."""
        self.predict(texts, BUDGETS[1])
        times: dict[int, float] = {}
        began = time.perf_counter()
        for budget in BUDGETS:
            before = time.perf_counter()
            self.predict(texts, budget)
            times[budget] = time.perf_counter() - before
            worse = times[budget] > CLEARLY * min(times.values())
            if worse or time.perf_counter() - began > PATIENCE_S:
                break
        return min(times, key=lambda budget: times[budget])


def load_bundle(request: Open) -> BertedgeBackend:
    """Open the bundle as a user would: verified, golden inputs and all."""
    from bertedge.predictor import Predictor

    predictor = Predictor.open(
        request.path, device=request.device, threads=request.threads, variant=request.variant
    )
    # Every token's tag, as other engines are asked for it.
    tags = Aggregation.NONE if predictor.task.tags_words else None
    return BertedgeBackend(
        engine=predictor.engine,
        predict=lambda texts, _: predictor.predict(texts, aggregation=tags),
        model=predictor.manifest.model,
        runs_on=predictor.engine.providers[0],
        token_budget=TOKEN_BUDGET,
        batching=AS_PREDICTOR,
    )


def load_torch(request: Open, *, compiled: bool = False) -> BertedgeBackend:
    """Load the checkpoint as transformers' users do, straight into its precision."""
    import torch

    from bertedge.checkpoint import TorchEngine, add_pooling, auto_model, use_threads

    use_threads(request.threads)
    spec = request.model
    model = auto_model(spec.task).from_pretrained(
        request.path,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        dtype=getattr(torch, TORCH_DTYPES[request.precision]),
    )
    if spec.pooling is not None:
        model = add_pooling(model, spec.pooling)
    engine = TorchEngine(model.eval(), device=request.device, dtype=request.precision)
    if compiled:
        model.compile(dynamic=True)  # in place; without it every new shape would compile again
    on_cpu = request.device == CPU.name
    how = "compiled" if compiled else "eager"
    return BertedgeBackend(
        engine=engine,
        predict=predict_with(engine, spec, Path(request.tokenizer).read_text(encoding="utf-8")),
        model=spec,
        runs_on=f"PyTorch {how} on the CPU"
        if on_cpu
        else getattr(torch, request.device).get_device_name(),
    )


def load_compiled(request: Open) -> BertedgeBackend:
    """The same under torch.compile, which compiles at its first runs, nothing cached before."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = request.scratch
    return load_torch(request, compiled=True)


def predict_with(engine: Engine, spec: ModelSpec, tokenizer_json: str) -> Predict:
    """Put the predictor's tokenizer before an engine and its decoding after it."""
    model = TextModel.of(spec, tokenizer_json, engine)
    options = PredictOptions(aggregation=Aggregation.NONE if spec.task.tags_words else None)
    return lambda texts, token_budget: replace(model, token_budget=token_budget).predict(
        texts, options
    )


def _make_batch(rows: Sequence[Sequence[int]]) -> Batch:
    """Make a batch of rows of one length."""
    ids = np.array(rows, np.int64)
    return Batch(input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=np.zeros_like(ids))


def _best(logits: NDArray[np.float32]) -> list[Output]:
    numbers: list[Output] = logits.argmax(axis=-1).ravel().tolist()
    return numbers


def _embeddings(vectors: NDArray[np.float32]) -> list[Output]:
    return [Embedding(values=vector) for vector in vectors]
