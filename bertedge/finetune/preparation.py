"""What a training starts from: the data, tokenized once, and a model loaded anew for each."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import transformers

from bertedge import checkpoint as checkpoints
from bertedge.data import ExampleFile
from bertedge.finetune import features, token_cache, training
from bertedge.finetune.adaptation import load_adapted
from bertedge.finetune.augmentation import make_augmenter
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.contrastive import train_contrastive
from bertedge.finetune.defaults import Facts, Hyperparameters, choose_hyperparameters
from bertedge.finetune.distill import make_student
from bertedge.finetune.initialization import initialize_bias, reinitialize, renew_labels
from bertedge.finetune.inputs import Inputs
from bertedge.finetune.linear_probe import initialize_head
from bertedge.finetune.objectives import OBJECTIVES
from bertedge.finetune.replay import ReplaySampler, add_replayed, keep_label_weights
from bertedge.finetune.settings.few_shot import FewShot
from bertedge.finetune.virtual_tokens import draw_rows
from bertedge.progress import Progress
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import LabelKind, ModelSpec, PoolingMode
from bertedge.training.dropout import keep_attention_whole, set_dropout


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What every training on the same data shares."""

    inputs: Inputs
    tokenizer: Tokenizer
    train: features.Features
    dev: features.Features | None
    seconds: float = 0.0
    """What it took to choose by the data how the model is trained."""


def prepare(inputs: Inputs, folder: Path, *, cached: bool = False) -> Prepared:
    """Tokenize the data into Arrow files in `folder`; with `cached` large files only once."""
    json = _tokenizer_json(inputs)
    tokenizer = Tokenizer(json, max_length=inputs.max_length)

    def build(examples: ExampleFile, name: str, *, scored: bool) -> features.Features:
        key = None
        if cached and token_cache.is_large(examples):
            more = {"max_length": inputs.max_length, "scored": scored}
            key = token_cache.key_of(examples, inputs.labels, json, **more)
            if found := token_cache.load(key):
                return found
        place = folder / _cache(name)
        made = features.build(examples, inputs.labels, tokenizer, place, scored=scored)
        if key is not None:
            token_cache.store(key, made)
        return made

    train = build(inputs.train, "train", scored=False)
    if inputs.pseudo_labelled is not None:
        more = build(inputs.pseudo_labelled, "pseudo-labelled", scored=False)
        train = features.add_rows(train, more)
    if inputs.old is not None:
        replayed = build(inputs.old.replayed, "replay", scored=False)
        train = add_replayed(train, replayed, inputs.old.share)
    dev = build(inputs.dev, "dev", scored=True) if inputs.dev else None
    return Prepared(inputs=inputs, tokenizer=tokenizer, train=train, dev=dev)


def load_material(
    config: FinetuneConfig, prepared: Prepared, progress: Progress
) -> training.Material:
    """Load the model, and settle what the config leaves open; the seed makes a new head."""
    inputs = prepared.inputs
    transformers.set_seed(config.seed)
    teachers = [checkpoints.load_model(each, trained=True) for each in inputs.teachers]
    train = prepared.train
    chosen = settle(config, prepared)
    step = chosen.batch_size * config.gradient_accumulation_steps
    model, new = load_base(config, inputs, teachers)
    if config.dropout is None:
        keep_attention_whole(model)
    else:
        set_dropout(model, config.dropout)
    began = time.perf_counter()
    initialize_bias(model, new, config, train)
    collator = OBJECTIVES[config.task].collator(inputs.tokenizer)
    if config.few_shot is FewShot.CONTRASTIVE:
        train_contrastive(model, train, collator, config, progress)
    initialize_head(model, new, config, train, collator, progress)
    if inputs.old is not None:
        keep_label_weights(model, inputs.old.checkpoint, inputs.labels)
    return training.Material(
        model=model,
        tokenizer=inputs.tokenizer,
        spec=model_spec(config, inputs),
        hyperparameters=chosen,
        train=train,
        sampler=ReplaySampler(train, step) if train.pool else None,
        dev=prepared.dev,
        teachers=teachers,
        graded=(prepared.tokenizer, inputs.dev) if inputs.dev else None,
        head_seconds=time.perf_counter() - began,
        augmenter=make_augmenter(config, inputs, prepared.train),
    )


def settle(config: FinetuneConfig, prepared: Prepared) -> Hyperparameters:
    """Return what the config says, and what the data ask for where it is silent."""
    return choose_hyperparameters(config, _facts(config, prepared))


def _facts(config: FinetuneConfig, prepared: Prepared) -> Facts:
    inputs = prepared.inputs
    all_trained = config.model is not None and config.peft is None
    return Facts(
        rows=prepared.train.epoch_rows,
        hidden_size=int(inputs.base_config.hidden_size),
        layers=config.layers or int(inputs.base_config.num_hidden_layers),
        fitted=all_trained and inputs.pooling is PoolingMode.MEAN,
    )


def _cache(split: str) -> str:
    return f"cache-{os.environ.get('RANK', '0')}-{split}"


def _tokenizer_json(inputs: Inputs) -> str:
    backend = inputs.tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    return str(backend.to_str())


def load_base(
    config: FinetuneConfig, inputs: Inputs, teachers: Sequence[transformers.PreTrainedModel]
) -> tuple[transformers.PreTrainedModel, set[str]]:
    """Load what training starts from; give the names of the parameters that are new."""
    built = inputs.base_config
    layers = config.layers or int(built.num_hidden_layers)
    if config.model is None:
        model = make_student(teachers[0], layers)
        reinitialize(model, config.reinit_layers)
        return model, set()
    built.num_labels = len(inputs.labels)
    built.id2label = dict(enumerate(inputs.labels))
    built.label2id = {label: i for i, label in enumerate(inputs.labels)}
    texts = config.task.labels_are is LabelKind.CLASSES
    built.problem_type = config.problem_type.value if texts else None
    kind = checkpoints.model_class(config.task, built, inputs.pooling or PoolingMode.CLS)
    model, new = checkpoints.load_base(inputs.base, built, kind)
    if inputs.renamed:
        new |= renew_labels(model, new)
    if inputs.adapted is not None:
        load_adapted(model, inputs.adapted)
    model = model if config.layers is None else make_student(model, layers)
    if config.num_virtual_tokens is not None:
        draw_rows(model, inputs.tokenizer, config.num_virtual_tokens)
    reinitialize(model, config.reinit_layers)
    return model, new


def model_spec(config: FinetuneConfig, inputs: Inputs) -> ModelSpec:
    """Return what the model will say of itself, before the dev data has set any number."""
    return ModelSpec(
        task=config.task,
        labels=inputs.labels,
        pair=inputs.train.pair,
        max_length=inputs.max_length,
        pad_token_id=int(inputs.tokenizer.pad_token_id),
        rule=config.decision(),
        classifier_pooling=inputs.pooling,
    )
