"""`bertedge bench`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bertedge.cli import options
from bertedge.cli.extras import need

if TYPE_CHECKING:
    from bertedge.bench.settings import Settings

_NUMBER = click.IntRange(1)


@click.command(short_help="Time a bundle against PyTorch.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--baseline", required=True, metavar="DIR|HUB-ID", help="Checkpoint for PyTorch.")
@options.path_option("--data", help="Label this file's texts too, tokenizer included.")
@options.columns
@click.option("--grid", metavar="BxL,…", help="Batch x length [1x16,1x128,8x128].")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto (both).")
@click.option("--threads", type=_NUMBER, help="An engine's; default: the cores of this process.")
@click.option("--rounds", type=_NUMBER, help="Turns an engine takes at each workload [8-10].")
@click.option("--repeats", type=_NUMBER, help="Timed runs a turn, at most [20].")
@click.option("--texts", type=_NUMBER, help="Texts drawn from --data [128].")
@click.option("--timeout", "timeout_s", type=float, help="Seconds for one answer [120].")
@click.option("--quick", is_flag=True, help="Fewer engines, rounds and texts: under a minute.")
@click.option(
    "--peers",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="TOML file (or folder) that names engines of your own; may be repeated.",
)
@options.path_option("--output", help="Write the JSON object to this file as well.")
@options.overwrite_option
@options.json_option
def command(  # noqa: PLR0913, PLR0917 (one a flag)
    bundle: Path,
    baseline: str,
    data: Path | None,
    quick: bool,
    output: Path | None,
    overwrite: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Time every variant of BUNDLE against PyTorch running the checkpoint it was made from.

    Optimum, torch.compile and transformers' pipeline run beside them where installed. Engines have
    a process each and take turns in rounds, one at a time.

    \b
    bertedge bench bundles/mine --baseline runs/mine --data test.csv
    """
    need("bench", "torch", "transformers", "safetensors", "onnxruntime")
    from bertedge import records
    from bertedge.bench.run import BenchConfig, bench
    from bertedge.bench.table import render
    from bertedge.cli.progress import Terminal
    from bertedge.staging import check_output, staged_file

    if output is not None:
        check_output(output, overwrite=overwrite)
    config = BenchConfig(
        bundle=bundle,
        baseline=baseline,
        settings=_settings(flags, quick=quick),
        grid=flags["grid"],
        data=data,
        peers=flags["peers"],
        columns=options.columns_of(flags),
        device=flags["device"],
        command=shlex.join(["bertedge", *sys.argv[1:]]),
    )
    report = bench(config, Terminal())
    click.echo(records.to_json(report) if as_json else render(report), nl=False)
    if output is not None:
        with staged_file(output, overwrite=overwrite) as file:
            file.write(records.to_json(report))
    if not report.complete:
        raise click.ClickException("interrupted; what was finished is printed")
    if not report.results:
        raise click.ClickException("no engine could be measured; the report says why")


def _settings(flags: dict[str, Any], *, quick: bool) -> "Settings":
    from bertedge.bench.settings import QUICK, Settings
    from bertedge.runtime.machine import cores

    names = ("rounds", "repeats", "texts", "timeout_s")
    given = {name: flags[name] for name in names if flags[name] is not None}
    if "rounds" in given:  # so many, neither more nor fewer
        given["extra_rounds"] = 0
    chosen = (QUICK if quick else {}) | given
    return Settings(threads=flags["threads"] or cores(), **chosen)
