"""A bench on a disturbed machine does not boast: not in words, gates, comparisons, on the page."""

from dataclasses import replace

import pytest

from bertedge.bench.compare import comparison_lines
from bertedge.bench.gate import OF_AN_ENGINE, OF_TIME, gate_lines, judge, parse_gate
from bertedge.bench.interference import CpuUse, IdleWait
from bertedge.bench.reliability import MAX_NOISE, unreliable
from bertedge.bench.report import Report
from bertedge.bench.summary import notes, summary
from bertedge.bench.text import render


def noisy(report: Report, floor: float) -> Report:
    """The report with one workload at which the baseline differs so much from itself."""
    return replace(report, noise=(*report.noise[:-1], replace(report.noise[-1], floor=floor)))


def loaded(report: Report, load: float) -> Report:
    return replace(report, environment=replace(report.environment, load=load, host_cores=2))


def taken(report: Report, *rounds: float, threads: int = 2) -> Report:
    """The report with so many cores taken by others in its rounds, and more outside them."""
    uses = [("before", 9.0), ("warm-up", 9.0), *((f"round {i}", t) for i, t in enumerate(rounds))]
    return replace(
        loaded(report, 0.1),
        settings=replace(report.settings, threads=threads),
        cpu_use=tuple(
            CpuUse(where=where, seconds=2.0, other_cores=cores, load=3.0)
            for where, cores in (*uses, ("after", 9.0))
        ),
    )


@pytest.fixture(params=["noise", "load", "others"])
def disturbed(full: Report, request: pytest.FixtureRequest) -> tuple[Report, str]:
    """A bench that is not reliable, and the figure that tells so."""
    return {
        "noise": (noisy(full, 4.02), "differs from itself by 402%"),
        "load": (loaded(full, 5.2), "the load before was 5.20 on 2 cores"),
        "others": (taken(full, 0.9, 1.1), "other processes took 1.00 of 2 cores"),
    }[request.param]


def test_the_sentence_starts_with_not_reliable_and_the_figure(disturbed: tuple[Report, str]):
    report, figure = disturbed
    assert summary(report)[0].startswith("Not reliable (") and figure in summary(report)[0]
    assert "\n\nNot reliable (" in render(report)
    assert any("--wait-idle" in note for note in notes(report))
    # Also where there is nothing to compare.
    assert summary(replace(report, results=()))[0].startswith("Not reliable (")


def test_a_quiet_machine_is_believed(full: Report):
    for report in (full, noisy(full, MAX_NOISE), loaded(full, 2.0), taken(full, 0.5, 0.4)):
        assert unreliable(report) is None
        assert not summary(report)[0].startswith("Not reliable")


def test_what_others_took_in_the_rounds_counts_for_more_than_the_load_before(full: Report):
    """The load of the last minute still holds the export of the bundle that is measured."""
    assert unreliable(loaded(taken(full, 0.0, 0.1), 3.5)) is None


def test_cores_that_the_engines_leave_may_be_taken(full: Report):
    assert unreliable(taken(full, 1.2, threads=1)) is None
    assert unreliable(taken(full, 1.3, threads=1))


def test_every_condition_on_time_is_inconclusive_and_others_decide(disturbed: tuple[Report, str]):
    report, figure = disturbed
    for name in OF_TIME:
        for compare in "<>":
            found = judge(report, parse_gate(f"{name}@cpu-int8{compare}1"))
            assert found
            for finding in found:
                assert finding.unreliable and not finding.holds and not finding.fails
                assert figure in gate_lines([finding])[-1]
    decided = {
        finding.condition.name: finding.holds
        for gate in ("agreement>=0.99", "disk_mib<1", "peak_memory_mib<1000", "accuracy>0.99")
        for finding in judge(report, parse_gate(gate))
    }
    assert decided == {
        "agreement": True, "disk_mib": False, "peak_memory_mib": True, "accuracy": False,
    }  # fmt: skip
    assert set(OF_AN_ENGINE) - set(OF_TIME) >= {*decided, "installed_mib", "idle_cpu"}


def test_what_is_missing_or_broken_still_fails(disturbed: tuple[Report, str]):
    report, _ = disturbed
    (missing,) = judge(report, parse_gate("speedup@torch-fp32@1x16>0"))
    assert missing.value is None and missing.fails
    engines = tuple(replace(engine, problem="crashed") for engine in report.engines)
    broken = judge(replace(report, engines=engines), parse_gate("p50_ms@cpu-int8>0"))
    assert all(finding.fails for finding in broken)


def test_no_times_are_compared_where_either_bench_is_not_reliable(
    full: Report, disturbed: tuple[Report, str]
):
    report, figure = disturbed
    slow = replace(report.engines[-1], bytes_on_disk=report.engines[-1].bytes_on_disk * 2)
    report = replace(report, engines=(*report.engines[:-1], slow))
    for old, new, which in ((full, report, "this"), (report, full, "the earlier")):
        lines = comparison_lines(old, new, "old.json")
        told = [line for line in lines if "times are not compared" in line]
        assert len(told) == 1 and f"{which} bench" in told[0] and figure in told[0]
        assert not any(" ms" in line or "latencies" in line for line in lines)
        assert any("cpu-int8: on disk" in line for line in lines)


def test_what_else_went_on_is_noted_though_the_times_are_reliable(full: Report):
    assert any("took 0.40 of 2 cores" in note for note in notes(taken(full, 0.4)))
    assert not any("took" in note for note in notes(taken(full, 0.1)))
    wait = IdleWait(limit_s=30, waited_s=30.1, quiet=False)
    assert any("not quiet within the 30 s" in n for n in notes(replace(full, idle_wait=wait)))
    quiet = replace(wait, quiet=True)
    assert not any("quiet" in note for note in notes(replace(full, idle_wait=quiet)))
