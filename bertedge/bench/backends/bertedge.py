"""bertedge's own engines: PyTorch in the predictor's hands, and the predictor with a bundle.

Texts of both are sorted by length and packed to a token budget, so that on texts only the engines
differ; PyTorch's budget is the one that was measured to suit it.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertedge.bench.backends import (
    AS_PREDICTOR,
    Backend,
    Prepared,
    as_texts,
    prepare,
    prepare_texts,
)
from bertedge.bench.protocol import Open, Output, TextWorkload, TokenWorkload
from bertedge.model import TextModel
from bertedge.predictions import Embedding, Prediction
from bertedge.runtime.encoding import TOKEN_BUDGET, Batch
from bertedge.runtime.engine import Engine
from bertedge.runtime.providers import CPU
from bertedge.spec import Aggregation, LabelKind, ModelSpec, Task, Text
from bertedge.tasks.contract import PredictOptions

BUDGETS = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Tried in this order, until one is clearly worse than the best."""
CLEARLY = 1.1
PATIENCE_S = 5.0
TORCH_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}

Predict = Callable[[Sequence[Text], int], Sequence[Prediction]]
"""Predicts texts in batches of so many tokens."""


def backend_of(
    engine: Engine, model: ModelSpec, predict: Predict, runs_on: str, *, packs: bool = False
) -> Backend:
    """Return an engine between the predictor's tokenizer and decoding.

    Where it does not pack texts itself, the token budget is measured on the first texts that come
    all at once.
    """
    budgets = [TOKEN_BUDGET] if packs else []

    def texts(workload: TextWorkload) -> Prepared:
        if not workload.at_once:
            return prepare_texts(workload, lambda texts: predict(texts, TOKEN_BUDGET), list, "")
        if not budgets:
            budgets.append(measure_budget(predict, as_texts(workload)))
        budget = budgets[0]
        how = f"{budget:,} tokens a batch, measured, sorted by length"
        batching = AS_PREDICTOR if packs else how
        return prepare_texts(workload, lambda texts: predict(texts, budget), list, batching)

    def tokens(workload: TokenWorkload) -> Prepared:
        return prepare(
            [Batch.full(rows) for rows in workload.batches],
            engine.logits,
            _embeddings if model.task.labels_are is LabelKind.VECTOR else _best,
        )

    return Backend(runs_on=runs_on, texts=texts, tokens=tokens)


def measure_budget(predict: Predict, texts: Sequence[Text]) -> int:
    """Return the token budget with which these very texts are predicted soonest."""
    predict(texts, BUDGETS[1])
    times: dict[int, float] = {}
    began = time.perf_counter()
    for budget in BUDGETS:
        before = time.perf_counter()
        predict(texts, budget)
        times[budget] = time.perf_counter() - before
        worse = times[budget] > CLEARLY * min(times.values())
        if worse or time.perf_counter() - began > PATIENCE_S:
            break
    return min(times, key=lambda budget: times[budget])


def load_bundle(request: Open) -> Backend:
    """Open the bundle as a user would: verified, golden inputs and all."""
    from bertedge.predictor import Predictor

    predictor = Predictor.open(
        request.path, device=request.device, threads=request.threads, variant=request.variant
    )
    # Every token's tag, as other engines are asked for it.
    tags = Aggregation.NONE if predictor.task.tags_words else None
    return backend_of(
        predictor.engine,
        predictor.manifest.model,
        lambda texts, _: predictor.predict(texts, aggregation=tags),
        predictor.engine.providers[0],
        packs=True,
    )


def load_torch(request: Open, *, compiled: bool = False) -> Backend:
    """Load the checkpoint as transformers' users do, straight into its precision."""
    import torch

    from bertedge.checkpoint import TorchEngine, model_class, read_config, row_model, use_threads

    use_threads(request.threads)
    spec = request.model
    # A SetFit model's head stands behind the pooling of an encoder, as the layers of embeddings do.
    task = spec.task if spec.pooling is None else Task.of(LabelKind.VECTOR)
    kind = model_class(task, read_config(Path(request.path)), spec.classifier_pooling)
    model = kind.from_pretrained(
        request.path,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        dtype=getattr(torch, TORCH_DTYPES[request.precision]),
    )
    model = row_model(model, spec, Path(request.path))
    engine = TorchEngine(model.eval(), device=request.device, dtype=request.precision)
    if compiled:
        model.compile(dynamic=True)  # in place; without it every new shape would compile again
    runs_on = f"PyTorch {'compiled' if compiled else 'eager'} on the CPU"
    if request.device != CPU.name:
        runs_on = getattr(torch, request.device).get_device_name()
    own = TextModel.of(spec, Path(request.tokenizer).read_text(encoding="utf-8"), engine)
    options = PredictOptions(aggregation=Aggregation.NONE if spec.task.tags_words else None)
    return backend_of(
        engine,
        spec,
        lambda texts, budget: replace(own, token_budget=budget).predict(texts, options),
        runs_on,
    )


def load_compiled(request: Open) -> Backend:
    """The same under torch.compile, which compiles at its first runs, nothing cached before."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = request.scratch
    return load_torch(request, compiled=True)


def _best(logits: NDArray[np.float32]) -> list[Output]:
    numbers: list[Output] = logits.argmax(axis=-1).ravel().tolist()
    return numbers


def _embeddings(vectors: NDArray[np.float32]) -> list[Output]:
    return [Embedding(values=vector) for vector in vectors]
