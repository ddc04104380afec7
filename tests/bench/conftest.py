import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bertedge.bench import worker
from bertedge.bench.build import Setting
from bertedge.bench.config import ScenarioConfig
from bertedge.bench.engine import EngineSpec
from bertedge.bench.environment import describe_environment
from bertedge.bench.protocol import PROTOCOL, Open
from bertedge.bench.reading import read_report
from bertedge.bench.report import (
    Comparison,
    Labelled,
    LeftOut,
    LoadPoint,
    MemoryPoint,
    Noise,
    OpenLoad,
    OperatorTime,
    Profile,
    Report,
)
from bertedge.bench.statistics import Ratio
from bertedge.spec import ModelSpec, Task

ROOT = Path(__file__).parents[2]
TINY = ROOT / "models" / "tiny"
LABELS = ("lights", "music", "heating", "other")


@pytest.fixture(scope="session")
def bundle() -> Path:
    return TINY / "text-classification"


@pytest.fixture(scope="session")
def token_bundle() -> Path:
    return TINY / "token-classification"


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints that the tiny bundles were made from, made again: `/ task`."""
    pytest.importorskip("onnx", reason="needs the export extra")
    spec = importlib.util.spec_from_file_location("make_tiny", ROOT / "scripts" / "make_tiny.py")
    assert spec and spec.loader
    make_tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_tiny)
    folder = tmp_path_factory.mktemp("checkpoints")
    for task in make_tiny.LABELS:
        make_tiny.make_checkpoint(task, folder / task.value)
    return folder


@pytest.fixture
def quick() -> ScenarioConfig:
    """As little as shows everything."""
    return ScenarioConfig(
        threads=1, rounds=3, extra_rounds=0, repeats=4, turn_s=0.02, starts=2, texts=6, timeout_s=60
    )


def open_message(bundle: Path) -> Open:
    return Open(
        protocol=PROTOCOL,
        engine="bundle",
        path=str(bundle),
        variant="cpu-fp32",
        precision="fp32",
        device="cpu",
        threads=1,
        model=ModelSpec(
            task=Task.TEXT_CLASSIFICATION, labels=LABELS, pair=False, max_length=64, pad_token_id=0
        ),
        tokenizer=str(bundle / "tokenizer.json"),
        first=("turn the hall lights off",),
        scratch="",
    )


@pytest.fixture(scope="session")
def opened(bundle: Path) -> Callable[..., Open]:
    """Makes what a worker is told to run the tiny bundle."""
    return lambda **changes: replace(open_message(bundle), **changes)


@pytest.fixture
def opening(opened: Callable[..., Open]) -> Open:
    """What a worker is told to run the tiny bundle."""
    return opened()


@pytest.fixture
def engine(opening: Open) -> EngineSpec:
    """The tiny bundle as an engine without a baseline."""
    return EngineSpec(
        name="tiny",
        kind="bundle",
        command=(sys.executable, "-m", "bertedge.bench.worker"),
        open=opening,
        bytes_on_disk=1000,
        baseline=None,
        batching="one by one",
    )


@pytest.fixture
def setting() -> Callable[..., Setting]:
    """Makes what a report says beside the measurement."""

    def make(
        settings: ScenarioConfig, task: Task = Task.TEXT_CLASSIFICATION, labels: int = 4
    ) -> Setting:
        comparison = Comparison(
            bundle="b", baseline="c", task=task, labels=labels, max_length=64, parameters=9220,
            same_source=True, data=None,
        )  # fmt: skip
        return Setting(
            command="bertedge bench",
            environment=describe_environment(),
            comparison=comparison,
            settings=settings,
        )

    return make


FAKE = '''
"""A worker of another make: it needs nothing but the protocol."""
import json, os, subprocess, sys, time

mode, notes = sys.argv[1], sys.argv[2]

def note():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(notes, "a") as file:
        print(os.getpid(), child.pid, file=file)

def outputs(message):
    wrong = mode == "lie"
    if "batches" in message:
        count, one = sum(len(batch) for batch in message["batches"]), 99 if wrong else 0
    else:
        label = "liar" if wrong else "lights"
        count, one = len(message["texts"]), {"label": label, "score": 1, "scores": {label: 1}}
    return [one] * (count - (mode == "miscount"))

def answer(message):
    match message["say"]:
        case "open":
            return {"say": "opened", "imports_s": 0, "load_s": 0, "first_run_s": 0,
                    "runs_on": "nothing", "versions": {}}
        case "token_workload" | "text_workload":
            if mode == "hang":
                time.sleep(600)
            if mode == "chatter":
                print("loading ...", flush=True)
            if mode == "refuse":
                return {"say": "failed", "error": "this peer cannot do that"}
            run_ms = {"sleep": 2000.0, "crawl": 400.0}.get(mode, 1.0)
            return {"say": "ready", "warm_up_runs": 1, "stable": True, "run_ms": run_ms,
                    "outputs": outputs(message)}
        case "run" if message["arrivals_s"]:
            return {"say": "ran", "samples_ms": [1.0] * message["repeats"]}
        case "run":
            with open(notes + "-turns", "a") as file:
                print(mode, message["workload"], message["first"], file=file)
            if mode == "crash":
                sys.exit("the fake crashed on purpose")
            if mode == "killed":
                os.kill(os.getpid(), 9)
            if mode == "lazy":
                return {"say": "ran", "samples_ms": [1.0]}
            time.sleep(0.001)
            return {"say": "ran", "samples_ms": [1.0] * message["repeats"]}

note()
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
'''


@pytest.fixture
def fake_program(tmp_path: Path) -> Path:
    """A worker that misbehaves as its first argument says; its second is a file for notes."""
    program = tmp_path / "fake.py"
    program.write_text(FAKE)
    return program


@pytest.fixture
def fake(fake_program: Path, tmp_path: Path, opening: Open) -> Callable[..., EngineSpec]:
    """Makes an engine that misbehaves; it notes its processes in `tmp_path / "pids"`."""

    def make(mode: str, baseline: str | None = "tiny") -> EngineSpec:
        return EngineSpec(
            name=mode,
            kind="peer",
            command=(sys.executable, str(fake_program), mode, str(tmp_path / "pids")),
            open=opening,
            bytes_on_disk=1,
            baseline=baseline,
            batching="one by one",
        )

    return make


class Clock:
    """Time that passes by sleeping, always a little too long, and by looking at it."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, 0.0

    def perf_counter(self) -> float:
        self.now += 1e-6
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds + worker.AWAKE_S / 2
        self.slept += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of a worker in this process, the same on every machine."""
    made = Clock()
    monkeypatch.setattr(worker, "time", made)
    return made


@pytest.fixture
def alive() -> Callable[[int], bool]:
    """Tells whether a process runs; one that nobody has waited for yet does not."""
    return runs


@pytest.fixture
def survives() -> Callable[[int], bool]:
    """Tells whether a process still runs after some seconds."""

    def check(pid: int) -> bool:
        deadline = time.monotonic() + 120
        while runs(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        return runs(pid)

    return check


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="session")
def recorded() -> Report:
    """A recorded bench: PyTorch in fp32 and bf16, an int8 bundle."""
    return read_report(Path(__file__).parent / "records" / "bench.json")


@pytest.fixture(scope="session")
def full(recorded: Report) -> Report:
    """The same with something of everything."""
    memory = tuple(
        MemoryPoint(where=where, at_s=second, resident_bytes=90 << 20, peak_bytes=100 << 20)
        for second, where in enumerate(("start", "1x16", "1x64"))
    )
    engines = [
        replace(
            engine,
            installed_bytes=700 << 20,
            memory=memory,
            idle_cpu=0.01,
            labelled=Labelled(
                data="test.jsonl", metric="accuracy", value=0.9 - i / 100, rows=400, agreement=None
            ),
        )
        for i, engine in enumerate(recorded.engines)
    ]
    point = LoadPoint(
        offered_per_s=100, achieved_per_s=99, texts=50, p50_ms=1, p90_ms=2, p95_ms=3, p99_ms=4,
        max_ms=5, saturated=False,
    )  # fmt: skip
    lost = replace(point, offered_per_s=1000, achieved_per_s=500, p99_ms=90, saturated=True)
    loads = [
        OpenLoad(
            engine=engine.name, workload="texts one by one", seed=0, unloaded_p50_ms=1, limit_ms=5,
            max_rate_within_slo=100, points=(point, lost),
        )
        for engine in engines
    ]  # fmt: skip
    profiles = [
        Profile(
            graph=stage, stage=stage, workload="1x16", runs=5, total_ms=ms,
            operators=(OperatorTime(name="MatMul", calls=24, ms=ms, share=1.0),),
        )
        for stage, ms in (("exported", 5.0), ("fused", 3.0), ("int8", 1.0))
    ]  # fmt: skip
    ratio = Ratio(median=1.0, low=0.99, high=1.01, confidence=0.95, rounds=10)
    noise = [
        Noise(engine="torch-fp32", workload=load.name, ratio=ratio, floor=0.02)
        for load in recorded.workloads
    ]
    return replace(
        recorded,
        command="bertedge bench <bundle> --baseline 'a & b'",
        engines=tuple(engines),
        open_loads=tuple(loads),
        profiles=tuple(profiles),
        noise=tuple(noise),
        left_out=(LeftOut(name="openvino", why="it is not installed", fix="pip install openvino"),),
    )


@pytest.fixture(scope="session")
def full_page(full: Report) -> str:
    """The page of a record that has something of everything."""
    from bertedge.bench.html.page import render_page

    return render_page(full)
