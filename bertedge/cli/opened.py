"""A bundle or a checkpoint, opened as the flags say, and the labelled file it is scored on."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertedge.cli import options
from bertedge.cli.extras import need

if TYPE_CHECKING:
    from bertedge.checkpoint import Training
    from bertedge.data import Columns, ExampleFile
    from bertedge.evaluation import TextModel
    from bertedge.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A model, and what is known of its training."""

    model: "TextModel"
    pair: bool
    columns: "Columns | None"
    """Of the file that it was trained on."""
    variant: str
    """The bundle's, or "checkpoint"."""
    training: "Training | None" = None

    @property
    def bundled(self) -> bool:
        """Whether it is a bundle."""
        return self.variant != CHECKPOINT


CHECKPOINT = "checkpoint"


def is_bundle(name: str) -> bool:
    """Return whether a bundle's manifest is there."""
    from bertedge.bundle import MANIFEST

    # Of a name that no path can have pathlib raises, and os.path says that nothing is there.
    return os.path.exists(os.path.join(name, MANIFEST))  # noqa: PTH110, PTH118


def open_model(name: str, flags: dict[str, Any]) -> Opened:
    """Open a bundle, or a checkpoint in PyTorch."""
    return (_open_bundle if is_bundle(name) else _open_checkpoint)(name, flags)


def open_both(
    name: str, data: Path, flags: dict[str, Any], progress: "Progress"
) -> "tuple[Opened, ExampleFile]":
    """Open a model and the labelled file; what is wrong with the file is said first."""
    from bertedge.cli.early import check_labelled
    from bertedge.data.lines import check_file

    task, columns = options.task_of(flags), options.columns_of(flags)
    names = options.label_map_of(flags)
    if not is_bundle(name):
        check_labelled(data, columns, name, task, names)
    elif not data.is_dir():
        check_file(data)
    opened = open_model(name, flags)
    examples = open_file(data, opened, flags)
    progress.say(examples.description)
    return opened, examples


def open_file(data: Path, opened: Opened, flags: dict[str, Any]) -> "ExampleFile":
    """Open a labelled file as the model reads it; DataError for labels it does not know."""
    from bertedge.data import Columns, open_examples
    from bertedge.data.labels import check_known, with_label_map

    spec = opened.model.spec
    examples = open_examples(
        data,
        spec.task,
        options.columns_of(flags),
        problem_type=spec.rule.problem_type,
        pair=opened.pair or None,
        trained=opened.columns or Columns(),
    )
    examples = with_label_map(examples, options.label_map_of(flags))
    return check_known(examples, spec.labels, spec.rule)


def _open_bundle(name: str, flags: dict[str, Any]) -> Opened:
    from bertedge.errors import SettingError
    from bertedge.evaluation import TextModel
    from bertedge.predictor import Predictor

    if flags["task"] is not None:
        raise SettingError(f"{name} is a bundle, which states its task; --task is for checkpoints")
    predictor = Predictor.open(
        name, device=flags["device"], threads=flags["threads"], variant=flags["variant"]
    )
    manifest = predictor.manifest
    model = TextModel(spec=manifest.model, tokenizer=predictor.tokenizer, engine=predictor.engine)
    return Opened(
        model=model,
        pair=manifest.model.pair,
        columns=manifest.columns,
        variant=predictor.variant.name,
    )


def _open_checkpoint(name: str, flags: dict[str, Any]) -> Opened:
    need("train", "torch", "transformers", "safetensors")
    from bertedge.checkpoint.folder import fetch
    from bertedge.errors import SettingError

    if flags["variant"] is not None:
        raise SettingError(f"{name} is a checkpoint; --variant is for bundles")
    fetch(name)
    from bertedge.checkpoint import TorchEngine, load_model, open_checkpoint, use_threads
    from bertedge.evaluation import TextModel

    use_threads(flags["threads"])
    checkpoint = open_checkpoint(name, options.task_of(flags))
    engine = TorchEngine(load_model(checkpoint), device=flags["device"])
    training = checkpoint.training
    return Opened(
        model=TextModel.of(checkpoint.model, checkpoint.tokenizer_json, engine),
        pair=checkpoint.model.pair,
        columns=training.train.columns if training else None,
        variant=CHECKPOINT,
        training=training,
    )
