"""What `bertedge bench` does with a report: show it, keep it, hold it against others."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bertedge.cli.console import say, show_json
from bertedge.cli.console import show as show_results
from bertedge.cli.extras import need

if TYPE_CHECKING:
    from bertedge.bench.gate import Condition
    from bertedge.bench.report import Report


class Inconclusive(click.ClickException):
    """No condition fails, but some on time decide nothing, as the times are not reliable."""

    exit_code = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the flags ask for, checked before anything is measured."""

    as_json: bool
    details: bool
    overwrite: bool
    output: Path | None
    page: Path | None
    old: "Report | None"
    """What to compare with."""
    old_name: str
    conditions: "tuple[Condition, ...]"


def prepare(  # noqa: PLR0913 (one a flag)
    *,
    as_json: bool,
    details: bool,
    overwrite: bool,
    output: Path | None,
    page: Path | None,
    compare: Path | None,
    gate: str | None,
    inputs: Iterable[Path | str | None] = (),
) -> Outcome:
    """Refuse now what would be refused after minutes of measuring.

    `inputs` are what an output may not replace.
    """
    from bertedge.bench.gate import GateError, parse_gate
    from bertedge.bench.reading import read_report
    from bertedge.outputs import check_file
    from bertedge.overwriting import check_distinct

    outputs = [path for path in (output, page) if path is not None]
    for path in outputs:
        check_file(path, overwrite=overwrite, inputs=inputs)
    check_distinct(outputs)
    if page is not None:
        need("bench", "jinja2", "vl_convert")
    try:
        conditions = parse_gate(gate) if gate is not None else ()
    except GateError as error:
        raise click.UsageError(str(error)) from error
    return Outcome(
        as_json=as_json,
        details=details,
        overwrite=overwrite,
        output=output,
        page=page,
        old=None if compare is None else read_report(compare),
        old_name="" if compare is None else str(compare),
        conditions=conditions,
    )


def show(report: "Report", outcome: Outcome) -> None:
    """Print and write it; exit with 1 where a condition fails or the report is not whole.

    The exit code is 3 where no condition fails, but some are inconclusive.

    With --json, standard output holds one object and the rest goes to standard error.
    """
    from bertedge import serialization
    from bertedge.bench.compare import comparison_lines
    from bertedge.bench.text import render

    try:
        if outcome.as_json:
            show_json(serialization.to_json(report))
        else:
            show_results(render(report, details=outcome.details))
    finally:  # minutes of measuring are not lost with standard output
        _keep(report, outcome)
    if outcome.old is not None:
        _say(comparison_lines(outcome.old, report, outcome.old_name), outcome)
    failed, inconclusive = _hold(report, outcome)
    if not report.complete:
        raise click.ClickException("interrupted; what was finished is printed")
    if not report.results:
        raise click.ClickException("no engine could be measured; the report says why")
    if failed:
        raise click.ClickException(f"the gate is not met: {failed}")
    if inconclusive:
        raise Inconclusive(f"the gate is inconclusive: {inconclusive}")


def _keep(report: "Report", outcome: Outcome) -> None:
    """Write the files that were asked for; one that fails does not keep the other from it."""
    from bertedge import serialization
    from bertedge.outputs import staged_file

    try:
        if outcome.output is not None:
            with staged_file(outcome.output, overwrite=outcome.overwrite) as file:
                file.write(serialization.to_json(report))
    finally:
        if outcome.page is not None:
            from bertedge.bench.html.page import render_page

            with staged_file(outcome.page, overwrite=outcome.overwrite) as file:
                file.write(render_page(report))


def _hold(report: "Report", outcome: Outcome) -> tuple[str | None, str | None]:
    """Print the gate's findings; return how many fail and how many are inconclusive, in words."""
    from bertedge.bench.gate import GateError, gate_lines, judge

    try:
        findings = judge(report, outcome.conditions)
    except GateError as error:
        raise click.UsageError(str(error)) from error
    if findings:
        _say(["Gate:", *(f"  {line}" for line in gate_lines(findings))], outcome)
    failed = sum(finding.fails for finding in findings)
    unclear = sum(finding.unreliable is not None for finding in findings)
    return (
        f"{failed} of {len(findings)} figures fail" if failed else None,
        f"{unclear} of {len(findings)} figures are times of a bench that is not reliable"
        if unclear
        else None,
    )


def _say(lines: list[str], outcome: Outcome) -> None:
    if outcome.as_json:
        for line in ("", *lines):
            say(line)
    else:
        show_results("\n".join(["", *lines]))
