"""A Hugging Face checkpoint: its task, labels and lengths, settled; and its model."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError
from transformers.utils import logging

from bertedge.bundle import Source
from bertedge.checkpoint.embedding import MODULES, add_pooling, read_length, read_pooling
from bertedge.checkpoint.folder import (
    fetch,
    load_tokenizer,
    longest_input,
    plain_name,
    read_config,
    read_source,
)
from bertedge.checkpoint.training import Training, read_training
from bertedge.errors import CheckpointError, first_line
from bertedge.heads import has_intents, split_heads
from bertedge.tasks import Decision, Pooling, PoolingMode, ProblemType, Task

AUTO_MODELS = {
    Task.TEXT_CLASSIFICATION: transformers.AutoModelForSequenceClassification,
    Task.TOKEN_CLASSIFICATION: transformers.AutoModelForTokenClassification,
    Task.INTENT_SLOTS: transformers.AutoModelForTokenClassification,
    Task.FILL_MASK: transformers.AutoModelForMaskedLM,
    Task.FEATURE_EXTRACTION: transformers.AutoModel,
    Task.QUESTION_ANSWERING: transformers.AutoModelForQuestionAnswering,
}
SPAN_LABELS = ("start", "end")
"""What the two logits of each token stand for in a model that answers questions."""
LONGEST_WINDOW = 384
"""Tokens of a question with a window of its context: as in the BERT paper and in transformers'
pipeline, which reads no longer ones."""
_HEADS = {
    "ForSequenceClassification": Task.TEXT_CLASSIFICATION,
    "ForTokenClassification": Task.TOKEN_CLASSIFICATION,
    "ForMaskedLM": Task.FILL_MASK,
    "BertForPreTraining": Task.FILL_MASK,
    "ForQuestionAnswering": Task.QUESTION_ANSWERING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """An opened checkpoint for a task; its weights are not loaded yet."""

    folder: Path
    name: str
    task: Task
    labels: tuple[str, ...]
    pair: bool
    max_length: int
    """In tokens, special tokens included."""
    pad_token_id: int
    decision: Decision
    pooling: Pooling | None
    """None but for embeddings."""
    tokenizer_json: str
    """In the format of `tokenizers`, padding and truncation switched off."""
    training: Training | None
    source: Source


def open_checkpoint(
    name: str, task: Task | None = None, *, pooling: PoolingMode | None = None
) -> Checkpoint:
    """Read a fine-tuned checkpoint, or any encoder for its embeddings, from a directory or hub id.

    `task` settles what the config leaves open; `pooling` wins over what the folder says of it.
    Raises CheckpointError for a checkpoint that is missing, incomplete, pickled, without a head
    for the task, or of an unsupported architecture.
    """
    folder = fetch(name)
    config = read_config(folder)
    # Any encoder gives embeddings, whatever it was trained for.
    training = None if task is Task.FEATURE_EXTRACTION else read_training(folder)
    found = training.task if training else _task_of(config, folder, task)
    if task is not None and task != found:
        raise CheckpointError(f"{name} is a checkpoint for {found}, not for {task}")
    embeds = found is Task.FEATURE_EXTRACTION
    labels = _labels_of(config, found)
    decision = training.decision if training else Decision(problem_type=_problem_of(config))
    _check_labels(name, found, labels, decision.problem_type)
    tokenizer = load_tokenizer(folder)
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    return Checkpoint(
        folder=folder,
        name=plain_name(name),
        task=found,
        labels=labels,
        pair=training.pair if training else found is Task.QUESTION_ANSWERING,
        max_length=training.max_length
        if training
        else usual_length(found, _longest(folder, longest_input(config, tokenizer), embeds=embeds)),
        pad_token_id=int(tokenizer.pad_token_id),
        decision=decision,
        pooling=_pooling(folder, pooling) if embeds else None,
        tokenizer_json=backend.to_str(pretty=True),
        training=training,
        source=read_source(folder, config, name),
    )


def usual_length(task: Task, longest: int) -> int:
    """Say how much of what a model can read it is given where nobody says so, in tokens."""
    return min(longest, LONGEST_WINDOW) if task is Task.QUESTION_ANSWERING else longest


def load_model(checkpoint: Checkpoint) -> transformers.PreTrainedModel:
    """Load the weights, fp32, in evaluation mode; CheckpointError where any are missing."""
    try:
        with _unsaid():
            model, info = AUTO_MODELS[checkpoint.task].from_pretrained(
                checkpoint.folder,
                use_safetensors=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"{checkpoint.folder} cannot be loaded: {first_line(error)}"
        ) from error
    missing = sorted(info["missing_keys"])
    if checkpoint.pooling is not None:
        model = add_pooling(model, checkpoint.pooling)
        missing = [name for name in missing if not name.startswith("pooler.")]
    if missing:
        raise CheckpointError(
            f"{checkpoint.folder} lacks {len(missing)} of its tensors, such as {missing[0]}; "
            "the file is incomplete, or the model was never fine-tuned"
        )
    return model.eval()


@contextlib.contextmanager
def _unsaid() -> Iterator[None]:
    """Keep off the screen what transformers says of missing tensors: it is looked at here."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _task_of(config: transformers.PretrainedConfig, folder: Path, asked: Task | None) -> Task:
    if asked is Task.FEATURE_EXTRACTION:
        return asked
    names = config.architectures or ()
    task = next(
        (task for name in names for head, task in _HEADS.items() if name.endswith(head)), None
    )
    if task is None and (folder / MODULES).exists():
        return Task.FEATURE_EXTRACTION
    if task is None:
        raise CheckpointError(
            f"{folder} is a {', '.join(names) or 'model'} without a head for a task; fine-tune it "
            f"first: bertedge finetune --model {folder} …, or take its embeddings with --task "
            f"{Task.FEATURE_EXTRACTION}"
        )
    joint = task is Task.TOKEN_CLASSIFICATION and has_intents(_labels_of(config, task))
    return Task.INTENT_SLOTS if joint else task


def _labels_of(config: transformers.PretrainedConfig, task: Task) -> tuple[str, ...]:
    match task:
        case Task.FEATURE_EXTRACTION | Task.FILL_MASK:  # whose labels are the vocabulary
            return ()
        case Task.QUESTION_ANSWERING:  # whose config has names for them as for any two
            return SPAN_LABELS
        case _:
            return tuple(str(config.id2label[i]) for i in range(config.num_labels))


def _longest(folder: Path, positions: int, *, embeds: bool) -> int:
    told = read_length(folder) if embeds else None
    return positions if told is None else min(positions, told)


def _pooling(folder: Path, mode: PoolingMode | None) -> Pooling:
    return read_pooling(folder) if mode is None else Pooling(mode=mode)


def _problem_of(config: transformers.PretrainedConfig) -> ProblemType:
    """Read the problem type as transformers infers it where the config leaves it open."""
    if config.problem_type is not None:
        return ProblemType(config.problem_type)
    return ProblemType.REGRESSION if config.num_labels == 1 else ProblemType.SINGLE_LABEL


def _check_labels(
    name: str, task: Task, labels: tuple[str, ...], problem_type: ProblemType
) -> None:
    if task is Task.INTENT_SLOTS:
        try:
            split_heads(labels)
        except ValueError as error:
            raise CheckpointError(f"{name}/config.json: {error}; mend its id2label") from None
    if task is not Task.TEXT_CLASSIFICATION:
        return
    one, regression = len(labels) == 1, problem_type is ProblemType.REGRESSION
    if regression and not one:
        raise CheckpointError(
            f"{name} gives {len(labels)} values to a text; regression to one is supported"
        )
    if one and problem_type is ProblemType.SINGLE_LABEL:
        raise CheckpointError(
            f"{name} has the one label {labels[0]!r} for every text; set problem_type in its "
            f"config.json to {ProblemType.MULTI_LABEL} or {ProblemType.REGRESSION}"
        )
