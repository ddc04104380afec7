"""transformers' pipeline, over PyTorch and over Optimum's ORTModel: what most people run.

On texts the pipeline does everything, in batches of 32 in their order; it cuts texts that are too
long. Batches of token ids go to the model itself, where it is Optimum's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertedge.bench.backends import Prepared
from bertedge.bench.backends.onnxruntime import BATCH, IN_ORDER, count_tokens, fill
from bertedge.bench.backends.optimum_export import optimum_model
from bertedge.bench.messages import Open, TextWorkload, TokenWorkload
from bertedge.bench.spans import span_number
from bertedge.errors import SettingError
from bertedge.runtime.providers import find_devices
from bertedge.spec import Task

if TYPE_CHECKING:
    from bertedge.bench.backends import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineBackend:
    """A pipeline; see `Backend`."""

    pipeline: Any
    model: Any | None
    """What takes token ids; None where only texts are timed."""
    task: Task
    ids: dict[str, int]
    """Of the labels' names."""
    json: str
    runs_on: str

    def tokens(self, workload: TokenWorkload) -> Prepared:
        """Make batches of token ids ready to run."""
        import torch

        from bertedge.checkpoint import logits_of

        model = self.model
        if model is None:
            raise SettingError("the pipeline takes texts alone, no token ids")
        feeds = []
        for rows in workload.batches:
            ids = torch.tensor(rows)
            feeds.append({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        return Prepared(
            inputs=len(feeds),
            run=lambda i: logits_of(model(**feeds[i])).argmax(-1).ravel().cpu().numpy(),
        )

    def texts(self, workload: TextWorkload) -> Prepared:
        """Make texts ready to run, one by one or all at once."""
        if self.task is Task.QUESTION_ANSWERING:
            return self._questions(workload)
        texts = [_input(text) for text in workload.texts]
        counts = count_tokens(self.json, self.task, workload.texts)
        if not workload.at_once:
            return Prepared(
                inputs=len(texts),
                run=lambda i: self._labels([self.pipeline(texts[i])], counts[i : i + 1]),
            )
        return Prepared(
            inputs=1,
            run=lambda _: self._labels(self.pipeline(texts, batch_size=BATCH), counts),
            batching=IN_ORDER,
        )

    def _questions(self, workload: TextWorkload) -> Prepared:
        pairs = workload.texts
        if not workload.at_once:
            return Prepared(inputs=len(pairs), run=lambda i: self._answer([pairs[i]]))
        return Prepared(inputs=1, run=lambda _: self._answer(pairs), batching=IN_ORDER)

    def _answer(self, pairs: Sequence[tuple[str, ...]]) -> "Labels":
        questions, contexts = ([pair[side] for pair in pairs] for side in (0, 1))
        found = self.pipeline(question=questions, context=contexts, batch_size=BATCH)
        rows = found if isinstance(found, list) else [found]
        return np.array([span_number(row["start"], row["end"]) for row in rows], np.int64)

    def _labels(self, answers: Sequence[Any], counts: Sequence[int]) -> "Labels":
        """Turn the names that the pipeline gives into ids."""
        if self.task is Task.TEXT_CLASSIFICATION:
            rows = [row[0] if isinstance(row, list) else row for row in answers]
            return np.array([self.ids[row["label"]] for row in rows], np.int64)
        parts = [
            fill(np.array([self.ids[token["entity"]] for token in row], np.int64), count)
            for row, count in zip(answers, counts, strict=True)
        ]
        return np.concatenate(parts)


def load_transformers(request: Open) -> PipelineBackend:
    """Make the pipeline from the checkpoint."""
    import torch
    import transformers

    torch.set_num_threads(request.threads)
    tokenizer = _tokenizer(request)
    pipeline = transformers.pipeline(
        request.task.value,
        request.path,
        tokenizer=tokenizer,
        device=request.device,
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True, "local_files_only": True},
        **_options(request.task),
    )
    return _piped(request, pipeline, model=None, runs_on="PyTorch, by transformers' pipeline")


def load_optimum(request: Open) -> PipelineBackend:
    """Make the pipeline from an exported graph (`variant` names its file)."""
    import onnxruntime
    import transformers

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request.threads
    model = optimum_model(request.task).from_pretrained(
        request.path,
        file_name=request.variant,
        session_options=options,
        provider=find_devices(request.device)[0].provider,
        local_files_only=True,
        trust_remote_code=False,
    )
    tokenizer = _tokenizer(request)
    pipeline = transformers.pipeline(
        request.task.value,
        model,
        tokenizer=tokenizer,
        trust_remote_code=False,
        **_options(request.task),
    )
    return _piped(request, pipeline, model=model, runs_on=find_devices(request.device)[0].provider)


def _piped(request: Open, pipeline: Any, *, model: Any | None, runs_on: str) -> PipelineBackend:
    return PipelineBackend(
        pipeline=pipeline,
        model=model,
        task=request.task,
        ids={name: number for number, name in enumerate(request.labels)},
        json=Path(request.tokenizer).read_text(encoding="utf-8"),
        runs_on=runs_on,
    )


def _tokenizer(request: Open) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(
        Path(request.path),
        model_max_length=request.max_length,
        local_files_only=True,
        trust_remote_code=False,
    )


def _options(task: Task) -> dict[str, Any]:
    # Every token's label, not entities alone: they are compared with the other engines'.
    if task is Task.TOKEN_CLASSIFICATION:
        return {"ignore_labels": []}
    if task is Task.QUESTION_ANSWERING:
        return {}
    return {"truncation": True}


def _input(text: tuple[str, ...]) -> Any:
    return text[0] if len(text) == 1 else {"text": text[0], "text_pair": text[1]}
