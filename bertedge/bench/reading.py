"""Records of earlier benches, read from disk."""

import json
from pathlib import Path

from bertedge import serialization
from bertedge.bench.report import SCHEMA, Report
from bertedge.errors import SettingError

MOST_BYTES = 256 * 2**20
"""Of a record: every timed run of every engine is in it."""
MOST_DIGITS = 18


def read_report(path: Path) -> Report:
    """Read what `bertedge bench --json` or `--output` wrote; SettingError where it did not.

    Examples:
        >>> from pathlib import Path
        >>> from bertedge.bench import read_report
        >>> read_report(Path("bench_home_intents.json")).engines[0].name
        'torch-fp32'
    """
    text = read_bounded(path, MOST_BYTES)
    try:
        data = json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError):
        raise SettingError(f"{path} is no JSON; give what bench --json or --output wrote") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise SettingError(f"{path} has no schema number; give what bench --json or --output wrote")
    if schema != SCHEMA:
        raise SettingError(
            f"{path} has schema {schema}, this bertedge reads {SCHEMA}; "
            + ("update bertedge" if schema > SCHEMA else "measure again")
        )
    try:
        return _checked(serialization.from_plain(Report, data))
    except serialization.RecordError as error:
        raise SettingError(f"{path} is no record of bench: {error}; measure again") from error


def _integer(digits: str) -> int:
    """Read an integer that a float can hold too, as figures are divided."""
    if len(digits) > MOST_DIGITS:
        raise ValueError("an integer of too many digits")
    return int(digits)


def _checked(report: Report) -> Report:
    """Return a record whose parts fit together; RecordError says which do not."""
    engines = {engine.name: engine for engine in report.engines}
    workloads = {load.name for load in report.workloads}
    places = {(each.engine, each.workload) for each in report.results}
    places |= {(each.engine, each.workload) for each in report.open_loads}
    problem = None
    if len(engines) < len(report.engines) or len(workloads) < len(report.workloads):
        problem = "two engines or two workloads have one name"
    elif any(engine not in engines or workload not in workloads for engine, workload in places):
        problem = "a result is of an engine or a workload that is not listed"
    elif {noise.workload for noise in report.noise} - workloads:
        problem = "noise is of a workload that is not listed"
    for engine in report.engines:
        if engine.baseline not in (None, *engines):
            problem = f"{engine.name} has a baseline that is no engine"
        elif engine.bytes_on_disk < (engine.kind == "bundle" or engine.baseline is None):
            problem = f"{engine.name}: bytes_on_disk is {engine.bytes_on_disk}"
    for result in report.results:
        turns = result.rounds_ms
        if not turns or not all(turns) or len(turns) != len(result.rounds):
            problem = f"{result.engine} at {result.workload} lacks the runs of a round"
    if problem:
        raise serialization.RecordError(problem)
    return report


def read_bounded(path: Path, most: int) -> bytes:
    """Read a regular file of at most `most` bytes; SettingError for any other, and any other kind.

    A FIFO would be waited for, and a device may have no end.
    """
    try:
        if not path.is_file():
            path.stat()  # says it where there is none
            raise SettingError(f"{path} is no file; give one that bench can read")
        with path.open("rb") as file:
            found = file.read(most + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = (isinstance(error, OSError) and error.strerror) or error
        raise SettingError(f"{path} cannot be read: {why}") from error
    if len(found) > most:
        raise SettingError(f"{path} is larger than {most // 2**20} MiB: it is no such file")
    return found
