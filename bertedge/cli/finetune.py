"""`bertedge finetune`."""

from pathlib import Path
from typing import Any

import click

from bertedge.cli import from_fields, options
from bertedge.cli.extras import need
from bertedge.cli.sections import MORE, Sectioned
from bertedge.finetune.config import FinetuneConfig

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
    from bertedge.cli.scores import (
        render_decision,
        render_folds,
        render_forgetting,
        render_scores,
        render_trials,
    )
    from bertedge.finetune.data import open_data, read_config
    from bertedge.overwriting import check_apart
    from bertedge.training.place import check_output

    progress = Terminal()
    settings = read_config(config, flags, progress)
    if settings.auto:
        need("auto", "optuna")
    check_apart(settings.output, (config,))
    check_output(settings.output, settings.sources, overwrite=overwrite)
    data = open_data(settings)
    for name in {settings.base, *settings.teacher}:
        fetch(name)
    from bertedge.finetune import finetune  # brings torch, which takes seconds

    finished = finetune(settings, progress, overwrite=overwrite, resume=resume, data=data)
    if finished is None:  # another process of the same launch reports
        return
    if as_json:
        show_json(serialization.to_json(finished.training))
        return
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
    best = f", the best is epoch {record.best_epoch:.3g}" if record.best_epoch else ""
    epochs = "1 epoch" if record.epochs == 1 else f"{record.epochs:.3g} epochs"
    lines.append(f"{epochs} in {record.seconds:.0f} s{best}")
    show("\n".join([*lines, f"checkpoint: {finished.output}"]))
    say_next(after_training(str(finished.output)))
