"""transformers' pipeline, over PyTorch and over Optimum's ORTModel: what most people run.

On texts the pipeline does everything, in batches of 32 in their order; it cuts texts that are too
long. Batches of token ids go to the model itself, where it is Optimum's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertedge.bench.backends import Prepared, as_texts
from bertedge.bench.backends.onnxruntime import BATCH, IN_ORDER, session_options
from bertedge.bench.backends.optimum_export import optimum_model
from bertedge.bench.protocol import Open, Output, TextWorkload, TokenWorkload
from bertedge.errors import SettingError
from bertedge.predictions import Answer, Answers, Classification, Entities, Entity
from bertedge.runtime.providers import find_devices
from bertedge.spec import LabelKind, ModelSpec, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineBackend:
    """A pipeline; see `Backend`."""

    pipeline: Any
    optimum: Any | None
    """What takes token ids; None where only texts are timed."""
    model: ModelSpec
    runs_on: str

    def tokens(self, workload: TokenWorkload) -> Prepared:
        """Make batches of token ids ready to run."""
        import torch

        from bertedge.checkpoint import logits_of

        model = self.optimum
        if model is None:
            raise SettingError("the pipeline takes texts alone, no token ids")
        feeds = []
        for rows in workload.batches:
            ids = torch.tensor(rows)
            feeds.append({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        return Prepared(
            inputs=len(feeds),
            run=lambda i: logits_of(model(**feeds[i])).argmax(-1),
            read=lambda best: best.ravel().cpu().tolist(),
        )

    def texts(self, workload: TextWorkload) -> Prepared:
        """Make texts ready to run, one by one or all at once."""
        texts = as_texts(workload)
        if not workload.at_once:
            return Prepared(inputs=len(texts), run=lambda i: self._run([texts[i]]), read=_read)
        return Prepared(
            inputs=1,
            run=lambda _: self._run(texts, batch_size=BATCH),
            read=_read,
            batching=IN_ORDER,
        )

    def _run(self, texts: Sequence[Any], **options: int) -> Any:
        if self.model.task.labels_are is LabelKind.SPANS:
            questions, contexts = ([pair[side] for pair in texts] for side in (0, 1))
            found = self.pipeline(question=questions, context=contexts, **options)
            return found if isinstance(found, list) else [found]
        pairs = [t if isinstance(t, str) else {"text": t[0], "text_pair": t[1]} for t in texts]
        return self.pipeline(pairs, **options)


def load_transformers(request: Open) -> PipelineBackend:
    """Make the pipeline from the checkpoint."""
    import torch
    import transformers

    torch.set_num_threads(request.threads)
    pipeline = transformers.pipeline(
        request.model.task.value,
        request.path,
        tokenizer=_tokenizer(request),
        device=request.device,
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True, "local_files_only": True},
        **_options(request.model.task),
    )
    runs_on = "PyTorch, by transformers' pipeline"
    return PipelineBackend(pipeline=pipeline, optimum=None, model=request.model, runs_on=runs_on)


def load_optimum(request: Open) -> PipelineBackend:
    """Make the pipeline from an exported graph (`variant` names its file)."""
    import transformers

    provider = find_devices(request.device)[0].provider
    model = optimum_model(request.model.task).from_pretrained(
        request.path,
        file_name=request.variant,
        session_options=session_options(request.threads),
        provider=provider,
        local_files_only=True,
        trust_remote_code=False,
    )
    pipeline = transformers.pipeline(
        request.model.task.value,
        model,
        tokenizer=_tokenizer(request),
        trust_remote_code=False,
        **_options(request.model.task),
    )
    return PipelineBackend(pipeline=pipeline, optimum=model, model=request.model, runs_on=provider)


def _tokenizer(request: Open) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(
        Path(request.path),
        model_max_length=request.model.max_length,
        local_files_only=True,
        trust_remote_code=False,
    )


def _options(task: Task) -> dict[str, Any]:
    return {"truncation": True} if task.labels_are is LabelKind.CLASSES else {}


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
