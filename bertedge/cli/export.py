"""`bertedge export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bertedge.cli import from_fields, options
from bertedge.cli.extras import need
from bertedge.cli.sections import Sectioned
from bertedge.export.config import ExportConfig

if TYPE_CHECKING:
    from bertedge.bundle import Quantization, Variant
    from bertedge.export import ExportReport

_SECTIONS = {
    "Variants": ("quantize", "keep_fp32", "gpu", "target", "calibrate", "trim_vocab"),
    "Data": ("eval_data", "text_column", "pair_column", "label_column"),
    "What int8 may cost": ("max_drop", "min_agreement", "batch_effects"),
    "Output": ("output", "overwrite", "as_json"),
}


@click.command(
    cls=Sectioned, sections=_SECTIONS, short_help="Make a verified ONNX bundle of a checkpoint."
)
@click.argument("checkpoint", metavar="CHECKPOINT")
@options.path_option("--output", required=True, help="Directory for the bundle.")
@options.columns
@from_fields.options(ExportConfig)
@options.overwrite_option
@options.json_option
def command(checkpoint: str, output: Path, overwrite: bool, as_json: bool, **flags: Any) -> None:
    """Make a verified ONNX bundle of CHECKPOINT, a directory or hub id (BERT family).

    \b
    bertedge export runs/mine --output bundles/mine --quantize
    """
    need(
        "export",
        "transformers",
        "onnx",
        "onnx_ir",
        "scipy",
        "sympy",
        "safetensors",
    )
    from bertedge import serialization
    from bertedge.checkpoint.folder import fetch
    from bertedge.cli.console import say_next, show, show_json
    from bertedge.cli.early import check_labelled
    from bertedge.cli.next_step import after_export
    from bertedge.cli.progress import Terminal
    from bertedge.data.lines import check_file
    from bertedge.outputs import check_folder

    if flags["target"] == "auto":
        flags["target"] = None
    given = from_fields.given(ExportConfig, flags)
    columns, label_map = options.columns_of(flags), options.label_map_of(flags)
    config = ExportConfig(
        checkpoint=checkpoint,
        output=output,
        columns=columns,
        label_map=label_map,
        overwrite=overwrite,
        **given,
    )
    inputs = (checkpoint, config.eval_data, config.trim_vocab, flags["label_map"])
    check_folder(output, overwrite=overwrite, inputs=inputs)
    if config.eval_data is not None:
        check_labelled(config.eval_data, config.columns, checkpoint, config.task, config.label_map)
    if config.trim_vocab is not None:
        check_file(config.trim_vocab)
    fetch(checkpoint)
    from bertedge.export import export
    from bertedge.libraries import has_torch

    if has_torch():
        from bertedge.checkpoint import use_threads  # brings torch, which takes seconds

        use_threads()
    report = export(config, Terminal())
    if as_json:
        show_json(serialization.to_json(report))
    else:
        show(render(report))
        say_next(
            after_export(str(output), report.manifest.model.task, pair=report.manifest.model.pair)
        )


def render(report: "ExportReport") -> str:
    """Lay out what was made and measured."""
    from bertedge.cli.scores import (
        render_agreement,
        render_batch_effect,
        render_calibration,
        render_change,
        render_temperature,
    )

    manifest = report.manifest
    rows = [_row(variant) for variant in manifest.variants]
    head = ("variant", "MB", "max. logit difference", "checkpoint → variant", "agreement")
    table = _layout((head, *rows))
    quantization = manifest.variants[0].quantization
    if quantization is not None:
        table += ["", *_trials(quantization)]
    passes = ", ".join(f"{each.name} {each.nodes}" for each in manifest.variants[0].passes)
    measured = next((v.accuracy for v in manifest.variants if v.accuracy), None)
    on = f"{measured.data}, {measured.rows:,} rows" if measured else report.data_note
    trimming = manifest.trimming
    if trimming is not None:
        table += ["", f"vocabulary: {trimming.after:,} of {trimming.before:,} pieces"]
        if trimming.accuracy is not None:
            cost = f"{render_change(trimming.accuracy)}, agreement "
            table[-1] += f": {cost}{render_agreement(trimming.accuracy)}"
    lines = [*table, "", f"nodes: {passes}", f"data: {on}", f"bundle: {report.output}"]
    for variant in manifest.variants:
        if variant.batch_effect is not None:
            lines.insert(-1, f"{variant.name}: {render_batch_effect(variant.batch_effect)}")
        if variant.checked_on not in (None, variant.providers[0]):
            lines.insert(-1, f"{variant.name}: measured on {variant.checked_on}, for lack of CUDA")
    if report.calibration is not None:
        lines.insert(-1, render_temperature(manifest.model.rule, report.calibration))
    if measured and measured.calibration:
        lines.insert(-1, f"scores: {render_calibration(measured.calibration)}")
    return "\n".join([*lines[:-1], f"{lines[-1]}  ({report.seconds:.0f} s)"]) + "\n"


def _row(variant: "Variant") -> tuple[str, ...]:
    from bertedge.cli.scores import render_agreement, render_change

    megabytes = f"{variant.bytes / 1e6:.1f}"
    parity = f"{variant.parity.max_difference:.2g}"
    if variant.accuracy is None:
        return variant.name, megabytes, parity, "not measured", "not measured"
    found = variant.accuracy
    return variant.name, megabytes, parity, render_change(found), render_agreement(found)


def _trials(quantization: "Quantization") -> list[str]:
    from bertedge.export.search import HEAD, cells

    table = _layout((HEAD, *(cells(trial) for trial in quantization.trials)))
    lines = [*table, "", f"int8: {quantization.recipe}, for {quantization.target}"]
    used = quantization.calibration
    if used is not None:
        how = f", {used.method} ranges" if used.method else ""
        lines[-1] += f"; calibrated on {used.texts} texts of {used.data}{how}"
    return lines


def _layout(rows: "tuple[tuple[str, ...], ...]") -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
