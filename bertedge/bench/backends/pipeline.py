"""transformers' pipeline, over PyTorch and over Optimum's ORTModel: what most people run.

On texts the pipeline does everything, in batches of 32 in their order; it cuts texts that are too
long. Batches of token ids go to the model itself, where it is Optimum's.
"""

from collections.abc import Callable, Sequence
from typing import Any

from bertedge.bench.backends import (
    BATCH,
    IN_ORDER,
    Backend,
    Prepared,
    no_tokens,
    prepare,
    prepare_texts,
)
from bertedge.bench.backends.onnxruntime import session_options
from bertedge.bench.backends.optimum_export import OWN, load_own_head, optimum_model
from bertedge.bench.protocol import Open, Output, TextWorkload, TokenWorkload
from bertedge.predictions import Answer, Answers, Classification, Entities, Entity
from bertedge.runtime.providers import find_devices
from bertedge.spec import LabelKind


def load_transformers(request: Open) -> Backend:
    """Make the pipeline from the checkpoint."""
    import torch
    import transformers

    from bertedge.tasks import task_module

    torch.set_num_threads(request.threads)
    kind = getattr(transformers, task_module(request.model.task).AUTO_MODEL)
    model = load_own_head(request.path, request.model.task) or kind.from_pretrained(
        request.path, use_safetensors=True, dtype=torch.float32, **OWN
    )
    return _backend(request, model, "PyTorch, by transformers' pipeline", device=request.device)


def load_optimum(request: Open) -> Backend:
    """Make the pipeline from an exported graph (`variant` names its file)."""
    import torch

    from bertedge.checkpoint import logits_of

    provider = find_devices(request.device)[0].provider
    model = optimum_model(request.model.task).from_pretrained(
        request.path,
        file_name=request.variant,
        session_options=session_options(request.threads),
        provider=provider,
        **OWN,
    )

    def tokens(workload: TokenWorkload) -> Prepared:
        batches = [torch.tensor(rows) for rows in workload.batches]
        return prepare(
            [{"input_ids": ids, "attention_mask": torch.ones_like(ids)} for ids in batches],
            lambda feed: logits_of(model(**feed)).argmax(-1),
            lambda best: best.ravel().cpu().tolist(),
        )

    return _backend(request, model, provider, tokens=tokens)


def _backend(
    request: Open,
    model: Any,
    runs_on: str,
    *,
    tokens: Callable[[TokenWorkload], Prepared] = no_tokens,
    **options: Any,
) -> Backend:
    import transformers

    labels_are = request.model.task.labels_are
    if labels_are is LabelKind.CLASSES:
        options["truncation"] = True
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        request.path, model_max_length=request.model.max_length, **OWN
    )
    pipeline = transformers.pipeline(
        request.model.task.value, model, tokenizer=tokenizer, trust_remote_code=False, **options
    )

    def run(texts: Sequence[Any], **options: int) -> Any:
        if labels_are is LabelKind.SPANS:
            questions, contexts = ([pair[side] for pair in texts] for side in (0, 1))
            found = pipeline(question=questions, context=contexts, **options)
            return found if isinstance(found, list) else [found]
        pairs = [t if isinstance(t, str) else {"text": t[0], "text_pair": t[1]} for t in texts]
        return pipeline(pairs, **options)

    def texts(workload: TextWorkload) -> Prepared:
        options = {"batch_size": BATCH} if workload.at_once else {}
        return prepare_texts(workload, lambda texts: run(texts, **options), _read, IN_ORDER)

    return Backend(runs_on=runs_on, texts=texts, tokens=tokens)


def _read(rows: Sequence[Any]) -> list[Output]:
    """Turn what the pipeline gives for each text into the predictions of bertedge."""
    return [_prediction(row) for row in rows]


def _prediction(row: Any) -> Output:
    if isinstance(row, list) and (not row or "entity" in row[0]):
        return Entities(
            entities=tuple(
                Entity(
                    label=token["entity"],
                    score=float(token["score"]),
                    start=token["start"],
                    end=token["end"],
                    text=token["word"],
                )
                for token in row
            )
        )
    found = row[0] if isinstance(row, list) else row
    score = float(found["score"])
    if "label" in found:
        return Classification(label=found["label"], score=score, scores={found["label"]: score})
    answer = Answer(text=found["answer"], start=found["start"], end=found["end"], score=score)
    return Answers(answer=answer, answers=(answer,), no_answer=0.0)
