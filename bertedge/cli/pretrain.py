"""`bertedge pretrain`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bertedge.cli import from_fields, options
from bertedge.cli.extras import need
from bertedge.cli.sections import MORE, Sectioned
from bertedge.pretrain.config import SIZES, PretrainConfig

if TYPE_CHECKING:
    from bertedge.pretrain.record import Pretraining

_SECTIONS = {
    "Data": ("text", "max_length", "mlm_probability", "next_sentence"),
    "Model": ("model", "size", "vocab_size", "cased"),
    "Training": ("epochs", "max_steps", "minutes", "batch_size", "learning_rate", "seed"),
    "Output": ("output", "overwrite", "resume", "as_json"),
    MORE: ("config",),
}

_RENAMED = {"--recipe": "--config", **from_fields.former_names(PretrainConfig)}
del _RENAMED["--config"]  # which names a file now


@click.command(
    cls=Sectioned,
    sections=_SECTIONS,
    groups=from_fields.groups(PretrainConfig),
    renamed=_RENAMED,
    short_help="Make or continue a base model from plain text.",
)
@options.config_option
@from_fields.options(PretrainConfig)
@click.option("--resume", is_flag=True, help="Continue an interrupted run.")
@options.overwrite_option
@options.json_option
def command(
    config: Path | None, resume: bool, overwrite: bool, as_json: bool, **flags: Any
) -> None:
    """Make a base model from plain text, or continue one, by masking words.

    \b
    bertedge pretrain --text notes.txt --model bert-base-uncased --output base
    bertedge pretrain --text wiki.txt --size mini --minutes 60 --output base
    """
    need("train", "torch", "transformers", "datasets", "accelerate", "safetensors")
    from bertedge import serialization
    from bertedge.checkpoint.folder import fetch
    from bertedge.cli.console import at_terminal, say_next, show, show_json
    from bertedge.cli.next_step import after_pretraining
    from bertedge.cli.progress import Terminal
    from bertedge.data.lines import check_file
    from bertedge.errors import SettingError
    from bertedge.overwriting import check_apart
    from bertedge.training.config_file import merge, read
    from bertedge.training.place import check_output

    if str(config) in SIZES:
        raise SettingError(f"--config names a TOML file; for a new model say --size {config}")
    settings = read(PretrainConfig, merge(PretrainConfig, config, flags))
    check_apart(settings.output, (config,))
    check_output(settings.output, (*settings.text, settings.model), overwrite=overwrite)
    for path in settings.text:
        check_file(path)
    if settings.model is not None:
        fetch(settings.model)
    from bertedge.pretrain import pretrain  # brings torch, which takes seconds

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
