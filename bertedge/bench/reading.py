"""Records of earlier benches, read from disk."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from bertedge import records
from bertedge.bench.report import SCHEMA, Report
from bertedge.bench.statistics import Difference
from bertedge.errors import SettingError

OLDEST = 1
"""The oldest schema that is read; what it lacks is filled in as not measured."""


def read_report(path: Path) -> Report:
    """Read what `bertedge bench --json` or `--output` wrote; SettingError where it did not."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"{path} cannot be read: {error.strerror or error}") from error
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
        return records.from_plain(Report, data)
    except (records.RecordError, KeyError, TypeError, AttributeError) as error:
        what = error if isinstance(error, records.RecordError) else f"no {error} where one belongs"
        raise SettingError(f"{path} is no record of bench: {what}; measure again") from error


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
