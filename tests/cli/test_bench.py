import importlib.util
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("torch", reason="needs the bench extra")
pytest.importorskip("onnx", reason="needs the export extra")

from bertedge import serialization
from bertedge.bench.report import SCHEMA, Report
from bertedge.cli import main

ROOT = Path(__file__).parents[2]
TINY = ROOT / "models" / "tiny"
INTENTS = ROOT / "models" / "home-intents" / "data" / "test.jsonl"
QUICK = ["--quick", "--threads", "1", "--rounds", "3", "--repeats", "3", "--grid", "1x8,2x64"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints that the tiny bundles were made from, made again: `/ task`."""
    spec = importlib.util.spec_from_file_location("make_tiny", ROOT / "scripts" / "make_tiny.py")
    assert spec and spec.loader
    make_tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_tiny)
    folder = tmp_path_factory.mktemp("checkpoints")
    for task in ("text-classification", "token-classification", "intent-slots"):
        make_tiny.make_checkpoint(make_tiny.Task(task), folder / task)
    return folder


def bench(bundle: Path, baseline: Path, *flags: str) -> Result:
    return CliRunner().invoke(main, ["bench", str(bundle), "--baseline", str(baseline), *flags])


def refusal(result: Result) -> str:
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    "task",
    [
        pytest.param("text-classification", marks=pytest.mark.full),
        pytest.param("token-classification", marks=pytest.mark.full),
        "intent-slots",
    ],
)
def test_a_whole_bench(
    checkpoints: Path, tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.argv", ["bertedge", "bench", "a bundle"])
    output = tmp_path / "bench.json"
    flags = [*QUICK, "--data", str(INTENTS), "--texts", "10", "--json", "--output", str(output)]
    result = bench(TINY / task, checkpoints / task, *flags)
    assert result.exit_code == 0, result.stderr
    assert output.read_text() == result.stdout
    data = json.loads(result.stdout)
    assert data["schema"] == SCHEMA
    report = serialization.from_plain(Report, data)

    assert report.complete
    assert report.comparison.task == task
    assert report.comparison.same_source
    assert (report.settings.rounds, report.settings.repeats, report.settings.texts) == (3, 3, 10)
    workloads = ["1x8", "2x64", "texts one by one", "texts all at once"]
    assert [load.name for load in report.workloads] == workloads
    engines = [engine.name for engine in report.engines]
    assert engines[0] == "torch-fp32" and engines[-1] == "cpu-fp32"
    assert [(r.workload, r.engine) for r in report.results] == [
        (workload, engine) for workload in workloads for engine in engines
    ]
    for each in report.results:
        assert len(each.rounds_ms) == 3 and {len(turn) for turn in each.rounds_ms} == {3}
        assert each.latency.samples == 9
        assert 0 < each.latency.min_ms <= each.latency.p50_ms <= each.latency.p95_ms
        assert each.latency.p95_ms <= each.latency.p99_ms <= each.latency.max_ms
    for engine in report.engines:
        assert engine.problem is None
        start = engine.cold_start
        assert start and start.total_s > 0
        parts = start.process_s + start.imports_s + start.load_s + start.first_run_s
        assert parts == pytest.approx(start.total_s)
        assert engine.batching and engine.installed_bytes
    assert {each.workload for each in report.noise} == set(workloads)
    assert [load.engine for load in report.open_loads] == engines
    assert [profile.graph for profile in report.profiles] == ["cpu-fp32"]
    assert {"pipeline-fp32", "optimum-int8", "torch-compile"} <= {i.name for i in report.left_out}
    assert report.command == "bertedge bench 'a bundle'"
    assert report.thread_settings["OMP_NUM_THREADS"] == "1"
    where = [use.where for use in report.cpu_use]
    assert where == ["before", "warm-up", "round 1", "round 2", "round 3", "after"]
    assert all(use.seconds > 0 for use in report.cpu_use)
    fp32 = report.engines[-1]
    assert fp32.on_texts and fp32.on_texts.texts == (None if task == "text-classification" else 1)
    assert fp32.on_texts and fp32.on_texts.share == 1
    assert fp32.on_random_tokens and fp32.on_random_tokens.share == 1
    if task == "text-classification":
        assert fp32.on_texts.labels == 20
        assert fp32.on_random_tokens.labels == 64
    else:
        assert fp32.on_random_tokens.labels == 32 * 8 + 32 * 64


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to send")
@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.full), signal.SIGTERM]
)
def test_a_stopped_bench_prints_what_is_finished_and_leaves_no_process(
    checkpoints: Path, number: signal.Signals
):
    task = "text-classification"
    command = [sys.executable, "-m", "bertedge", "bench", str(TINY / task)]
    command += ["--baseline", str(checkpoints / task), *QUICK, "--rounds", "100000"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr
    said = ""
    while not said.startswith("rounds: "):  # the line that begins them
        said = process.stderr.readline()
        assert said, "bench ended by itself"
    workers = children(process.pid)
    for _ in range(3):  # let some rounds pass
        assert process.poll() is None
        time.sleep(0.3)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in stderr
    assert stderr.splitlines()[-1] == "Error: interrupted; what was finished is printed"
    assert "Interrupted: the figures cover the rounds that were finished." in stdout
    assert "baseline" in stdout and "cpu-fp32" in stdout
    assert max(len(line) for line in stdout.splitlines()) <= 100
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(word) for word in path.read_text().split()] if path.exists() else []
    assert found or not path.exists()
    return found


def test_what_cannot_be_compared_is_one_line(checkpoints: Path, tmp_path: Path):
    text, token = (TINY / "text-classification", TINY / "token-classification")
    assert "is for text-classification, the baseline" in refusal(
        bench(text, checkpoints / "token-classification")
    )
    assert "is a bundle; give the checkpoint" in refusal(bench(text, token))
    assert "bertedge export" in refusal(
        bench(checkpoints / "text-classification", checkpoints / "text-classification")
    )
    assert "does not exist" in refusal(bench(text, tmp_path / "nowhere/at/all"))
    assert "not a directory" in refusal(
        bench(tmp_path / "nowhere", checkpoints / "text-classification")
    )


def test_flags_that_cannot_work_are_one_line(checkpoints: Path, tmp_path: Path):
    pair = (TINY / "text-classification", checkpoints / "text-classification")
    assert "the model reads 64 tokens at most" in refusal(bench(*pair, "--grid", "1x128"))
    assert "1x16,8x128" in refusal(bench(*pair, "--grid", "lots"))
    assert "choose one of cpu, cuda, auto" in refusal(bench(*pair, "--device", "tpu"))
    assert "nothing.csv" in refusal(bench(*pair, "--data", str(tmp_path / "nothing.csv")))
    assert "timeout_s is 0" in refusal(bench(*pair, "--timeout", "0"))
    there = tmp_path / "there.json"
    there.write_text("old")
    assert "exists already" in refusal(bench(*pair, "--output", str(there)))
    assert there.read_text() == "old"


def test_a_missing_extra_is_one_line(checkpoints: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    line = refusal(bench(TINY / "text-classification", checkpoints / "text-classification"))
    assert "pip install 'bertedge[bench]'" in line
