"""sentence-transformers: what most people take embeddings from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bertedge.bench.backends import Prepared
from bertedge.bench.messages import Open, TextWorkload, TokenWorkload
from bertedge.bench.rivals import SENTENCES_BATCHING
from bertedge.bench.vectors import as_labels
from bertedge.errors import SettingError
from bertedge.spec import Pooling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bertedge.bench.backends import Labels


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
        texts = [text for (text,) in workload.texts]
        if not workload.at_once:
            return Prepared(inputs=len(texts), run=lambda i: self._embed([texts[i]]))
        return Prepared(inputs=1, run=lambda _: self._embed(texts), batching=SENTENCES_BATCHING)

    def _embed(self, texts: "Sequence[str]") -> "Labels":
        return as_labels(self.model.encode(texts, show_progress_bar=False))


def load(request: Open) -> SentenceTransformersBackend:
    """Put the checkpoint, its pooling and its normalization together, as its model card has it."""
    import sentence_transformers  # type: ignore[import-not-found]
    import torch
    from sentence_transformers import models

    torch.set_num_threads(request.threads)
    encoder = models.Transformer(request.path, max_seq_length=request.max_length)
    pooling = request.pooling or Pooling()
    pool = models.Pooling(encoder.get_word_embedding_dimension(), pooling_mode=pooling.mode.value)
    modules = [encoder, pool, *([models.Normalize()] if pooling.normalized else [])]
    model = sentence_transformers.SentenceTransformer(modules=modules, device=request.device)
    return SentenceTransformersBackend(
        model=model, runs_on=f"PyTorch on {request.device}, by sentence-transformers"
    )
