"""`bertedge bench`."""

import contextlib
import math
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bertedge.cli import options, outcome
from bertedge.cli.extras import need
from bertedge.cli.sections import Sectioned

if TYPE_CHECKING:
    from bertedge.bench.config import Settings
    from bertedge.bench.report import Report

_NUMBER = click.IntRange(1)
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
@click.option("--baseline", metavar="DIR|HUB-ID", help="Checkpoint for PyTorch.")
@options.path_option("--data", help="Label this file's texts too, tokenizer included.")
@options.columns
@click.option("--grid", metavar="BxL,…", help="Batch x length [1x16,1x128,8x128].")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto (both).")
@click.option(
    "--threads", type=_NUMBER, metavar="N", help="An engine's [the cores of this process]."
)
@click.option("--rounds", type=_NUMBER, help="Turns at each workload [8 and more].")
@click.option("--repeats", type=_NUMBER, help="Timed runs a turn, at most [20].")
@click.option("--texts", type=_NUMBER, help="Texts drawn from --data [128].")
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
@click.option("--quick", is_flag=True, help="Fewer engines, rounds and texts: under a minute.")
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
    need("bench", "torch", "transformers", "safetensors", "onnxruntime")
    from bertedge.bench.run import BenchConfig, bench
    from bertedge.cli.progress import Terminal

    config = BenchConfig(
        bundle=bundle,
        baseline=baseline,
        settings=_settings(flags, quick=flags["quick"]),
        grid=flags["grid"],
        data=flags["data"],
        peers=flags["peers"],
        columns=options.columns_of(flags),
        label_map=options.label_map_of(flags),
        device=flags["device"],
        wait_idle_s=flags["wait_idle_s"],
        command=shlex.join(["bertedge", *sys.argv[1:]]),
    )
    with stopped_like_ctrl_c():
        return bench(config, Terminal())


@contextlib.contextmanager
def stopped_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and the end of the terminal do what Ctrl-C does: end the engines' processes.

    What was finished is printed; a second such signal is ignored while that is done.
    """

    def stop(_: int, __: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
    before = {number: signal.getsignal(number) for number in numbers}
    if threading.current_thread() is threading.main_thread():
        for number, handler in before.items():
            if handler is signal.SIG_DFL:  # nohup ignores the terminal's end: so be it
                signal.signal(number, stop)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)


def _settings(flags: dict[str, Any], *, quick: bool) -> "Settings":
    from bertedge.bench.config import QUICK, Settings
    from bertedge.runtime.machine import threads

    names = ("rounds", "repeats", "texts", "timeout_s")
    given = {name: flags[name] for name in names if flags[name] is not None}
    if "rounds" in given:  # so many, neither more nor fewer
        given["extra_rounds"] = 0
    chosen = (QUICK if quick else {}) | given
    return Settings(threads=flags["threads"] or threads(), **chosen)
