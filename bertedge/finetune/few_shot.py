"""Few rows a label: whether a head on the base's embeddings, or on contrastive ones, is better."""

import json
from dataclasses import fields, replace
from pathlib import Path

import accelerate
import numpy as np
import transformers
from accelerate.utils import broadcast_object_list

from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.contrastive import train_contrastive
from bertedge.finetune.head_choice import is_better, losses_of
from bertedge.finetune.linear_probe import Floats, can_split, choose_rows, embed, fit, split_folds
from bertedge.finetune.objectives import OBJECTIVES
from bertedge.finetune.part_progress import PartProgress
from bertedge.finetune.preparation import Prepared, load_base
from bertedge.finetune.settings.data import DataConfig
from bertedge.finetune.settings.few_shot import MOST, FewShot
from bertedge.progress import Progress
from bertedge.spec import PoolingMode, ProblemType
from bertedge.training.seal import write_synced

MOST_ROWS = 2000
"""Texts that the choice is made on."""
CHOICE = "few_shot.json"
"""In the run's folder, so that a resumed run need not choose again."""
_ANY = {each.name for each in fields(DataConfig)} | {
    *("model", "max_length", "pooling", "class_weights", "out_of_scope", "calibrate", "folds"),
    *("few_shot", "precision", "seed", "log_dir", "adapt", "adapt_epochs"),
    *("auto", "minutes"),
}
"""Settings that say nothing of how the model is fine-tuned; who sets another wants just that."""


def settle_few_shot(
    config: FinetuneConfig, prepared: Prepared, folder: Path, progress: Progress
) -> tuple[FinetuneConfig, Prepared]:
    """Settle what is done about few rows, chosen by cross-validation if open.

    Then the head alone is trained on, for an epoch, unless the config has its own mind of that.
    """
    chosen = config.few_shot
    if chosen is None and _are_few(config, prepared):
        inputs = replace(prepared.inputs, pooling=PoolingMode.MEAN, pooling_open=False)
        prepared = replace(prepared, inputs=inputs)
        chosen = _remembered(folder / CHOICE) or _choose(config, prepared, progress)
        if accelerate.PartialState().is_main_process:
            write_synced(folder / CHOICE, json.dumps({"few_shot": chosen}))
    if chosen in (None, FewShot.NONE):
        return config, prepared
    epochs = config.epochs or 1
    layers = 0 if config.train_layers is None else config.train_layers
    alone = replace(config, auto=False, minutes=None)
    return replace(alone, few_shot=chosen, train_layers=layers, epochs=epochs), prepared


def _are_few(config: FinetuneConfig, prepared: Prepared) -> bool:
    inputs, texts = prepared.inputs, prepared.train.data
    asked = [
        each.name
        for each in fields(config)
        if each.name not in _ANY and getattr(config, each.name) != each.default
    ]
    return (
        not asked
        and (inputs.pooling_open or inputs.pooling is PoolingMode.MEAN)
        and config.problem_type is ProblemType.SINGLE_LABEL
        and 2 <= texts.num_rows / len(inputs.labels) <= MOST
        and can_split(np.asarray(texts["labels"]), config)
    )


def _remembered(path: Path) -> FewShot | None:
    if not path.exists():
        return None
    return FewShot(json.loads(path.read_text(encoding="utf-8"))["few_shot"])


def _choose(config: FinetuneConfig, prepared: Prepared, progress: Progress) -> FewShot:
    """Cross-validate the two heads on the training texts.

    Contrastive training wins on most sets: the plain head must be right more often by over one
    standard error of the difference, text by text.
    """
    inputs = prepared.inputs
    texts = choose_rows(prepared.train, MOST_ROWS, config.seed)
    labels, classes = np.asarray(texts["labels"]), len(inputs.labels)
    collator = OBJECTIVES[config.task].collator(inputs.tokenizer)
    folds = split_folds(labels, config)

    def vectors_of(model: transformers.PreTrainedModel, part: Progress) -> Floats:
        return embed(model, texts, collator, config, part)[PoolingMode.MEAN]

    def load() -> transformers.PreTrainedModel:
        transformers.set_seed(config.seed)
        return load_base(config, inputs, ())[0]

    plain = vectors_of(load(), PartProgress(progress, "few rows"))
    parts: dict[FewShot, list[Floats]] = {FewShot.HEAD: [], FewShot.CONTRASTIVE: []}
    for number, (train, test) in enumerate(folds):
        part = PartProgress(progress, f"few rows, fold {number + 1} of {len(folds)}")
        model = load()
        own = replace(prepared.train, data=texts.select(train))
        train_contrastive(model, own, collator, config, part)
        for way, vectors in (
            (FewShot.HEAD, plain),
            (FewShot.CONTRASTIVE, vectors_of(model, part)),
        ):
            fitted = fit(vectors[train], labels[train], classes, config)
            parts[way].append(losses_of(fitted, vectors[test], labels[test], config))
    wrong = {way: np.concatenate(losses) for way, losses in parts.items()}
    alone = is_better(wrong[FewShot.HEAD], wrong[FewShot.CONTRASTIVE])
    chosen = [FewShot.HEAD if alone else FewShot.CONTRASTIVE]
    shares = {way: 1 - float(losses.mean()) for way, losses in wrong.items()}
    broadcast_object_list(chosen)
    if accelerate.PartialState().is_main_process:
        progress.say(
            f"{len(labels) / classes:.3g} rows a label: cross-validated, a linear model of the "
            f"base's embeddings is {shares[FewShot.HEAD]:.1%} right, of embeddings that "
            f"contrastive training made {shares[FewShot.CONTRASTIVE]:.1%}; "
            f"--few-shot {chosen[0]} (none: fine-tune all)"
        )
    return chosen[0]
