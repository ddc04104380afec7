"""`bertedge report`."""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bertedge.cli import options
from bertedge.cli.extras import need
from bertedge.cli.sections import Sectioned

if TYPE_CHECKING:
    from bertedge.checkpoint.out_of_fold import OutOfFold
    from bertedge.cli.opened import Opened
    from bertedge.data import ExampleFile
    from bertedge.progress import Progress
    from bertedge.report import Named
    from bertedge.report.config import Embed
    from bertedge.report.learning_curve import Share

_SECTIONS = {
    "Data": ("data", "train", "text_column", "pair_column", "label_column"),
    "What is looked at": (
        *("slice_by", "slice_word", "fairness_by", "robustness", "compare", "embedder"),
        "learning_curve",
    ),
    "Model": ("device", "variant", "threads"),
    "Output": ("output", "overwrite", "as_json"),
}


@click.command(
    cls=Sectioned,
    sections=_SECTIONS,
    short_help="Show where a model is right, where it is wrong, and what to fix.",
)
@click.argument("model", metavar="BUNDLE|CHECKPOINT")
@options.path_option("--data", required=True, help="Labelled file, not that of the training.")
@options.path_option("--output", help="HTML page to write; the short form is printed anyway.")
@options.overwrite_option
@options.path_option("--train", help="Training file, to find its texts in --data.")
@click.option("--slice-by", multiple=True, metavar="COLUMN", help="Cut by a column's values.")
@click.option("--slice-word", multiple=True, metavar="WORD", help="Cut by whether a word is there.")
@click.option("--fairness-by", multiple=True, metavar="COLUMN", help="Compare a column's groups.")
@click.option(
    "--robustness/--no-robustness", default=True, help="Change the texts too  [default: yes]."
)
@options.path_option("--compare", help="Another bundle or checkpoint on the same rows.")
@options.path_option("--embedder", help="Bundle of embeddings, to find wrong labels by.")
@options.path_option("--learning-curve", help="Folder: train on 1/8, 1/4, 1/2 of the rows.")
@click.option("--base", metavar="DIR|HUB-ID", help="Of the shares, if it is not where it was.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Of the changes  [default: 0].")
@options.columns
@click.option("--task", metavar="NAME", help="Of CHECKPOINT, where it leaves that open.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@click.option("--variant", help="Of the bundle, instead of the best for the device.")
@click.option("--threads", type=click.IntRange(1), help="Default: the cores of this process.")
@options.json_option
def command(
    model: str, data: Path, output: Path | None, overwrite: bool, as_json: bool, **flags: Any
) -> None:
    """Look at BUNDLE or CHECKPOINT through a labelled file: one HTML page, and a short form.

    Confusions, each label, calibration, the surest errors, slices with intervals, changed texts,
    groups, duplicates, labels that are likely wrong, and another model beside it.

    \b
    bertedge report bundles/mine --data test.csv --output report.html
    """
    need("report", "cleanlab", *(("jinja2", "vl_convert") if output else ()))
    from bertedge import serialization
    from bertedge.cli.console import show, show_json
    from bertedge.cli.opened import open_both
    from bertedge.cli.progress import Terminal
    from bertedge.outputs import check_file, staged_file
    from bertedge.report import Named, ReportConfig, report
    from bertedge.report.text import render

    if output is not None:
        inputs = (model, data, *(flags[name] for name in ("train", "compare", "embedder", "base")))
        check_file(output, overwrite=overwrite, inputs=(*inputs, flags["label_map"]))
    progress = Terminal()
    _check_curve(model, flags)
    opened, examples = open_both(model, data, flags, progress)
    learn = _learn(model, opened, examples, flags, progress)
    config = ReportConfig(
        slice_by=flags["slice_by"],
        slice_words=flags["slice_word"],
        fairness_by=flags["fairness_by"],
        robustness=flags["robustness"],
        seed=flags["seed"],
        train=_train_file(model, opened, flags),
        is_train=_is_train(opened, examples),
        out_of_fold=_out_of_fold(model),
        curves=_curves(model),
        learn=learn,
        train_rows=opened.training.train.rows if opened.training else 0,
        other=_other(flags),
        embed=_embed(flags),
        command=" ".join(["bertedge", *sys.argv[1:]]),
    )
    named = Named(name=Path(model).name, variant=opened.variant, model=opened.model)
    found = report(named, examples, config, progress)
    if output is not None:
        from bertedge.report.page import render_page

        with staged_file(output, overwrite=overwrite) as file:
            file.write(render_page(found))
    if as_json:
        show_json(serialization.to_json(found))
        return
    show(render(found) + (f"\n\npage: {output}" if output else ""))


def _train_file(model: str, opened: "Opened", flags: dict[str, Any]) -> "ExampleFile | None":
    """Return the training file: as told, else as training.json has it, where it is unchanged."""
    from bertedge.data import open_examples
    from bertedge.errors import DataError

    spec = opened.model.spec
    if flags["train"] is not None:
        columns = opened.columns or options.columns_of(flags)
        return open_examples(
            flags["train"], spec.task, problem_type=spec.rule.problem_type,
            pair=opened.pair or None, trained=columns,
        )  # fmt: skip
    if opened.training is None:
        return None
    recorded = opened.training.train
    try:
        path = recorded.locate(Path(model))
    except DataError:  # it is gone, or another file now
        return None
    return open_examples(path, spec.task, recorded.columns, problem_type=spec.rule.problem_type)


def _is_train(opened: "Opened", examples: "ExampleFile") -> bool:
    return opened.training is not None and opened.training.train.sha256 == examples.sha256()


def _check_curve(model: str, flags: dict[str, Any]) -> None:
    from bertedge.cli.opened import is_bundle
    from bertedge.errors import SettingError

    if flags["base"] is not None and flags["learning_curve"] is None:
        raise SettingError("--base is for --learning-curve; give both, or leave it out")
    if flags["learning_curve"] is None:
        return
    need("train", "torch", "transformers", "datasets", "accelerate", "sklearn", "safetensors")
    if is_bundle(model):
        raise SettingError(
            f"{model} is a bundle, which is not trained; give --learning-curve with the checkpoint "
            "that it was exported from"
        )


def _learn(
    model: str,
    opened: "Opened",
    examples: "ExampleFile",
    flags: dict[str, Any],
    progress: "Progress",
) -> "Callable[[], Iterable[Share]] | None":
    """Check all that the learning curve needs; return what trains it."""
    from bertedge.errors import DataError

    if flags["learning_curve"] is None:
        return None
    if _is_train(opened, examples):
        raise DataError(
            f"{examples.path} is what {model} was trained on; a learning curve needs other rows"
        )
    from bertedge.finetune.learning_curve import plan_shares, train_shares

    plan = plan_shares(model, flags["learning_curve"], flags["base"], flags["train"])
    return partial(train_shares, plan, examples, progress)


def _out_of_fold(model: str) -> "OutOfFold | None":
    from bertedge.checkpoint.out_of_fold import read_out_of_fold

    return read_out_of_fold(Path(model))


def _curves(model: str) -> Path | None:
    from bertedge.training.curves import CURVES

    path = Path(model) / CURVES
    return path if path.is_file() else None


def _other(flags: dict[str, Any]) -> "Named | None":
    from bertedge.cli.opened import open_model
    from bertedge.report import Named

    path = flags["compare"]
    if path is None:
        return None
    opened = open_model(str(path), flags | {"variant": None, "task": None})
    return Named(name=path.name, variant=opened.variant, model=opened.model)


def _embed(flags: dict[str, Any]) -> "Embed | None":
    from bertedge.predictor import Predictor

    if flags["embedder"] is None:
        return None
    predictor = Predictor.open(flags["embedder"], task="feature-extraction", device=flags["device"])
    return predictor.embed
