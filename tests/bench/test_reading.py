import json
from pathlib import Path

import pytest

from bertedge import records
from bertedge.bench.reading import read_report
from bertedge.bench.report import SCHEMA, Report
from bertedge.bench.statistics import Difference
from bertedge.errors import SettingError

SCHEMA_1 = Path(__file__).parent / "records" / "schema1.json"


def test_an_older_record_is_read_with_what_it_lacks_as_not_measured(recorded: Report):
    assert recorded.schema == SCHEMA
    assert (recorded.noise, recorded.open_loads, recorded.profiles) == ((), (), ())
    int8 = [result for result in recorded.results if result.engine == "cpu-int8"]
    assert {result.difference for result in int8} == {Difference.FASTER}
    for result in recorded.results:
        times = result.latency
        assert times.p90_ms <= max(ms for turn in result.rounds_ms for ms in turn)
        assert result.difference is None or result.speedup


def test_what_is_written_is_read_again(tmp_path: Path, full: Report):
    path = tmp_path / "bench.json"
    path.write_text(records.to_json(full))
    assert read_report(path) == full


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "has no schema number"),
        ('{"schema": true}', "has no schema number"),
        ('{"schema": 0}', "has schema 0, this bertedge reads 1 to"),
        ('{"schema": 99}', "update bertedge"),
        ('{"schema": 1}', "is no record of bench"),
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
    data = json.loads(SCHEMA_1.read_text())
    data["engines"][0]["bytes_on_disk"] = "many"
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(data))
    with pytest.raises(SettingError, match=r"engines\[0\].bytes_on_disk must be an integer"):
        read_report(path)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path):
    with pytest.raises(SettingError, match="cannot be read: No such file"):
        read_report(tmp_path / "none.json")
