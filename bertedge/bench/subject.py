"""The model that a worker runs, whatever runs it: loaded, and asked for labels."""

import importlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bertedge.bench.protocol import Open
from bertedge.errors import SettingError
from bertedge.tasks import Aggregation, Task, Text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bertedge.runtime.batching import Batch
    from bertedge.runtime.session import Engine
    from bertedge.runtime.tokenization import Tokenizer

    Labels = NDArray[np.int64]

IMPORTS = {
    "torch": ("torch", "transformers", "bertedge.checkpoint", "bertedge.runtime.decoding"),
    "bundle": ("onnxruntime", "bertedge.runtime.predictor"),
}
LIBRARIES = {
    "torch": ("torch", "transformers", "tokenizers", "numpy"),
    "bundle": ("onnxruntime", "tokenizers", "numpy"),
}
TORCH_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A loaded model with its tokenizer."""

    engine: "Engine"
    tokenizer: "Tokenizer"
    task: Task
    labels: tuple[str, ...]
    pad_token_id: int
    runs_on: str

    def batch(self, rows: Sequence[Sequence[int]]) -> "Batch":
        """Make a batch of rows of one length."""
        import numpy as np

        from bertedge.runtime.batching import Batch

        ids = np.array(rows, np.int64)
        return Batch(
            input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=np.zeros_like(ids)
        )

    def label_batch(self, batch: "Batch") -> "Labels":
        """Label every row, or every token of it: `(batch,)` or `(batch * sequence,)`."""
        labels: Labels = self.engine.logits(batch).argmax(axis=-1).ravel()
        return labels

    def label(self, texts: Sequence[tuple[str, ...]], token_budget: int) -> "Labels":
        """Label texts as the predictor does, from its own parts: `(texts,)` or `(tokens,)`.

        PyTorch goes the same way, so that only the engines differ.
        """
        match self.task:
            case Task.TEXT_CLASSIFICATION:
                return self._classify(texts, token_budget)
            case Task.TOKEN_CLASSIFICATION:
                return self._find_entities([text for (text,) in texts], token_budget)
            case Task.FILL_MASK:
                raise SettingError("bench measures classifiers, and this model fills masks")

    def _classify(self, texts: Sequence[tuple[str, ...]], token_budget: int) -> "Labels":
        import numpy as np

        from bertedge.runtime.decoding import classify
        from bertedge.runtime.session import infer

        inputs: list[Text] = [text[0] if len(text) == 1 else (text[0], text[1]) for text in texts]
        encoded = self.tokenizer.encode(inputs)
        logits = np.stack(
            infer(self.engine, encoded, pad_token_id=self.pad_token_id, token_budget=token_budget)
        )
        classify(logits, self.labels)
        labels: Labels = logits.argmax(axis=-1)
        return labels

    def _find_entities(self, texts: Sequence[str], token_budget: int) -> "Labels":
        from bertedge.runtime.decoding import find_entities, join_windows, split_tags
        from bertedge.runtime.session import infer

        windows = self.tokenizer.encode_windows(texts)
        logits = infer(
            self.engine, windows, pad_token_id=self.pad_token_id, token_budget=token_budget
        )
        tokens = join_windows(texts, windows, logits, self.tokenizer)
        find_entities(texts, tokens, split_tags(self.labels), Aggregation.FIRST)
        labels: Labels = tokens.scores.argmax(axis=-1)
        return labels


def import_libraries(request: Open) -> None:
    """Import all that the model will need."""
    if request.engine not in IMPORTS:
        raise SettingError(f"engine is {request.engine!r}; choose one of {', '.join(IMPORTS)}")
    for module in IMPORTS[request.engine]:
        importlib.import_module(module)


def versions(request: Open) -> dict[str, str]:
    """Give the versions of the libraries at work."""
    found = {}
    for name in LIBRARIES[request.engine]:
        for package in (name, f"{name}-gpu"):
            try:
                found[name] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
    return found


def load(request: Open) -> Subject:
    """Load the model that is asked for."""
    return _load_bundle(request) if request.engine == "bundle" else _load_torch(request)


def _load_bundle(request: Open) -> Subject:
    """Open the bundle as a user would: verified, golden inputs and all."""
    from bertedge.runtime.predictor import Predictor

    predictor = Predictor.open(
        request.path, device=request.device, threads=request.threads, variant=request.variant
    )
    return Subject(
        engine=predictor.engine,
        tokenizer=predictor.tokenizer,
        task=request.task,
        labels=request.labels,
        pad_token_id=request.pad_token_id,
        runs_on=predictor.engine.providers[0],
    )


def _load_torch(request: Open) -> Subject:
    """Load the checkpoint as transformers' users do, straight into its precision."""
    import torch

    from bertedge.checkpoint import AUTO_MODELS, TorchEngine, use_threads
    from bertedge.runtime.tokenization import Tokenizer

    use_threads(request.threads)
    model = AUTO_MODELS[request.task].from_pretrained(
        request.path,
        use_safetensors=True,
        dtype=getattr(torch, TORCH_DTYPES[request.precision]),
    )
    engine = TorchEngine(model.eval(), device=request.device, dtype=request.precision)
    json = Path(request.tokenizer).read_text(encoding="utf-8")
    cuda = request.device == "cuda"
    return Subject(
        engine=engine,
        tokenizer=Tokenizer(json, max_length=request.max_length),
        task=request.task,
        labels=request.labels,
        pad_token_id=request.pad_token_id,
        runs_on=torch.cuda.get_device_name() if cuda else "PyTorch on the CPU",
    )
