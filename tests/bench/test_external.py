import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the bench extra")

from bertedge.bench import BenchConfig, bench
from bertedge.bench.discovery import Lineup, sum_installed
from bertedge.bench.external import find_peers, read_peers
from bertedge.bench.process import WorkerError, run_to_end
from bertedge.bench.protocol import Open
from bertedge.bench.statistics import Difference
from bertedge.bench.text import render
from bertedge.errors import SettingError

MODES = ("sleep", "crash", "hang", "lie")


def write(file: Path, *engines: str) -> Path:
    file.write_text("\n".join(f"[[engine]]\n{engine}" for engine in engines))
    return file


def test_a_file_names_engines_and_how_to_start_them(tmp_path: Path, opening: Open):
    (tmp_path / "mine.py").touch()
    file = write(
        tmp_path / "mine.toml",
        f'''name = "mine"\nprecision = "int8"\nkind = "own"\ntakes = ["texts"]
        command = ["{sys.executable}", "mine.py", "fast"]\npackages = ["click"]''',
        f'''name = "made"\nprecision = "fp32"\ncommand = ["{sys.executable}", "-V"]
        prepare = ["{sys.executable}", "make.py", "{{exported}}", "{{made}}/x", "{{texts}}"]''',
    )
    base = replace(opening, scratch="/scratch")
    lineup = Lineup.of(find_peers(read_peers(file), base, "/e/model.onnx"))
    mine, made = lineup.specs
    assert not lineup.left_out
    assert mine.command == (sys.executable, str(tmp_path / "mine.py"), "fast")
    assert (mine.kind, mine.open.engine, mine.takes) == ("own", "own", ("texts",))
    assert mine.baseline == "torch-fp32" and mine.open.path == opening.path
    assert made.prepare == (
        *(sys.executable, "make.py", "/e/model.onnx", "/scratch/peer-made/x"),
        "/scratch/texts.json",
    )
    assert made.open.path == made.made == "/scratch/peer-made"
    assert sum_installed([mine])["mine"] > 100_000
    assert sum_installed([made]) == {}


def test_a_peer_that_is_not_installed_is_listed_with_the_command_to_get_it(
    tmp_path: Path, opening: Open
):
    write(
        tmp_path / "a.toml",
        'name = "far"\nprecision = "int8"\ncommand = ["env/bin/python", "x.py"]\n'
        'install = "scripts/bench-peers --install"',
        f'name = "needy"\nprecision = "int8"\ncommand = ["{sys.executable}"]\n'
        'prepare = ["make", "{exported}"]',
    )
    lineup = Lineup.of(find_peers(read_peers(tmp_path), opening, None))
    assert not lineup.specs
    far, needy = lineup.left_out
    assert (far.name, far.why) == ("far", "it is not installed: there is no python for it")
    assert far.fix == "scripts/bench-peers --install"
    assert needy.why == "it needs the exported graph, which could not be made"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[engine]", "no peers file"),
        ('[[engine]]\nname = "x"', "command is missing"),
        ('[[engine]]\nname = "x"\nprecision = "y"\ncommand = ["z"]\nspeed = 9', "speed is unknown"),
        ('[[engine]]\nname = "x"\nprecision = "y"\ncommand = []', "x needs a command"),
        (
            '[[engine]]\nname = "x"\nprecision = "y"\ncommand = ["z"]\ntakes = ["all"]',
            "takes of tokens, texts",
        ),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, text: str, why: str):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(SettingError, match=why):
        read_peers(tmp_path / "x.toml")


ENGINE = '[[engine]]\nprecision = "y"\n'


@pytest.mark.parametrize(
    "content",
    [
        b"x = " + b"[" * 100_000,
        b"x = " + b"{a=" * 50_000,
        b"x = " + b"9" * 5000,
        b"x = 1e999999",
        b"\0" * 100,
        b"\xff\xfe" + b"a" * 100,
        b"#" * 2**21,
        b"",
        f'{ENGINE}name = "x"\ncommand = ["a\\u0000b"]'.encode(),
        f'{ENGINE}name = "x\\u001b[2J"\ncommand = ["python"]'.encode(),
        f'{ENGINE}name = "{"x" * 5000}"\ncommand = ["python"]'.encode(),
        f'{ENGINE}name = "x"\ncommand = ["{"x" * 100_000}"]'.encode(),
        f'{ENGINE}name = "../../x"\ncommand = ["python"]'.encode(),
        f'{ENGINE}name = " "\ncommand = ["python"]'.encode(),
        f'{ENGINE}name = "x"\n{"k" * 90_000} = 1\ncommand = ["python"]'.encode(),
    ],
)
def test_a_hostile_file_is_one_line(tmp_path: Path, content: bytes):
    (tmp_path / "x.toml").write_bytes(content)
    with pytest.raises(SettingError) as error:
        read_peers(tmp_path / "x.toml")
    said = str(error.value)
    assert said.isprintable() and len(said) < 300 + len(str(tmp_path))


@pytest.mark.parametrize("name", ["FIFO.toml", "folder.toml", "gone.toml", "/dev/zero"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, name: str):
    os.mkfifo(tmp_path / "FIFO.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(SettingError):
        read_peers(tmp_path / name)


def test_what_a_preparation_started_ends_with_it(tmp_path: Path, survives: Callable[[int], bool]):
    note = tmp_path / "pid"
    script = f"sleep 600 & echo $! > {note}; wait"
    with pytest.raises(WorkerError, match="not done within 2 s"):
        run_to_end(["sh", "-c", script], timeout_s=2)
    assert not survives(int(note.read_text()))
    with pytest.raises(WorkerError, match="no such model"):
        run_to_end(["sh", "-c", "echo no such model >&2; exit 3"], timeout_s=60)
    with pytest.raises(WorkerError):
        run_to_end(["/nowhere/at/all"], timeout_s=60)


def test_a_folder_without_a_file_is_refused(tmp_path: Path):
    with pytest.raises(SettingError, match="has no peers file"):
        read_peers(tmp_path)


def test_sleeping_crashing_hanging_and_lying_peers_get_rows_and_the_run_goes_on(
    fake_program: Path, tmp_path: Path, bundle: Path, checkpoints: Path
):
    data = tmp_path / "data.csv"
    data.write_text("text,label\n" + "turn the hall lights off,lights\nplay a song,music\n" * 4)
    peers = write(
        tmp_path / "bad.toml",
        *(
            f'name = "{mode}"\nprecision = "fp32"\n'
            f'command = ["{sys.executable}", "{fake_program}", "{mode}", "{tmp_path}/pids"]'
            for mode in MODES
        ),
        'name = "absent"\nprecision = "int8"\ncommand = ["/nowhere/python"]\ninstall = "get it"',
        f'name = "unmade"\nprecision = "int8"\ncommand = ["{sys.executable}"]\n'
        f'prepare = ["{sys.executable}", "-c", "import sys; sys.exit(\'no luck\')"]',
    )
    config = BenchConfig(
        bundle=bundle, baseline=str(checkpoints / "text-classification"), grid="1x8", data=data,
        peers=(peers,), threads=1, rounds=3, extra_rounds=0, repeats=3, turn_s=0.05, starts=1,
        texts=4, timeout_s=30, load_s=0.05, profile_runs=2, quick=True,
    )  # fmt: skip
    report = bench(config)

    assert report.complete
    engines = {engine.name: engine for engine in report.engines}
    assert engines["torch-fp32"].problem is None
    assert engines["crash"].problem == (
        "round 1, 1x8: ended with exit code 1: the fake crashed on purpose"
    )
    assert engines["hang"].problem == "warm-up, 1x8: gave no answer within 30 s"
    assert engines["lie"].problem == "disagrees with the baseline: 0.0% of 8 labels are the same"
    assert engines["sleep"].problem == "round 1, 1x8: takes 2.0 s a run, too slow to be measured"
    left_out = {item.name: item for item in report.left_out}
    assert left_out["absent"].fix == "get it"
    assert left_out["unmade"].why == "its preparation failed: no luck"
    assert {"torch-compile", "optimum-int8", "pipeline-fp32"} <= left_out.keys()

    ours, baseline = engines["cpu-fp32"], engines["torch-fp32"]
    for engine in (ours, baseline):
        assert engine.problem is None
        assert engine.installed_bytes and engine.installed_bytes > 10**7
        assert engine.labelled and engine.labelled.rows == 8
        if sys.platform == "linux":
            assert engine.idle_cpu is not None and engine.idle_cpu < 0.5
            places = [point.where for point in engine.memory]
            assert places == [
                *("start", "warm-up 1x8", "warm-up texts one by one", "warm-up texts all at once"),
                *("round 1", "round 2", "round 3", "open load"),
            ]
    assert ours.labelled and ours.labelled.agreement == 1.0
    assert "again" not in " ".join(engines)
    assert {each.workload for each in report.noise} == {load.name for load in report.workloads}
    assert all(each.engine == "torch-fp32" and each.floor >= 0.02 for each in report.noise)
    for result in report.results:
        assert (result.difference is None) == (result.engine in {"torch-fp32", "torch-bf16"}) or (
            result.difference in set(Difference)
        )
    loads = {load.engine: load for load in report.open_loads}
    assert {"torch-fp32", "cpu-fp32"} <= loads.keys() and "crash" not in loads
    assert all(1 <= len(load.points) <= 3 for load in loads.values())
    assert {load.limit_ms for load in loads.values()} == {5 * loads["torch-fp32"].unloaded_p50_ms}
    assert [profile.stage for profile in report.profiles] == ["fused"]
    assert max(len(line) for line in render(report).splitlines()) <= 100
