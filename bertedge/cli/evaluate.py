"""`bertedge evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bertedge.cli import options
from bertedge.cli.sections import Sectioned

if TYPE_CHECKING:
    from bertedge.evaluation import Evaluation
    from bertedge.spec import Task

_SECTIONS = {
    "Data": ("data", "text_column", "pair_column", "label_column", "as_text"),
    "Model": ("device", "variant", "threads"),
    "Output": ("as_json", "errors", "overwrite"),
}


@click.command(
    cls=Sectioned,
    sections=_SECTIONS,
    short_help="Score a bundle or a checkpoint on a labelled file.",
)
@click.argument("model", metavar="BUNDLE|CHECKPOINT")
@options.path_option("--data", required=True, help="Labelled file, as finetune reads them.")
@options.columns
@click.option("--task", metavar="NAME", help="Of CHECKPOINT, where it leaves that open.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@click.option("--variant", help="Of the bundle, instead of the best for the device.")
@click.option("--threads", type=click.IntRange(1), help="Default: the cores of this process.")
@click.option("--as-text", is_flag=True, help="Of tagged words: join them, as predict reads.")
@options.json_option
@options.path_option("--errors", help="CSV file for the rows it gets wrong, surest first.")
@options.overwrite_option
def command(
    model: str,
    data: Path,
    as_json: bool,
    as_text: bool,
    errors: Path | None,
    overwrite: bool,
    **flags: Any,
) -> None:
    """Score BUNDLE or CHECKPOINT on a labelled file, with finetune's report.

    \b
    bertedge evaluate bundles/mine --data test.csv
    """
    from bertedge import evaluation, serialization
    from bertedge.cli.console import say_next, show, show_json
    from bertedge.cli.next_step import after_export, after_training
    from bertedge.cli.opened import open_both
    from bertedge.cli.progress import Terminal
    from bertedge.cli.scores import render_scores
    from bertedge.outputs import check_file

    if errors is not None:
        if as_text:
            raise click.UsageError("--errors are by the file's words; leave --as-text out")
        check_file(errors, overwrite=overwrite, inputs=(model, data, flags["label_map"]))
    progress = Terminal()
    opened, examples = open_both(model, data, flags, progress)
    text_model = opened.model
    if as_text:
        joined = evaluation.evaluate_as_text(text_model, examples, progress)
        if as_json:
            show_json(serialization.to_json(joined))
            return
        scores = render_scores(joined.scores, rows=joined.rows, unit="character")
        show(f"{scores}\n\nwords joined to texts, as predict reads them")
        return
    if errors is None:
        found = evaluation.evaluate(text_model, examples, progress)
    else:
        found = evaluation.write_wrong(text_model, examples, errors, progress, overwrite=overwrite)
    if as_json:
        show_json(serialization.to_json(_facts(found)))
        return
    show("\n\n".join(_lines(found, text_model.spec.task, errors)))
    then = after_training(model)
    if opened.bundled:
        then = after_export(model, text_model.spec.task, pair=opened.pair)
    say_next(then)


def _facts(found: "Evaluation") -> dict[str, object]:
    return {
        "rows": found.rows,
        "truncated": found.truncated,
        "seconds": round(found.seconds, 3),
        "scores": found.scores,
        "calibration": found.calibration,
        "baseline": found.baseline,
    }


def _lines(found: "Evaluation", task: "Task", errors: Path | None) -> list[str]:
    from bertedge.cli.scores import render_calibration, render_scores

    parts = [render_scores(found.scores, rows=found.rows, baseline=found.baseline)]
    if found.calibration:
        parts.append(render_calibration(found.calibration))
    if found.truncated:
        parts.append(f"{found.truncated:,} texts were longer than the model reads")
    if task.tags_words:
        parts.append(
            "scored by the file's words; predict splits texts by itself and may find other "
            "entities: --as-text measures that"
        )
    if errors is not None:
        parts.append(f"the rows it gets wrong, surest first: {errors}")
    parts.append(f"{found.rows / found.seconds:,.0f} rows/s")
    return parts
