"""Records of earlier benches, read from disk."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from bertedge import serialization
from bertedge.bench.report import SCHEMA, Report
from bertedge.bench.statistics import Difference
from bertedge.errors import SettingError

MOST_BYTES = 256 * 2**20
"""Of a record: every timed run of every engine is in it."""
MOST_DIGITS = 18
OLDEST = 1
"""The oldest schema that is read; what it lacks is filled in as not measured."""


def read_report(path: Path) -> Report:
    """Read what `bertedge bench --json` or `--output` wrote; SettingError where it did not."""
    text = read_bounded(path, MOST_BYTES)
    try:
        data = json.loads(text, parse_int=_integer)
    except (ValueError, RecursionError):
        raise SettingError(f"{path} is no JSON; give what bench --json or --output wrote") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise SettingError(f"{path} has no schema number; give what bench --json or --output wrote")
    if not OLDEST <= schema <= SCHEMA:
        raise SettingError(
            f"{path} has schema {schema}, this bertedge reads {OLDEST} to {SCHEMA}; "
            + ("update bertedge" if schema > SCHEMA else "measure again")
        )
    try:
        if schema == 1:
            data = _from_1(data)
        return _checked(serialization.from_plain(Report, data))
    except (serialization.RecordError, KeyError, TypeError, AttributeError) as error:
        what = (
            error
            if isinstance(error, serialization.RecordError)
            else f"no {error} where one belongs"
        )
        raise SettingError(f"{path} is no record of bench: {what}; measure again") from error


def _integer(digits: str) -> int:
    """Read an integer that a float can hold too, as figures are divided."""
    if len(digits) > MOST_DIGITS:
        raise ValueError("an integer of too many digits")
    return int(digits)


def _checked(report: Report) -> Report:
    """Refuse a record whose parts do not fit together; RecordError says which."""
    engines = {engine.name: engine for engine in report.engines}
    workloads = {load.name for load in report.workloads}
    if len(engines) < len(report.engines) or len(workloads) < len(report.workloads):
        raise serialization.RecordError("two engines or two workloads have one name")
    for engine in report.engines:
        if engine.baseline not in (None, *engines):
            raise serialization.RecordError(f"{engine.name} has a baseline that is no engine")
        compared = engine.kind == "bundle" or engine.baseline is None
        if engine.bytes_on_disk < compared:
            raise serialization.RecordError(
                f"{engine.name}: bytes_on_disk is {engine.bytes_on_disk}"
            )
    for result in report.results:
        if result.engine not in engines or result.workload not in workloads:
            raise serialization.RecordError(
                "a result is of an engine or a workload that is not listed"
            )
        turns = result.rounds_ms
        if not turns or not all(turns) or len(turns) != len(result.rounds):
            what = f"{result.engine} at {result.workload}"
            raise serialization.RecordError(f"{what} lacks the runs of a round")
    if {noise.workload for noise in report.noise} - workloads:
        raise serialization.RecordError("noise is of a workload that is not listed")
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


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    """Fill in what schema 2 added: as not measured, but for the 90th percentile."""
    report: dict[str, Any] = {
        "command": "",
        "thread_settings": {},
        "noise": [],
        "open_loads": [],
        "profiles": [],
    }
    place = {"host_cores": None, "governor": None, "git_commit": None}
    return {
        **report,
        **data,
        "schema": SCHEMA,
        "environment": {**place, **data["environment"]},
        "engines": [_engine_from_1(engine) for engine in data["engines"]],
        "results": [_result_from_1(result) for result in data["results"]],
    }


def _engine_from_1(engine: dict[str, Any]) -> dict[str, Any]:
    added: dict[str, Any] = {
        "batching": "",
        "installed_bytes": None,
        "memory": [],
        "idle_cpu": None,
        "joules_per_text": None,
        "labelled": None,
    }
    return {**added, **engine}


def _result_from_1(result: dict[str, Any]) -> dict[str, Any]:
    samples_ms = [ms for turn in result["rounds_ms"] for ms in turn]
    latency = {"p90_ms": float(np.percentile(samples_ms, 90)), **result["latency"]}
    difference = _difference(result["speedup"])
    return {"difference": difference, "warm_up_s": 0.0, **result, "latency": latency}


def _difference(speedup: dict[str, Any] | None) -> Difference | None:
    """Judge by the interval alone: schema 1 knew no noise."""
    if speedup is None or speedup["low"] is None:
        return None
    if speedup["low"] <= 1 <= speedup["high"]:
        return Difference.NONE
    return Difference.FASTER if speedup["median"] > 1 else Difference.SLOWER
