"""`bertedge finetune`."""

from pathlib import Path
from typing import Any

import click

from bertedge.cli import options
from bertedge.cli.extras import need
from bertedge.cli.sections import MORE, Sectioned

_SECTIONS = {
    "Data": ("task", "problem_type", "train", "dev", "text_column", "pair_column", "label_column"),
    "Model": ("model", "teacher", "layers", "max_length"),
    "Training": ("epochs", "batch_size", "learning_rate", "seed"),
    "Output": ("output", "overwrite", "resume", "as_json"),
    MORE: ("recipe",),
}


@click.command(
    cls=Sectioned, sections=_SECTIONS, short_help="Train a checkpoint from a labelled file."
)
@options.path_option("--recipe", help="TOML file; every option is a key of it; flags win.")
@click.option(
    "--task",
    metavar="NAME",
    help="text- or token-classification, intent-slots … [as the file shows].",
)
@click.option("--problem-type", metavar="NAME", help="multi_label_classification, regression.")
@options.path_option("--train", help="Labelled file: CSV, TSV, JSON lines, CoNLL; also .gz.")
@options.path_option("--dev", help="Labelled file that chooses the best epoch.")
@click.option("--model", metavar="DIR|HUB-ID", help="Base model to start from.")
@click.option("--teacher", metavar="DIR|HUB-ID", help="Instead: checkpoint to distill.")
@click.option("--layers", type=int, help="Of the teacher's, that the student keeps [all].")
@options.path_option("--output", help="Directory for the checkpoint.")
@options.columns
@click.option("--max-length", type=int, help="Tokens [all that it reads; questions 384].")
@click.option("--epochs", type=float, help="Passes over the training file [3].")
@click.option("--batch-size", type=int, help="Texts a batch [32].")
@click.option("--accumulate", type=int, help="Batches an optimizer step [1].")
@click.option("--learning-rate", type=float, help="Peak of AdamW's learning rate [5e-5].")
@click.option("--warmup", type=float, help="Share of steps with a rising rate [0.1].")
@click.option("--weight-decay", type=float, help="AdamW's weight decay [0.01].")
@click.option("--clip", type=float, help="Largest norm of the gradient [1.0].")
@click.option("--patience", type=int, help="Epochs without a better dev metric [3].")
@click.option("--precision", metavar="auto|fp32|bf16", help="Of the forward pass [auto].")
@click.option("--freeze", metavar="embeddings|N", help="Not to train: embeddings, N layers.")
@click.option("--class-weights", metavar="none|balanced", help="For rare classes [none].")
@click.option("--temperature", type=float, help="Softens the teacher's labels [2.0].")
@click.option("--soft", type=float, help="Share of the teacher's labels in the loss [0.5].")
@click.option("--hidden", type=float, help="Weight of the hidden states' distance [1.0].")
@click.option("--out-of-scope", metavar="LABEL", help="Label of texts that none of ours fits.")
@click.option("--calibrate", is_flag=True, default=None, help="Scores that fit the dev data.")
@click.option("--seed", type=int, help="Two runs with one seed agree [42].")
@click.option("--resume", is_flag=True, help="Continue an interrupted run.")
@options.overwrite_option
@options.json_option
def command(
    recipe: Path | None, resume: bool, overwrite: bool, as_json: bool, **flags: Any
) -> None:
    """Train a checkpoint from a labelled file.

    \b
    bertedge finetune --task text-classification --train train.csv --dev dev.csv \\
        --model bert-base-uncased --output runs/mine
    """
    need("train", "torch", "transformers", "datasets", "accelerate", "safetensors")
    from bertedge import serialization
    from bertedge.checkpoint.folder import fetch
    from bertedge.cli.console import say_next, show, show_json
    from bertedge.cli.next_step import after_training
    from bertedge.cli.progress import Terminal
    from bertedge.cli.report import render_decision, render_scores
    from bertedge.finetune.data import open_data
    from bertedge.finetune.recipe import read_recipe
    from bertedge.overwriting import check_apart
    from bertedge.training.place import check_place

    if flags["freeze"] and flags["freeze"].isdigit():
        flags["freeze"] = int(flags["freeze"])
    plain = {key: str(v) if isinstance(v, Path) else v for key, v in flags.items()}
    progress = Terminal()
    settings = read_recipe(recipe, plain, progress)
    check_apart(settings.output, (recipe,))
    sources = (settings.train, settings.dev, settings.label_map, settings.model, settings.teacher)
    check_place(settings.output, sources, overwrite=overwrite)
    data = open_data(settings)
    fetch(settings.base)
    from bertedge.finetune.run import finetune  # brings torch, which takes seconds

    finished = finetune(settings, progress, overwrite=overwrite, resume=resume, data=data)
    if finished is None:  # another process of the same launch reports
        return
    if as_json:
        show_json(serialization.to_json(finished.training))
        return
    record = finished.training
    lines = []
    if finished.dev:
        lines += [render_scores(finished.dev.scores, rows=finished.dev.rows), ""]
    lines += render_decision(record.model.task, record.model.rule, record.calibration)
    best = f", the best is epoch {record.best_epoch:.3g}" if record.best_epoch else ""
    lines.append(f"{record.epochs:.3g} epochs in {record.seconds:.0f} s{best}")
    show("\n".join([*lines, f"checkpoint: {finished.output}"]))
    say_next(after_training(str(finished.output)))
