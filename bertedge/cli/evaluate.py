"""`bertedge evaluate`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bertedge.cli import options
from bertedge.cli.extras import need
from bertedge.cli.sections import Sectioned

if TYPE_CHECKING:
    from bertedge.data import Columns
    from bertedge.evaluation import Evaluation, TextModel
    from bertedge.spec import Task

    _Opened = tuple[TextModel, bool, Columns | None]  # also: whether it reads pairs; what it learnt

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
    from bertedge.bundle import MANIFEST
    from bertedge.cli.console import say_next, show, show_json
    from bertedge.cli.early import check_labelled
    from bertedge.cli.next_step import after_export, after_training
    from bertedge.cli.progress import Terminal
    from bertedge.cli.scores import render_scores
    from bertedge.data import Columns, open_examples
    from bertedge.data.labels import check_known, with_label_map
    from bertedge.data.lines import check_file as check_readable
    from bertedge.outputs import check_file

    if errors is not None:
        if as_text:
            raise click.UsageError("--errors are by the file's words; leave --as-text out")
        check_file(errors, overwrite=overwrite, inputs=(model, data, flags["label_map"]))
    task, columns = options.task_of(flags), options.columns_of(flags)
    names = options.label_map_of(flags)
    # Of a name that no path can have pathlib raises, and os.path says that nothing is there.
    bundled = os.path.exists(os.path.join(model, MANIFEST))  # noqa: PTH110, PTH118
    if not bundled:
        check_labelled(data, columns, model, task, names)
    elif not data.is_dir():
        check_readable(data)
    text_model, pair, trained = (_open_bundle if bundled else _open_checkpoint)(model, flags)
    examples = open_examples(
        data,
        text_model.spec.task,
        columns,
        problem_type=text_model.spec.rule.problem_type,
        pair=pair or None,
        trained=trained or Columns(),
    )
    progress = Terminal()
    examples = with_label_map(examples, names)
    examples = check_known(examples, text_model.spec.labels, text_model.spec.rule)
    progress.say(examples.description)
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
    say_next(
        after_export(model, text_model.spec.task, pair=pair) if bundled else after_training(model)
    )


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


def _open_bundle(name: str, flags: dict[str, Any]) -> "_Opened":
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
    return model, manifest.model.pair, manifest.columns


def _open_checkpoint(name: str, flags: dict[str, Any]) -> "_Opened":
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
    columns = checkpoint.training.train.columns if checkpoint.training else None
    return (
        TextModel.of(checkpoint.model, checkpoint.tokenizer_json, engine),
        checkpoint.model.pair,
        columns,
    )
