"""What bench does with a record: none of it needs PyTorch or a measurement."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bertedge.bench.report import SCHEMA
from bertedge.cli import main

RECORD = Path(__file__).parents[1] / "bench" / "records" / "bench.json"


def show(*flags: str | Path) -> Result:
    return CliRunner().invoke(main, ["bench", "--from", str(RECORD), *map(str, flags)])


def test_a_record_is_shown_again_without_measuring():
    result = show()
    assert result.exit_code == 0, result.stderr
    assert "cpu-int8" in result.stdout and "torch-fp32" in result.stdout
    assert "speed-up (95 %)" not in result.stdout
    assert "speed-up (95 %)" in show("--details").stdout


def test_a_gate_that_holds_is_0_and_one_that_fails_is_1():
    held = show("--gate", "p95_ms@texts one by one<5,agreement>=0.99,disk_mib<30")
    assert held.exit_code == 0
    assert held.stdout.count("\n  pass  ") == 3
    failed = show("--gate", "speedup>=6")
    assert failed.exit_code == 1
    assert "pass  speedup>=6: speedup is 6.64 for cpu-int8 at 1x16" in failed.stdout
    assert "FAIL  speedup>=6: speedup is 4.80 for cpu-int8 at 8x64" in failed.stdout
    assert failed.stderr.splitlines()[-1] == "Error: the gate is not met: 2 of 4 figures fail"


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """The record with the load of a busy machine."""
    data = json.loads(RECORD.read_text())
    data["environment"]["load"] = 9.5
    path = tmp_path / "noisy.json"
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize(
    ("gate", "code", "last"),
    [
        ("p95_ms@1x16<5", 3, "Error: the gate is inconclusive: 1 of 1 figures are times of a"),
        ("p95_ms@1x16<0.1,agreement>=0.9", 3, "Error: the gate is inconclusive: 1 of 2 figures"),
        ("p95_ms@1x16<5,disk_mib<1", 1, "Error: the gate is not met: 1 of 2 figures fail"),
        ("agreement>=0.9,disk_mib<30", 0, ""),
    ],
)
def test_on_a_noisy_machine_conditions_on_time_are_3_and_the_others_decide(
    noisy: Path, gate: str, code: int, last: str
):
    result = CliRunner().invoke(main, ["bench", "--from", str(noisy), "--gate", gate])
    assert result.exit_code == code
    assert (result.stderr.splitlines() or [""])[-1].startswith(last)
    assert "Not reliable (the load before was 9.50 on 2 cores): cpu-int8" in result.stdout


@pytest.mark.parametrize("value", ["bundles/mine", "nan", "inf", "9" * 5000])
def test_the_limit_of_the_wait_is_seconds(value: str):
    result = CliRunner().invoke(main, ["bench", f"--wait-idle={value}", "--baseline", "x"])
    assert result.exit_code == 2
    assert "is no number of seconds" in result.stderr and len(result.stderr) < 400


@pytest.mark.parametrize("gate", ["fast", "latency<5", "p95_ms<", "", "p95_ms@9x9<5"])
def test_a_gate_that_says_nothing_is_2_and_names_what_there_is(gate: str):
    result = show("--gate", gate)
    assert result.exit_code == 2
    assert "p95_ms" in result.stderr and "Traceback" not in result.stderr


def test_a_malformed_gate_is_refused_before_anything_else(tmp_path: Path):
    result = show("--gate", "fast", "--output", tmp_path / "bench.json")
    assert result.exit_code == 2
    assert result.stdout == "" and list(tmp_path.iterdir()) == []


def test_a_comparison_follows_the_table():
    result = show("--compare", RECORD)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].endswith(
        "12 latencies show no difference beyond the noise"
    )


def test_what_cannot_be_compared_is_one_line(tmp_path: Path):
    newer = tmp_path / "newer.json"
    newer.write_text('{"schema": 99}')
    result = show("--compare", newer)
    assert result.exit_code == 1 and result.stdout == ""
    assert "has schema 99" in result.stderr and len(result.stderr.splitlines()) == 1


def test_json_stays_one_object_whatever_else_is_said():
    result = show("--json", "--gate", "speedup>=6", "--compare", RECORD)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["schema"] == SCHEMA
    assert "FAIL  speedup>=6" in result.stderr and "Since " in result.stderr


def test_the_page_is_written_whole_and_never_over_another(tmp_path: Path):
    pytest.importorskip("vl_convert", reason="needs the bench extra")
    page = tmp_path / "report.html"
    assert show("--report", page).exit_code == 0
    assert page.read_text().endswith("</html>\n")
    page.write_text("mine")
    refused = show("--report", page)
    assert refused.exit_code == 1 and refused.stdout == ""
    assert "exists already" in refused.stderr and page.read_text() == "mine"
    assert show("--report", page, "--overwrite").exit_code == 0
    assert page.read_text().endswith("</html>\n")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("stdout", "flags"), [(">/dev/full", ""), (">&-", "--json")])
def test_where_nothing_can_be_printed_the_files_are_written_all_the_same(
    tmp_path: Path, stdout: str, flags: str
):
    """Minutes of measuring are not lost with a full disk or a closed output."""
    kept = tmp_path / "kept.json"
    command = f"{sys.executable} -m bertedge bench --from {RECORD} {flags} --output {kept} {stdout}"
    ended = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("Error: standard output could not be written: ")
    assert json.loads(kept.read_text())["schema"] == SCHEMA


def test_a_missing_drawing_library_is_said_before_measuring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "vl_convert", None)  # as if it were not installed
    result = show("--report", tmp_path / "report.html")
    assert result.exit_code == 1 and result.stdout == ""
    assert "pip install 'bertedge[bench]'" in result.stderr


def test_nothing_to_measure_and_nothing_to_show_is_a_usage_error():
    for arguments in ([], ["bundle"], ["--baseline", "runs/mine"]):
        result = CliRunner().invoke(main, ["bench", *arguments])
        assert result.exit_code == 2
        assert "give BUNDLE and --baseline to measure, or --from FILE to show" in result.stderr
