"""`bertedge pretrain`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bertedge.cli import options
from bertedge.cli.extras import need
from bertedge.cli.sections import MORE, Sectioned

if TYPE_CHECKING:
    from bertedge.pretrain.record import Pretraining

_SECTIONS = {
    "Data": ("text", "max_length", "mask", "next_sentence"),
    "Model": ("model", "config", "vocabulary_size", "cased"),
    "Training": ("epochs", "steps", "minutes", "batch_size", "learning_rate", "seed"),
    "Output": ("output", "overwrite", "resume", "as_json"),
    MORE: ("recipe",),
}


@click.command(
    cls=Sectioned, sections=_SECTIONS, short_help="Make or continue a base model from plain text."
)
@options.path_option("--recipe", help="TOML file; every option is a key of it; flags win.")
@click.option(
    "--text",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Plain text, also .gz; may be repeated.",
)
@options.bad_rows_option
@click.option("--model", metavar="DIR|HUB-ID", help="Base model to continue.")
@click.option("--config", metavar="SIZE", help="New model: tiny, mini, small … or 3x192x3.")
@click.option("--vocabulary-size", type=int, help="Word pieces of a new model [8000].")
@click.option("--cased/--uncased", default=None, help="Of a new vocabulary [uncased].")
@options.path_option("--output", help="Directory for the base model.")
@click.option("--epochs", type=float, help="Passes over the text [1, if nothing else ends it].")
@click.option("--steps", type=int, help="Steps of the optimizer.")
@click.option("--minutes", type=float, help="Time to train for.")
@click.option("--max-length", type=int, help="Tokens of a row [128].")
@click.option("--mask", type=float, help="Share of the tokens to predict [0.15].")
@click.option("--next-sentence", is_flag=True, default=None, help="Learn to tell what follows.")
@click.option("--batch-size", type=int, help="Rows a batch [32].")
@click.option("--accumulate", type=int, help="Batches an optimizer step [1].")
@click.option("--learning-rate", type=float, help="Peak [1e-4; 1e-3 for a new model].")
@click.option("--warmup", type=float, help="Share of the run with a rising rate [0.06].")
@click.option("--weight-decay", type=float, help="AdamW's weight decay [0.01].")
@click.option("--clip", type=float, help="Largest norm of the gradient [1.0].")
@click.option("--dropout", type=float, help="While pretraining [as the model's config says].")
@click.option("--precision", metavar="auto|fp32|bf16", help="Of the forward pass [auto].")
@click.option("--held-out", type=float, help="Share of rows to measure perplexity on [0.02].")
@click.option("--checks", type=int, help="Times to measure and save along the run [10].")
@click.option("--seed", type=int, help="Two runs with one seed agree [42].")
@click.option("--resume", is_flag=True, help="Continue an interrupted run.")
@options.overwrite_option
@options.json_option
def command(
    recipe: Path | None, resume: bool, overwrite: bool, as_json: bool, **flags: Any
) -> None:
    """Make a base model from plain text, or continue one, by masking words.

    \b
    bertedge pretrain --text notes.txt --model bert-base-uncased --output base
    bertedge pretrain --text wiki.txt --config mini --minutes 60 --output base
    """
    need("train", "torch", "transformers", "datasets", "accelerate", "safetensors")
    from bertedge import serialization
    from bertedge.checkpoint.folder import fetch
    from bertedge.cli.console import at_terminal, say_next, show, show_json
    from bertedge.cli.next_step import after_pretraining
    from bertedge.cli.progress import Terminal
    from bertedge.data.lines import check_file
    from bertedge.overwriting import check_apart
    from bertedge.pretrain.recipe import read_recipe
    from bertedge.training.place import check_place

    flags["text"] = [str(path) for path in flags["text"]] or None
    plain = {key: str(v) if isinstance(v, Path) else v for key, v in flags.items()}
    settings = read_recipe(recipe, plain)
    check_apart(settings.output, (recipe,))
    check_place(settings.output, (*settings.text, settings.model), overwrite=overwrite)
    for path in settings.text:
        check_file(path)
    if settings.model is not None:
        fetch(settings.model)
    from bertedge.pretrain.run import pretrain  # brings torch, which takes seconds

    finished = pretrain(settings, Terminal(), overwrite=overwrite, resume=resume)
    if finished is None:  # another process of the same launch reports
        return
    if as_json:
        show_json(serialization.to_json(finished.record))
        return
    curve = not at_terminal()  # which has seen it as it came
    show(render(finished.record, curve=curve) + f"\nbase model: {finished.output}")
    say_next(after_pretraining(finished.output))


def render(record: "Pretraining", *, curve: bool = True) -> str:
    """Lay out the curve, or its ends alone, and what the run took."""
    first, last = record.checks[0], record.checks[-1]
    lines = [f"held-out perplexity {first.perplexity:,.2f} → {last.perplexity:,.2f}"]
    if curve:
        lines = ["   step   seconds  perplexity  masked tokens right"]
    for check in record.checks if curve else ():
        lines.append(
            f"{check.step:7,}  {check.seconds:8,.0f}  {check.perplexity:10,.2f}  "
            f"{check.accuracy:19.1%}"
        )
    lines.append(
        f"\n{record.steps:,} steps, {record.epochs:.3g} epochs in {record.seconds:.0f} s, "
        f"{record.tokens_per_second:,.0f} tokens/s"
    )
    return "\n".join(lines)
