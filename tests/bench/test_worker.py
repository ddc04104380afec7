import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bertedge.bench.backends import Prepared
from bertedge.bench.process import Worker, WorkerError
from bertedge.bench.protocol import (
    Open,
    Opened,
    Ran,
    Ready,
    Run,
    TextWorkload,
    TokenWorkload,
    encode,
)
from bertedge.bench.trackers import memory_of
from bertedge.bench.worker import settled, take_turn, warm_up
from bertedge.predictions import Classification
from bertedge.predictor import Predictor

COMMAND = (sys.executable, "-m", "bertedge.bench.worker")
LONG = "please play a quiet song in the living room " * 20
TEXTS = ("turn the hall lights off", "play a song", LONG, "is it warm", "x")


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """One process for the tests of this file; a request that fails leaves it as it was."""
    with Worker(COMMAND, threads=1) as process:
        with pytest.raises(WorkerError, match="first request must be open"):
            process.ask(Run(workload="t", first=0, repeats=1), Ran, timeout_s=60)
        yield process


def test_a_worker_answers_in_full(worker: Worker, opening: Open):
    opened = worker.ask(opening, Opened, timeout_s=60)
    assert opened.runs_on == "CPUExecutionProvider"
    assert opened.imports_s > 0 and opened.load_s > 0 and opened.first_run_s > 0
    assert opened.versions.keys() >= {"onnxruntime", "numpy", "tokenizers"}
    assert len(opened.outputs) == 1 and isinstance(opened.outputs[0], Classification)

    cell = TokenWorkload(name="2x3", batches=(((9, 10, 11), (12, 13, 14)),) * 3)
    ready = worker.ask(cell, Ready, timeout_s=60)
    assert len(ready.outputs) == 6 and all(isinstance(each, int) for each in ready.outputs)
    assert ready.warm_up_runs > 3 and ready.run_ms > 0

    run = Run(workload="2x3", first=2, repeats=5, warm_up_ms=30)
    ran = worker.ask(run, Ran, timeout_s=60)
    assert len(ran.samples_ms) == 5 and min(ran.samples_ms) > 0
    arriving = replace(run, repeats=2, arrivals_s=(0.0, 0.001))
    assert len(worker.ask(arriving, Ran, timeout_s=60).samples_ms) == 2
    point = memory_of(worker.pid, "now", 1.5)
    assert point and 20 * 2**20 < point.resident_bytes <= point.peak_bytes < 400 * 2**20
    with pytest.raises(WorkerError, match="no workload 't'"):
        worker.ask(replace(run, workload="t"), Ran, timeout_s=60)
    cell = TokenWorkload(name="bad", batches=(((10**6,),),))
    with pytest.raises(WorkerError, match=r"cpu-fp32.onnx failed on a batch of 1x1"):
        worker.ask(cell, Ready, timeout_s=60)


def test_predictions_are_those_of_the_predictor(worker: Worker, opening: Open, bundle: Path):
    worker.ask(opening, Opened, timeout_s=60)
    texts = tuple((text,) for text in TEXTS)
    predictor = Predictor.open(bundle, device="cpu", threads=1)
    expected = [each.to_dict() for each in predictor.predict(TEXTS)]
    alone = TextWorkload(name="t", texts=texts, at_once=False)
    for workload in (alone, replace(alone, at_once=True), replace(alone, timed=False)):
        ready = worker.ask(workload, Ready, timeout_s=60)
        for found, own in zip(ready.outputs, expected, strict=True):
            assert isinstance(found, Classification) and found.label == own["label"]
            assert found.scores == pytest.approx(own["scores"], abs=1e-5)
            assert found.truncated == own["truncated"]
    assert ready.warm_up_runs == len(texts)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"engine": "abacus"}, "engine is 'abacus'; choose one of torch, compile, pipeline"),
        ({"protocol": 3}, "this worker speaks protocol 1, not 3"),
        ({"path": "nowhere"}, "nowhere is not a directory"),
        ({"variant": "cpu-int8"}, "has no variant 'cpu-int8'"),
    ],
)
def test_what_cannot_be_opened_is_said(worker: Worker, opening: Open, changes, why: str):
    with pytest.raises(WorkerError, match=why):
        worker.ask(replace(opening, **changes), Opened, timeout_s=60)


def test_a_worker_imports_nothing_heavy_before_it_is_asked():
    program = "import bertedge.bench.worker, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"numpy", "torch", "transformers", "onnxruntime", "tokenizers"}
    assert heavy.isdisjoint(loaded.stdout.split())


def test_a_worker_ends_in_the_midst_of_work(opening: Open):
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    endless = Run(workload="2x3", first=0, repeats=10**9, warm_up_ms=30)
    process.stdin.write(encode(opening))
    process.stdin.write(encode(TokenWorkload(name="2x3", batches=(((9, 10, 11),),))))
    process.stdin.write(encode(endless))
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["say"] == "opened"
    assert json.loads(process.stdout.readline())["say"] == "ready"
    process.stdin.close()
    assert process.wait(timeout=120) == 0
    process.stdout.close()


def test_a_turn_runs_one_input_after_another_from_the_one_it_is_told(clock: Any):
    runs: list[int] = []

    def run(number: int) -> list[int]:
        runs.append(number)
        clock.now += 0.02
        return [number]

    request = Run(workload="t", first=4, repeats=4, warm_up_ms=30)
    ran = take_turn(Prepared(inputs=3, run=run, read=list), request)
    assert runs == [1, 1, 1, 2, 0, 1]  # the first two are not counted
    assert ran.samples_ms == pytest.approx([20] * 4, abs=0.01)
    runs.clear()
    take_turn(Prepared(inputs=3, run=run, read=list), replace(request, warm_up_ms=0))
    assert runs == [1, 2, 0, 1]


def test_warm_up_labels_every_input_once_in_order():
    ready = warm_up(Prepared(inputs=3, run=lambda number: [number, 9], read=list))
    assert ready.outputs == (0, 9, 1, 9, 2, 9)
    assert ready.warm_up_runs >= 13


def test_times_have_settled_when_two_windows_agree():
    assert settled([9, 8, 7, 6, 5] + [1.0] * 10)
    assert settled([1.0, 1.02] * 5)
    assert not settled([2.0] * 5 + [1.0] * 5)
    assert not settled([1.0] * 5 + [1.1] * 5)
