"""An encoder that draws texts of one label together: for few rows, before its head is fitted.

Supervised contrastive learning (Khosla et al. 2020, arXiv:2004.11362, equation 2; Gunel et al.
2021, arXiv:2011.01403, for fine-tuning) on the mean of the hidden states, as SetFit has it with
pairs (Tunstall et al. 2022, arXiv:2209.11055): n rows make n(n-1)/2 pairs to learn from.
"""

from collections.abc import Iterator

import accelerate
import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from bertedge.checkpoint.row_models import pool
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.defaults import Facts, usual_learning_rate
from bertedge.finetune.embedding_subset import embedding_subset
from bertedge.finetune.features import Features
from bertedge.finetune.linear_probe import Collator, read_rows
from bertedge.progress import Progress
from bertedge.spec import PoolingMode
from bertedge.training.config import Precision
from bertedge.training.precision import choose_precision

STEPS = 50
"""More of them fit few rows by heart."""
BATCH = 32
LABELS = 8
"""In a batch at most, so that each has several texts there."""
TEMPERATURE = 0.1


def train_contrastive(
    model: transformers.PreTrainedModel,
    train: Features,
    collator: Collator,
    config: FinetuneConfig,
    progress: Progress,
) -> None:
    """Train the encoder of `model` on all rows of `train` in place, for `STEPS` steps."""
    device, encoder = accelerate.PartialState().device, model.base_model
    bf16 = choose_precision(config.precision) is Precision.BF16
    facts = Facts(
        rows=train.data.num_rows,
        hidden_size=int(model.config.hidden_size),
        layers=int(model.config.num_hidden_layers),
    )
    # A quarter of what fine-tuning has: all texts of a label are drawn at once.
    rate = usual_learning_rate(facts, BATCH) / 4
    labels = np.asarray(train.data["labels"])
    rows = train.data.select_columns(["input_ids", "token_type_ids"])
    model.to(device).train()
    kept: list[torch.Tensor] = []
    hook = encoder.register_forward_hook(lambda *given: kept.append(given[2].last_hidden_state))
    progress.start("contrastive training", STEPS, "steps")
    try:
        with embedding_subset(model, [train]):
            optimizer = torch.optim.AdamW(
                encoder.parameters(), lr=rate, weight_decay=0.01, fused=True
            )
            schedule = transformers.get_linear_schedule_with_warmup(optimizer, STEPS // 10, STEPS)
            for numbers in draw_batches(labels, config.seed):
                batch = collator(read_rows(rows, numbers))
                batch = {name: each.to(device) for name, each in batch.items()}
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    model(**batch)
                vectors = pool(kept.pop().float(), batch["attention_mask"], PoolingMode.MEAN)
                loss = contrastive_loss(vectors, torch.from_numpy(labels[numbers]).to(device))
                loss.backward()
                torch.nn.utils.clip_grad_norm_(encoder.parameters(), config.max_grad_norm)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                progress.advance(1, f"loss {loss.item():.3f}")
    finally:
        hook.remove()
        progress.finish()


def contrastive_loss(vectors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Compute how far texts `(batch, hidden)` are from those of their label `(batch,)`.

    The mean over all pairs of one label of -log softmax(cosine / temperature), over all others of
    the batch; a text that is alone with its label adds nothing.
    """
    units = torch.nn.functional.normalize(vectors, dim=1)
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    logits = (units @ units.T / TEMPERATURE).masked_fill(own, -1e9)
    alike = (labels[:, None] == labels[None]) & ~own
    others = alike.sum(dim=1)
    each = -(logits.log_softmax(dim=1) * alike).sum(dim=1) / others.clamp(min=1)
    return each.sum() / (others > 0).sum().clamp(min=1)


def draw_batches(labels: NDArray[np.int64], seed: int) -> Iterator[NDArray[np.int64]]:
    """Draw the rows of each step: as many of each of some labels, again where a label has few."""
    generator = np.random.default_rng(seed)
    there = np.unique(labels)
    of_label = {label: np.flatnonzero(labels == label) for label in there}
    each = BATCH // min(len(there), LABELS)
    for _ in range(STEPS):
        chosen = generator.choice(there, min(len(there), LABELS), replace=False)
        yield np.concatenate(
            [
                generator.choice(of_label[label], each, replace=len(of_label[label]) < each)
                for label in chosen
            ]
        )
