"""Continual learning by experience replay: old rows among the new ones, and what is forgotten.

Of the old rows each epoch has others, drawn at random: de Masson d'Autume et al. 2019, "Episodic
Memory in Lifelong Language Learning" (arXiv:1906.01076), section 3.2, where the memory is the
whole old file. The head keeps the old labels' weights and grows by rows for the new ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import datasets
import torch
import transformers

from bertedge import checkpoint as checkpoints
from bertedge import evaluation
from bertedge.checkpoint.opening import Checkpoint
from bertedge.checkpoint.training import Forgetting
from bertedge.finetune.features import Features
from bertedge.finetune.length_batches import group_by_length
from bertedge.finetune.old_task import OldTask
from bertedge.finetune.training import Material
from bertedge.model import TextModel
from bertedge.progress import Progress
from bertedge.spec import DecisionRule


def add_replayed(new: Features, old: Features, share: float) -> Features:
    """Put all old rows behind the new ones; each epoch draws `share` as many as there are new."""
    return replace(
        new,
        data=datasets.concatenate_datasets([new.data, old.data]),
        pool=old.data.num_rows,
        drawn=min(old.data.num_rows, round(share * new.data.num_rows)),
    )


class ReplaySampler(torch.utils.data.Sampler[int]):
    """All new rows, and other old ones in each epoch, in batches of similar length."""

    def __init__(self, features: Features, batch_size: int) -> None:
        self._new = int(features.data.num_rows) - features.pool
        self._pool, self._drawn, self._batch_size = features.pool, features.drawn, batch_size
        self._lengths = features.data["length"][:]

    def __len__(self) -> int:
        """Return the rows of an epoch."""
        return self._new + self._drawn

    def __iter__(self) -> Iterator[int]:
        """Yield an epoch's rows; what is random comes from torch's own state, as Trainer's does."""
        drawn = (torch.randperm(self._pool)[: self._drawn] + self._new).tolist()
        rows = [*range(self._new), *drawn]
        lengths = [self._lengths[row] for row in rows]
        return iter([rows[i] for i in group_by_length(lengths, self._batch_size)])


def keep_label_weights(
    model: transformers.PreTrainedModel, old: Checkpoint, labels: Sequence[str]
) -> None:
    """Copy the head's weights of the old labels into a model whose head has more of them."""
    if tuple(labels) == old.model.labels:
        return  # they are loaded as they are
    rows = [labels.index(label) for label in old.model.labels]
    before = checkpoints.load_model(old, trained=True).state_dict()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            own = before.get(name, parameter)  # another kind of head has other names
            if own.shape != parameter.shape and len(own) == len(rows):
                parameter[rows] = own


def measure_forgetting(
    old: OldTask, material: Material, rule: DecisionRule, progress: Progress
) -> Forgetting | None:
    """Score the old checkpoint and the trained model on old rows that neither saw in training."""
    if old.asked is None:
        return None
    checkpoint = old.checkpoint
    spec = replace(material.spec, rule=rule)
    found = []
    for model, its in (
        (checkpoints.load_model(checkpoint), checkpoint.model),
        (checkpoints.row_model(material.model, spec).eval(), spec),
    ):
        engine = checkpoints.TorchEngine(model, device="auto")
        asked = TextModel.of(its, checkpoint.tokenizer_json, engine)
        found.append(evaluation.evaluate(asked, old.asked, progress))
    before, after = (each.scores for each in found)
    if before is None or after is None:
        return None
    return Forgetting(
        metric=before.metric,
        before=before.value,
        after=after.value,
        rows=found[0].rows,
        data=old.note,
    )
