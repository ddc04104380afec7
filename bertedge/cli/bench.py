"""`bertedge bench`."""

import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bertedge.bench.config import BenchConfig
from bertedge.cli import from_fields, options, outcome
from bertedge.cli.extras import need
from bertedge.cli.sections import Sectioned

if TYPE_CHECKING:
    from bertedge.bench.report import Report

_FIELDS = (
    *("grid", "data", "device", "threads", "rounds", "repeats", "texts", "timeout_s"),
    *("wait_idle_s", "peers"),
)
_SECTIONS = {
    "Engines": ("baseline", "device", "threads", "peers"),
    "Work": ("data", "text_column", "label_column", "grid", "quick", "wait_idle_s"),
    "Output": ("page", "details", "output", "overwrite", "as_json"),
    "Earlier benches": ("source", "compare", "gate"),
}


def seconds(value: str) -> float:
    """Read a time limit; a usage error for anything else, negative, infinite and nan included."""
    try:
        read = float(value)
    except ValueError:
        read = math.nan
    if not 0 <= read < math.inf:
        raise click.BadParameter(
            f"{value[:60]!r} is no number of seconds (without one, give the flag last)"
        )
    return read


@click.command(cls=Sectioned, sections=_SECTIONS, short_help="Time a bundle against PyTorch.")
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@from_fields.options(BenchConfig, ("baseline", "data"))
@options.columns
@from_fields.options(BenchConfig, ("grid", "device", "threads", "rounds", "repeats", "texts"))
@click.option("--timeout", "timeout_s", type=float, help="Seconds for one answer [120].")
@click.option(
    "--wait-idle",
    "wait_idle_s",
    type=seconds,
    is_flag=False,
    flag_value="300",
    metavar="[SECONDS]",
    help="First wait for a quiet machine, at most [300].",
)
@from_fields.options(BenchConfig, ("quick",))
@click.option(
    "--peers",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="TOML file (or folder) of engines of your own.",
)
@options.path_option("--output", help="Write the JSON object to this file as well.")
@options.path_option("--report", "page", help="Write one HTML file with figures to this path.")
@options.path_option("--compare", help="Say what changed since this JSON of an earlier bench.")
@click.option("--gate", metavar="COND,…", help='Exit with 1 unless "p95_ms<5,speedup>=3" holds.')
@options.path_option("--from", "source", help="Show this JSON of an earlier bench; do not measure.")
@click.option("--details", is_flag=True, help="Print percentiles and intervals by workload too.")
@options.overwrite_option
@options.json_option
def command(  # noqa: PLR0913, PLR0917 (one a flag)
    bundle: Path | None,
    baseline: str | None,
    source: Path | None,
    output: Path | None,
    page: Path | None,
    compare: Path | None,
    gate: str | None,
    details: bool,
    overwrite: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Time every variant of BUNDLE against PyTorch running the checkpoint it was made from.

    Optimum, torch.compile and transformers' pipeline run beside them where installed.

    \b
    bertedge bench bundles/mine --baseline runs/mine --data test.csv \\
        --report report.html --gate "p95_ms@1x128<5,agreement>=0.99,speedup>=3"
    """
    if source is None and (bundle is None or baseline is None):
        raise click.UsageError("give BUNDLE and --baseline to measure, or --from FILE to show")
    wanted = outcome.prepare(
        as_json=as_json,
        details=details,
        overwrite=overwrite,
        output=output,
        page=page,
        compare=compare,
        gate=gate,
        inputs=(
            bundle,
            baseline,
            source,
            compare,
            flags["data"],
            flags["label_map"],
            *flags["peers"],
        ),
    )
    if source is not None:
        from bertedge.bench.reading import read_report

        outcome.show(read_report(source), wanted)
    elif bundle is not None and baseline is not None:
        from bertedge.bundle import open_bundle
        from bertedge.cli.console import say_next
        from bertedge.cli.next_step import after_export

        outcome.show(_measure(bundle, baseline, flags), wanted)
        if not as_json:
            manifest = open_bundle(bundle).manifest
            say_next(after_export(str(bundle), manifest.model.task, pair=manifest.model.pair))


def _measure(bundle: Path, baseline: str, flags: dict[str, Any]) -> "Report":
    need("bench", "torch", "transformers", "safetensors", "onnxruntime", "psutil")
    from bertedge.bench import bench
    from bertedge.bench.config import QUICK
    from bertedge.cli.progress import Terminal

    quick = QUICK if flags["quick"] else {}
    given = {name: flags[name] for name in _FIELDS if flags[name] is not None}
    if "rounds" in given:  # so many, neither more nor fewer
        given["extra_rounds"] = 0
    config = BenchConfig(
        bundle=bundle,
        baseline=baseline,
        columns=options.columns_of(flags),
        label_map=options.label_map_of(flags),
        command=shlex.join(["bertedge", *sys.argv[1:]]),
        **quick | given,
    )
    return bench(config, Terminal())
