from dataclasses import replace

import pytest

from bertedge.bench.compare import compare_latencies, comparison_lines
from bertedge.bench.report import Agreement, Report, Result
from bertedge.bench.statistics import Difference, summarize


def slowed(report: Report, factor: float, *engines: str) -> Report:
    """The report with some engines' every run `factor` times as long."""

    def slow(result: Result) -> Result:
        if result.engine not in engines:
            return result
        rounds = tuple(tuple(ms * factor for ms in turn) for turn in result.rounds_ms)
        times = summarize([ms for turn in rounds for ms in turn])
        return replace(result, rounds_ms=rounds, latency=times)

    return replace(report, results=tuple(map(slow, report.results)))


def differences(old: Report, new: Report) -> dict[str, set[Difference | None]]:
    changes = compare_latencies(old, new)
    names = {change.now.engine for change in changes}
    return {name: {c.difference for c in changes if c.now.engine == name} for name in names}


def test_a_report_differs_from_itself_in_nothing(recorded: Report):
    assert set.union(*differences(recorded, recorded).values()) == {Difference.NONE}
    lines = comparison_lines(recorded, recorded, "old.json")
    assert lines == [
        "Since old.json of 2026-11-21:",
        "  12 latencies show no difference beyond the noise",
    ]


def test_an_engine_made_slower_is_told_and_no_other(full: Report):
    found = differences(full, slowed(full, 1.5, "cpu-int8"))
    assert found["cpu-int8"] == {Difference.SLOWER}
    assert found["torch-bf16"] == found["torch-fp32"] == {Difference.NONE}
    lines = comparison_lines(full, slowed(full, 1.5, "cpu-int8"), "old.json")
    told = [line for line in lines if "cpu-int8 at 1x16" in line]
    assert len(told) == 1
    assert "1.50 times slower relative to its baseline, 0.966 -> 1.44 ms (noise 4.0%)" in told[0]
    assert differences(slowed(full, 1.5, "cpu-int8"), full)["cpu-int8"] == {Difference.FASTER}


def test_a_slower_machine_is_no_change_of_the_engines_but_of_the_baseline(full: Report):
    everyone = [engine.name for engine in full.engines]
    found = differences(full, slowed(full, 1.5, *everyone))
    assert found["cpu-int8"] == found["torch-bf16"] == {Difference.NONE}
    assert found["torch-fp32"] == {Difference.SLOWER}


def test_a_change_within_the_noise_of_both_is_none(full: Report):
    def noise(report: Report, floor: float) -> Report:
        return replace(report, noise=tuple(replace(item, floor=floor) for item in report.noise))

    faster = slowed(full, 0.6, "cpu-int8")
    assert differences(full, faster)["cpu-int8"] == {Difference.FASTER}
    loud = differences(noise(full, 0.05), noise(faster, 0.4))
    assert loud["cpu-int8"] == {Difference.NONE}


def test_too_few_rounds_are_not_judged(full: Report):
    short = replace(
        full,
        results=tuple(
            replace(r, rounds=r.rounds[:2], rounds_ms=r.rounds_ms[:2]) for r in full.results
        ),
    )
    assert set.union(*differences(short, full).values()) == {None}
    assert any("fewer than 3 rounds" in line for line in comparison_lines(short, full, "x"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cpu": "Another"}, "not the same: CPU AMD EPYC -> Another"),
        ({"versions": {"torch": "9"}}, "not the same: torch 2.13.0+cpu -> 9"),
        ({"cores": 64}, "not the same: cores 2 -> 64"),
    ],
)
def test_another_setting_is_said(recorded: Report, changed: dict[str, object], said: str):
    other = replace(recorded, environment=replace(recorded.environment, **changed))
    assert f"  {said}" in comparison_lines(recorded, other, "old.json")


def test_what_else_changed_is_said_by_engine(full: Report):
    int8 = full.engines[-1]
    starts = tuple(replace(start, total_s=9.0) for start in int8.cold_starts)
    worse = replace(
        int8,
        cold_starts=starts,
        bytes_on_disk=int8.bytes_on_disk * 2,
        on_texts=Agreement(share=0.5, labels=400),
        problem="crashed",
    )
    lines = comparison_lines(full, replace(full, engines=(*full.engines[:-1], worse)), "old.json")
    assert "  cpu-int8: cold start 0.25 -> 9.00 s" in lines
    assert "  cpu-int8: on disk 22.7 -> 45.4 MiB" in lines
    assert "  cpu-int8: labels agree 99.5% -> 50.0%" in lines
    assert "  cpu-int8: problem none -> crashed" in lines
    assert not any("peak memory" in line for line in lines)


def test_an_engine_in_one_record_only_is_named(full: Report):
    fewer = replace(
        full,
        engines=full.engines[:-1],
        results=tuple(r for r in full.results if r.engine != "cpu-int8"),
    )
    assert "  not the same: engine cpu-int8 only then" in comparison_lines(full, fewer, "x")
    assert "  not the same: engine cpu-int8 only now" in comparison_lines(fewer, full, "x")
    assert "cpu-int8" not in differences(fewer, full)
