import json
import os
from pathlib import Path

import pytest

from bertedge import serialization
from bertedge.bench.reading import read_bounded, read_report
from bertedge.bench.report import SCHEMA, Report
from bertedge.errors import SettingError

RECORD = Path(__file__).parent / "records" / "bench.json"


def test_what_is_written_is_read_again(tmp_path: Path, full: Report):
    path = tmp_path / "bench.json"
    path.write_text(serialization.to_json(full))
    assert read_report(path) == full


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "has no schema number"),
        ('{"schema": true}', "has no schema number"),
        ('{"schema": 0}', "has schema 0, this bertedge reads 1; measure again"),
        ('{"schema": 99}', "update bertedge"),
        (f'{{"schema": {SCHEMA}}}', "command is missing"),
        ('{"schema": 1, "environment": 3, "engines": 4, "results": 5}', "is no record of bench"),
    ],
)
def test_what_is_no_record_is_refused_in_one_line(tmp_path: Path, text: str, said: str):
    path = tmp_path / "bench.json"
    path.write_text(text)
    with pytest.raises(SettingError, match=said) as error:
        read_report(path)
    assert "\n" not in str(error.value) and "bench.json" in str(error.value)


def test_a_field_of_a_wrong_type_is_named(tmp_path: Path):
    data = json.loads(RECORD.read_text())
    data["engines"][0]["bytes_on_disk"] = "many"
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(data))
    with pytest.raises(SettingError, match=r"engines\[0\].bytes_on_disk must be an integer"):
        read_report(path)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path):
    with pytest.raises(SettingError, match="cannot be read: No such file"):
        read_report(tmp_path / "none.json")


@pytest.mark.parametrize("kind", ["nothing", "folder", "FIFO", "endless", "deep", "digits", "NUL"])
def test_what_cannot_be_read_is_one_line_and_waits_for_nothing(tmp_path: Path, kind: str):
    path = tmp_path / "bench.json"
    match kind:
        case "folder":
            path.mkdir()
        case "FIFO":
            os.mkfifo(path)
        case "endless":
            path = Path("/dev/zero")
        case "deep":
            path.write_text("[" * 100_000)
        case "digits":
            path.write_text('{"schema": ' + "9" * 5000 + "}")
        case "NUL":
            path = Path("a\0b")
    with pytest.raises(SettingError) as error:
        read_report(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_a_file_larger_than_any_record_is_not_read_whole(tmp_path: Path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(2**40)  # holds nothing, and takes nothing on disk
    with pytest.raises(SettingError, match="larger than 1 MiB"):
        read_bounded(path, 2**20)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("engines", 0, "name"), "another"),
        (("engines", 1, "name"), "torch-fp32"),
        (("engines", 1, "baseline"), "nobody"),
        (("engines", 2, "bytes_on_disk"), 0),
        (("engines", 1, "bytes_on_disk"), -1),
        (("engines", 0, "peak_memory_bytes"), 10**400),
        (("results", 0, "engine"), "nobody"),
        (("results", 0, "workload"), "9x9"),
        (("results", 0, "rounds_ms"), []),
        (("results", 0, "rounds_ms"), [[]]),
        (("open_loads", 0, "engine"), "nobody"),
        (("noise", 0, "workload"), "9x9"),
        (("workloads", 1, "name"), "1x16"),
    ],
)
def test_a_record_whose_parts_do_not_fit_together_is_refused(
    tmp_path: Path, full: Report, place: tuple[str | int, ...], value: object
):
    data = serialization.to_plain(full)
    held = data
    for key in place[:-1]:
        held = held[key]
    assert held[place[-1]] != value
    held[place[-1]] = value
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(data))
    with pytest.raises(SettingError, match="is no") as error:
        read_report(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300
