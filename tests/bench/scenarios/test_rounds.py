import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bertedge.bench.build import Setting, build_report
from bertedge.bench.config import ScenarioConfig
from bertedge.bench.discovery import with_noise_controls
from bertedge.bench.engine import EngineSpec
from bertedge.bench.process import Worker, WorkerError
from bertedge.bench.protocol import (
    Open,
    Ran,
    Ready,
    Run,
    TextWorkload,
    TokenWorkload,
    Workload,
    encode,
)
from bertedge.bench.report import Report
from bertedge.bench.runner import EngineRunner, Measurement, Turn
from bertedge.bench.scenarios import Plan, measure
from bertedge.bench.scenarios.rounds import is_unsure, plan_turns
from bertedge.bench.text import render
from bertedge.errors import SettingError
from bertedge.progress import Silent

WORKLOADS = (
    TokenWorkload(name="1x4", batches=tuple(((9, 10, 11, n),) for n in range(12, 32))),
    TextWorkload(name="texts", texts=(("turn it off",),) * 3, at_once=True),
)


class Listener(Silent):
    """Keeps what is said, and where the bar stands."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.bars: dict[str, str] = {}
        self.total: int | None = None
        self.done = 0

    def say(self, line: str) -> None:
        self.said.append(line)

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        self.check_end()
        self.bars[what], self.total, self.done = unit, total, done

    def advance(self, by: int, note: str = "") -> None:
        assert by >= 0
        self.done += by
        assert self.total is None or self.done <= self.total

    def finish(self) -> None:
        self.check_end()

    def check_end(self) -> None:
        assert self.total is None or self.done == self.total


@pytest.fixture
def report_of(setting: Callable[..., Setting]) -> Callable[..., Report]:
    def make(
        specs: list[EngineSpec],
        settings: ScenarioConfig,
        workloads: tuple[Workload, ...] = WORKLOADS,
    ) -> Report:
        measured = measure(specs, Plan(workloads=workloads), settings)
        return build_report(measured, workloads, setting(settings))

    return make


def test_every_engine_takes_every_turn_and_one_against_itself_agrees(
    engine: EngineSpec, quick: ScenarioConfig, setting: Callable[..., Setting]
):
    specs = [engine, replace(engine, name="same", baseline="tiny")]
    measurement = measure(with_noise_controls(specs), Plan(workloads=WORKLOADS), quick)
    assert measurement.complete
    for log in measurement.runners:
        assert log.problem is None
        assert len(log.cold_starts) == (1 if log.spec.noise_control_of else quick.starts)
        assert {name: len(ready.outputs) for name, ready in log.ready.items()} == {
            "1x4": 20,
            "texts": 3,
        }
        turns = [(turn.workload, turn.round) for turn in log.turns]
        assert turns == [(name, n) for n in range(quick.rounds) for name in ("1x4", "texts")]
        assert {len(turn.samples_ms) for turn in log.turns} == {quick.repeats}
        start = log.cold_starts[0]
        assert start.imports_s + start.load_s + start.first_run_s < start.total_s < 30

    report = build_report(measurement, WORKLOADS, setting(quick))
    baseline, same = report.engines
    assert (baseline.name, same.name) == ("tiny", "same")
    assert same.on_texts and same.on_texts.share == 1 and same.on_texts.labels == 3
    assert same.on_random_tokens and same.on_random_tokens.share == 1
    assert baseline.on_texts is None
    assert {result.engine for result in report.results} == {"tiny", "same"}
    for result in report.results:
        assert (result.speedup is None) == (result.engine == "tiny")
        if result.speedup:
            ratio = result.speedup  # how near 1 depends on what else the machine does
            assert 0 < ratio.low <= ratio.median <= ratio.high
            assert result.speedup.rounds == quick.rounds
    # The noise is the baseline against itself.
    assert [(each.engine, each.workload) for each in report.noise] == [
        ("tiny", "1x4"),
        ("tiny", "texts"),
    ]
    for each in report.noise:
        assert each.ratio.low is not None and each.ratio.high is not None
        beyond_doubt = max(each.ratio.low - 1, 1 - each.ratio.high)
        assert each.floor == max(0.04, beyond_doubt)


def turns(name: str, samples_ms: list[float], engine: EngineSpec, **changes) -> EngineRunner:
    ready = Ready(warm_up_runs=1, stable=True, run_ms=1)
    return EngineRunner(
        spec=replace(engine, name=name, **changes),
        settings=ScenarioConfig(threads=1),
        ready={"1x4": ready},
        warm_up_s={"1x4": 0.1},
        turns=[Turn(workload="1x4", round=n, samples_ms=(ms,)) for n, ms in enumerate(samples_ms)],
    )


def test_a_difference_within_the_noise_is_none(
    engine: EngineSpec, quick: ScenarioConfig, setting: Callable[..., Setting]
):
    ours = {"baseline": "tiny"}
    logs = [
        turns("tiny", [1.0] * 9, engine),
        turns("near", [1.045] * 9, engine, **ours),
        turns("slow", [1.1] * 9, engine, **ours),
        turns("fast", [0.5] * 9, engine, **ours),
        turns("wild", [0.5, 2.0, 0.5, 2.0, 0.5, 2.0, 0.5, 2.0, 2.0], engine, **ours),
        turns("tiny again", [1.05] * 9, engine, noise_control_of="tiny", **ours),
    ]
    report = build_report(Measurement(runners=logs, settings=quick), WORKLOADS[:1], setting(quick))
    assert report.noise[0].floor == pytest.approx(1 - 1 / 1.05)
    assert {result.engine: result.difference for result in report.results} == {
        "tiny": None,
        "near": "none",
        "slow": "slower",
        "fast": "faster",
        "wild": "none",
    }


@pytest.mark.parametrize(
    ("ratios", "unsure"),
    [
        ([1.0] * 9, False),
        ([2.0] * 9, False),
        ([1.9, 2.0, 2.1] * 3, True),  # wide
        ([1.02, 1.05, 1.05] * 3, True),  # beyond the noise or not?
        ([0.97, 0.95, 0.95] * 3, True),
    ],
)
def test_a_ratio_is_not_known_while_its_interval_is_wide_or_reaches_into_the_noise(
    engine: EngineSpec, quick: ScenarioConfig, ratios: list[float], unsure: bool
):
    logs = [
        turns("tiny", [1.0] * 9, engine),
        turns("other", [1 / ratio for ratio in ratios], engine, baseline="tiny"),
    ]
    measurement = Measurement(runners=logs, settings=replace(quick, within=0.02))
    assert is_unsure("1x4", measurement) is unsure


@pytest.mark.parametrize(("extra_s", "rounds"), [(600.0, 5), (0.0, 3)])
def test_rounds_go_on_where_a_ratio_is_not_known_and_every_bar_ends_at_its_end(
    engine: EngineSpec,
    fake: Callable[..., EngineSpec],
    quick: ScenarioConfig,
    extra_s: float,
    rounds: int,
):
    """With all the further rounds and with none, and with an engine that breaks."""
    settings = replace(
        quick, turn_s=0.5, repeats=1, starts=1, extra_rounds=2, extra_s=extra_s, within=0.0,
        load_s=0.1,
    )  # fmt: skip
    specs = [engine, replace(engine, name="twin", baseline="tiny"), fake("crash")]
    listener = Listener()
    plan = Plan(workloads=WORKLOADS, labelled=(("turn it off",),), arriving=WORKLOADS[1])
    measurement = measure(specs, plan, settings, listener)
    assert measurement.complete
    found = {turn.round for each in measurement.runners for turn in each.turns}
    assert found == set(range(rounds))
    assert listener.bars == {
        "cold starts": "starts",
        "warm-up": "workloads",
        "rounds": "turns",
        "further rounds": "turns",
        "labelled data": "texts",
        "open load": "engines",
    }


def test_energy_is_that_of_all_texts_labelled(
    engine: EngineSpec, quick: ScenarioConfig, setting: Callable[..., Setting]
):
    log = turns("tiny", [1.0, 1.0], engine)
    log.turns = [replace(turn, joules=3.0, runs=30) for turn in log.turns]
    report = build_report(Measurement(runners=[log], settings=quick), WORKLOADS[:1], setting(quick))
    assert report.engines[0].joules_per_text == pytest.approx(0.1)
    silent = build_report(
        Measurement(runners=[turns("tiny", [1.0], engine)], settings=quick),
        WORKLOADS[:1],
        setting(quick),
    )
    assert silent.engines[0].joules_per_text is None


def test_a_slow_engine_makes_fewer_runs_and_a_hopeless_one_none(
    engine: EngineSpec,
    fake: Callable[..., EngineSpec],
    quick: ScenarioConfig,
    report_of: Callable[..., Report],
):
    settings = replace(quick, starts=1, turn_s=0.1, repeats=4)
    report = report_of([engine, fake("crawl"), fake("sleep")], settings, WORKLOADS[:1])
    counts = {result.engine: {len(turn) for turn in result.rounds_ms} for result in report.results}
    assert counts == {"tiny": {4}, "crawl": {2}}
    assert report.engines[2].problem == "round 1, 1x4: takes 2.0 s a run, too slow to be measured"


def test_bad_engines_get_rows_that_say_so_and_the_run_goes_on(
    engine: EngineSpec,
    fake: Callable[..., EngineSpec],
    quick: ScenarioConfig,
    report_of: Callable[..., Report],
):
    problems = {
        "crash": "round 1, 1x4: ended with exit code 1: the fake crashed on purpose",
        "killed": "round 1, 1x4: was killed by SIGKILL, perhaps for lack of memory",
        "hang": "warm-up, 1x4: gave no answer within 20 s",
        "chatter": "warm-up, 1x4: gave no valid answer: no JSON: 'loading ...'",
        "refuse": "warm-up, 1x4: this peer cannot do that",
        "lazy": "round 1, 1x4: claims (1.0,) ms for 4 runs",
        "lie": "disagrees with the baseline: 0.0% of 3 labels are the same",
        "miscount": "disagrees with the baseline: 0.0% of 3 labels are the same",
    }
    specs = [engine, *(fake(mode) for mode in problems)]
    report = report_of(specs, replace(quick, timeout_s=20, starts=1))
    assert report.complete
    sound, *bad = report.engines
    assert {each.name: each.problem for each in bad} == problems
    assert sound.problem is None
    assert len([r for r in report.results if r.engine == "tiny"]) == len(WORKLOADS)
    text = render(report)
    assert max(len(line) for line in text.splitlines()) <= 100
    for mode, problem in problems.items():
        assert f"! {mode}: {problem}" in text.replace("\n  ", " ")


def test_a_liar_is_found_on_random_tokens_too(
    engine: EngineSpec,
    fake: Callable[..., EngineSpec],
    quick: ScenarioConfig,
    report_of: Callable[..., Report],
):
    bad = report_of([engine, fake("lie")], replace(quick, starts=1), WORKLOADS[:1]).engines[1]
    assert bad.problem == "disagrees with the baseline: 0.0% of 20 labels are the same"


def test_a_bad_baseline_leaves_the_others_their_figures(
    fake: Callable[..., EngineSpec], quick: ScenarioConfig, report_of: Callable[..., Report]
):
    specs = [fake("crash", None), fake("good", "crash")]
    report = report_of(specs, replace(quick, starts=1))
    assert {result.engine for result in report.results} == {"good"}
    assert all(result.speedup is None for result in report.results)
    assert "times as fast" not in render(report)


def test_a_program_that_is_not_there_gets_a_row(
    fake: Callable[..., EngineSpec], quick: ScenarioConfig
):
    missing = replace(fake("missing", None), command=("/nowhere/peer",))
    listener = Listener()
    measurement = measure([missing, fake("good")], Plan(workloads=WORKLOADS), quick, listener)
    assert measurement.complete
    problem = measurement.runners[0].problem
    assert problem and problem.startswith("start: could not be started: [Errno 2]")
    assert f"missing: {problem}" in listener.said


def test_nothing_survives_a_run(
    fake: Callable[..., EngineSpec],
    survives: Callable[[int], bool],
    quick: ScenarioConfig,
    tmp_path: Path,
):
    specs = [fake(mode, None) for mode in ("crash", "hang", "good")]
    measure(specs, Plan(workloads=WORKLOADS), replace(quick, timeout_s=10))
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    assert len(pids) == len(specs) * 2 * quick.starts  # each worker has a child of its own
    assert not any(survives(pid) for pid in pids)


def test_engines_take_turns_in_an_order_that_moves_on(
    fake: Callable[..., EngineSpec], quick: ScenarioConfig, tmp_path: Path
):
    specs = [fake(name, None) for name in ("a", "b", "c")]
    measure(specs, Plan(workloads=WORKLOADS[:1]), replace(quick, starts=1))
    assert (tmp_path / "pids-turns").read_text().splitlines()[:9] == [
        *("a 1x4 0", "b 1x4 0", "c 1x4 0"),
        *("b 1x4 4", "c 1x4 4", "a 1x4 4"),
        *("c 1x4 8", "a 1x4 8", "b 1x4 8"),
    ]


def test_a_worker_that_does_not_read_cannot_block_bench(alive: Callable[[int], bool]):
    deaf = (sys.executable, "-c", "import time; time.sleep(600)")
    long = TextWorkload(name="t", texts=(("x" * 2**20,),), at_once=True)
    with Worker(deaf, threads=1) as worker:
        began = time.monotonic()
        with pytest.raises(WorkerError, match=r"no answer within 0.5 s"):
            worker.ask(long, Ready, timeout_s=0.5)
        assert time.monotonic() - began < 300  # not the 600 of the worker
    assert not alive(worker.pid)


def test_workers_are_told_their_threads():
    program = (
        "import json, os; input();"
        "print(json.dumps({'say': 'failed', 'error': os.environ['OMP_NUM_THREADS']}), flush=True)"
    )
    with (
        Worker((sys.executable, "-c", program), threads=3) as worker,
        pytest.raises(WorkerError, match=r"^3$"),
    ):
        worker.ask(Run(workload="t", first=0, repeats=1), Ran, timeout_s=60)


DRIVER = """
import sys
from bertedge.bench.engine import EngineSpec
from bertedge.bench.scenarios import Plan, measure
from bertedge.bench.protocol import TokenWorkload, decode_request
from bertedge.bench.config import ScenarioConfig
from bertedge.progress import Silent

class Tell(Silent):
    def say(self, line):
        print(line, flush=True)

opening = decode_request(sys.stdin.readline())
spec = EngineSpec(name="tiny", kind="bundle", baseline=None,
                  open=opening)
plan = Plan(workloads=[TokenWorkload(name="1x3", batches=(((9, 10, 11),),))])
settings = ScenarioConfig(threads=1, rounds=10**6, turn_s=60, repeats=10**6, starts=1)
done = measure([spec], plan, settings, Tell())
print(done.complete, len(done.runners[0].cold_starts), flush=True)
"""


def start_driver(opening: Open) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin and process.stdout
    process.stdin.write(encode(opening))
    process.stdin.flush()
    while not process.stdout.readline().startswith("rounds: "):
        assert process.poll() is None
    return process


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_die_with_a_killed_bench(
    opening: Open, alive: Callable[[int], bool], survives: Callable[[int], bool]
):
    process = start_driver(opening)
    workers = children(process.pid)
    assert len(workers) == 1 and alive(workers[0])
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=120)
    assert not survives(workers[0])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ctrl_c_keeps_what_is_finished_and_ends_the_workers(
    opening: Open, alive: Callable[[int], bool]
):
    process = start_driver(opening)
    workers = children(process.pid)
    process.send_signal(signal.SIGINT)
    try:
        said, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert said.endswith("False 1\n")
    assert not alive(workers[0])


def log(name: str, run_ms: float, baseline: str | None, engine: EngineSpec) -> EngineRunner:
    ready = Ready(warm_up_runs=1, stable=True, run_ms=run_ms)
    spec = replace(engine, name=name, baseline=baseline)
    return EngineRunner(spec=spec, settings=ScenarioConfig(threads=1), ready={"1x4": ready})


def planned(logs: list[EngineRunner], settings: ScenarioConfig) -> Run:
    measurement = Measurement(runners=logs, settings=settings)
    return plan_turns(WORKLOADS[0], measurement, last=True).run


def test_the_baseline_decides_how_many_runs_a_turn_has(engine: EngineSpec):
    settings = ScenarioConfig(threads=1, repeats=20, turn_s=0.5)
    fast = log("fast", 1, "torch", engine)
    for run_ms, repeats in ((1, 20), (50, 10), (400, 3), (900, 2), (5000, 1)):
        logs = [fast, log("torch", run_ms, None, engine)]
        turn = planned(logs, settings)
        assert turn.repeats == repeats
        assert turn.warm_up_ms == (30 if run_ms < 200 else 0)
    broken = log("torch", 1, None, engine)
    broken.problem = "broke"
    slow = log("slow", 100, "torch", engine)
    assert planned([fast, slow, broken], settings).repeats == 5


def test_few_repeats_may_be_asked_for(engine: EngineSpec):
    logs = [log("torch", 400, None, engine)]
    assert planned(logs, ScenarioConfig(threads=1, repeats=1)).repeats == 1


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, math.nan, math.inf, 1e300])
def test_a_time_limit_that_is_none_is_refused(timeout_s: float):
    with pytest.raises(SettingError, match="timeout_s is"):
        ScenarioConfig(threads=1, timeout_s=timeout_s)
