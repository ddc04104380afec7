"""Each engine's process from its start to its first prediction; at the end, what it takes idle."""

import time

from bertedge.bench.protocol import Run
from bertedge.bench.runner import Measurement
from bertedge.bench.trackers import cpu_seconds

IDLE_S = 1.0


def start_all(measurement: Measurement) -> None:
    """Start each engine several times, one at a time; the last of its processes stays."""
    starts = measurement.settings.starts
    due = [
        runner
        for number in range(starts)
        for runner in measurement.rotated(number)
        if number < (runner.spec.starts or starts)
    ]
    measurement.begin("cold starts", f"{len(measurement.runners)} engines", len(due), "starts")
    for runner in due:
        if not runner.problem:
            runner.start()
        measurement.progress.advance(1, runner.spec.name)


def rest_all(measurement: Measurement) -> None:
    """See what CPU time each process takes in the second after a last run."""
    marks = []
    for runner in measurement.runners:
        if runner.worker is None or not runner.ready:
            continue
        pid = runner.worker.pid
        last = Run(workload=next(iter(runner.ready)), first=0, repeats=1)
        ran = runner.run(last, "last run")
        used_s = cpu_seconds(pid)
        if ran and used_s is not None:
            marks.append((runner, pid, time.perf_counter(), used_s))
    for runner, pid, moment, used_s in marks:
        time.sleep(max(moment + IDLE_S - time.perf_counter(), 0))
        now_s = cpu_seconds(pid)
        if now_s is not None:
            runner.idle_cpu = max(now_s - used_s, 0.0) / (time.perf_counter() - moment)
