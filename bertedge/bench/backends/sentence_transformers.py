"""sentence-transformers: what most people take embeddings from."""

from bertedge.bench.backends import BY_LENGTH, Backend, prepare_texts
from bertedge.bench.protocol import Open
from bertedge.predictions import Embedding
from bertedge.spec import Pooling


def load(request: Open) -> Backend:
    """Put the checkpoint, its pooling and its normalization together, as its model card has it."""
    import sentence_transformers  # type: ignore[import-not-found]
    import torch
    from sentence_transformers import models

    torch.set_num_threads(request.threads)
    encoder = models.Transformer(request.path, max_seq_length=request.model.max_length)
    pooling = request.model.pooling or Pooling()
    pool = models.Pooling(encoder.get_word_embedding_dimension(), pooling_mode=pooling.mode.value)
    dense = [models.Dense.load(request.path, each.folder) for each in pooling.dense]
    modules = [encoder, pool, *dense, *([models.Normalize()] if pooling.normalized else [])]
    model = sentence_transformers.SentenceTransformer(modules=modules, device=request.device)
    return Backend(
        runs_on=f"PyTorch on {request.device}, by sentence-transformers",
        texts=lambda workload: prepare_texts(
            workload,
            lambda texts: model.encode(texts, show_progress_bar=False),
            lambda vectors: [Embedding(values=vector) for vector in vectors],
            BY_LENGTH,
        ),
    )
