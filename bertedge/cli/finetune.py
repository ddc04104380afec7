"""`bertedge finetune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bertedge.cli import from_fields, options
from bertedge.cli.extras import need
from bertedge.cli.sections import MORE, Sectioned
from bertedge.finetune.config import FinetuneConfig

if TYPE_CHECKING:
    from bertedge.finetune import Finetuned

_SECTIONS = {
    "Data": ("task", "problem_type", "train", "dev", "text_column", "pair_column", "label_column"),
    "Model": ("model", "teacher", "layers", "max_length"),
    "Training": ("epochs", "learning_rate", "auto", "seed"),
    "Output": ("output", "overwrite", "resume", "as_json"),
    MORE: ("config",),
}

_RENAMED = {"--recipe": "--config", **from_fields.former_names(FinetuneConfig)}


@click.command(
    cls=Sectioned,
    sections=_SECTIONS,
    groups=from_fields.groups(FinetuneConfig),
    renamed=_RENAMED,
    short_help="Train a checkpoint from a labelled file.",
)
@options.config_option
@from_fields.options(FinetuneConfig)
@click.option("--resume", is_flag=True, help="Continue an interrupted run.")
@options.overwrite_option
@options.json_option
def command(
    config: Path | None, resume: bool, overwrite: bool, as_json: bool, **flags: Any
) -> None:
    """Train a checkpoint from a labelled file.

    \b
    bertedge finetune --task text-classification --train train.csv --dev dev.csv \\
        --model bert-base-uncased --output runs/mine
    """
    need("train", "torch", "transformers", "datasets", "accelerate", "sklearn", "safetensors")
    from bertedge import serialization
    from bertedge.checkpoint.folder import fetch
    from bertedge.cli.console import say_next, show, show_json
    from bertedge.cli.next_step import after_training
    from bertedge.cli.progress import Terminal
    from bertedge.finetune.data import open_data, read_config
    from bertedge.finetune.tasks_file import read_tasks
    from bertedge.overwriting import check_apart
    from bertedge.training.place import check_output

    progress = Terminal()
    several = read_tasks(config, flags, progress)
    settings = read_config(config, flags, progress) if several is None else several.shared
    if settings.auto:
        need("auto", "optuna")
    check_apart(settings.output, (config,))
    check_output(settings.output, (several or settings).sources, overwrite=overwrite)
    each = {"": settings} if several is None else several.tasks
    data = {name: open_data(one) for name, one in each.items()}
    for name in {settings.base, *(teacher for one in each.values() for teacher in one.teacher)}:
        fetch(name)
    from bertedge.finetune import finetune, finetune_tasks  # bring torch, which takes seconds

    if several is not None:
        made = finetune_tasks(several, progress, overwrite=overwrite, resume=resume, data=data)
        if as_json:
            records = {name: one.training for name, one in made.items()}
            show_json(serialization.to_json(records))
            return
        for name, one in made.items():
            show(f"\n{name}\n{_render(one)}")
        say_next(after_training(str(one.output)))
        return
    finished = finetune(settings, progress, overwrite=overwrite, resume=resume, data=data[""])
    if finished is None:  # another process of the same launch reports
        return
    if as_json:
        show_json(serialization.to_json(finished.training))
        return
    show(_render(finished))
    say_next(after_training(str(finished.output)))


def _render(finished: "Finetuned") -> str:
    from bertedge.cli.scores import (
        render_decision,
        render_folds,
        render_forgetting,
        render_scores,
        render_self_training,
        render_trials,
    )

    record = finished.training
    lines = []
    if finished.trials:
        lines += [*render_trials(finished.trials), ""]
    if record.cross_validation:
        lines += [*render_folds(record.cross_validation), ""]
    if finished.dev:
        dev = finished.dev
        lines += [render_scores(dev.scores, rows=dev.rows, baseline=dev.baseline), ""]
    lines += render_decision(record.model.task, record.model.rule, record.calibration)
    if record.forgetting:
        lines.append(render_forgetting(record.forgetting))
    if record.self_training:
        lines.append(render_self_training(record.self_training))
    best = f", the best is epoch {record.best_epoch:.3g}" if record.best_epoch else ""
    epochs = "1 epoch" if record.epochs == 1 else f"{record.epochs:.3g} epochs"
    lines.append(f"{epochs} in {record.seconds:.0f} s{best}")
    return "\n".join([*lines, f"checkpoint: {finished.output}"])
