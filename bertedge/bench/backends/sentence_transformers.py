"""sentence-transformers: what most people take embeddings from."""

from dataclasses import dataclass
from typing import Any

from bertedge.bench.backends import Prepared, as_texts
from bertedge.bench.protocol import Open, TextWorkload, TokenWorkload
from bertedge.errors import SettingError
from bertedge.predictions import Embedding
from bertedge.spec import Pooling

BATCHING = "32 texts a batch, sorted by length"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceTransformersBackend:
    """A SentenceTransformer; see `Backend`."""

    model: Any
    runs_on: str

    def tokens(self, workload: TokenWorkload) -> Prepared:
        """Refuse: it is given texts alone."""
        raise SettingError("sentence-transformers takes texts alone, no token ids")

    def texts(self, workload: TextWorkload) -> Prepared:
        """Make texts ready to run, one by one or all at once."""
        texts = as_texts(workload)
        inputs = [texts] if workload.at_once else [[text] for text in texts]
        return Prepared(
            inputs=len(inputs),
            run=lambda i: self.model.encode(inputs[i], show_progress_bar=False),
            read=lambda vectors: [Embedding(values=vector) for vector in vectors],
            batching=BATCHING if workload.at_once else None,
        )


def load(request: Open) -> SentenceTransformersBackend:
    """Put the checkpoint, its pooling and its normalization together, as its model card has it."""
    import sentence_transformers  # type: ignore[import-not-found]
    import torch
    from sentence_transformers import models

    torch.set_num_threads(request.threads)
    encoder = models.Transformer(request.path, max_seq_length=request.model.max_length)
    pooling = request.model.pooling or Pooling()
    pool = models.Pooling(encoder.get_word_embedding_dimension(), pooling_mode=pooling.mode.value)
    modules = [encoder, pool, *([models.Normalize()] if pooling.normalized else [])]
    model = sentence_transformers.SentenceTransformer(modules=modules, device=request.device)
    runs_on = f"PyTorch on {request.device}, by sentence-transformers"
    return SentenceTransformersBackend(model=model, runs_on=runs_on)
