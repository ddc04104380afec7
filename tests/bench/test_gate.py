from dataclasses import replace

import pytest

from bertedge.bench.gate import Finding, GateError, gate_lines, judge, parse_gate
from bertedge.bench.report import Report


def findings(report: Report, gate: str) -> list[Finding]:
    return judge(report, parse_gate(gate))


def test_a_condition_is_about_the_best_variant_at_every_workload(recorded: Report):
    found = findings(recorded, "speedup>=5")
    assert [f.place for f in found] == [f"cpu-int8 at {w.name}" for w in recorded.workloads]
    speedups = {r.workload: r.speedup for r in recorded.results if r.engine == "cpu-int8"}
    for finding, load in zip(found, recorded.workloads, strict=True):
        ratio = speedups[load.name]
        assert ratio and finding.value == ratio.median
        assert finding.holds == (ratio.median >= 5)
    assert {finding.holds for finding in found} == {True, False}


def test_an_at_sign_narrows_to_a_workload_an_engine_or_both(recorded: Report):
    (one,) = findings(recorded, "p95_ms@texts one by one<5")
    assert one.place == "cpu-int8 at texts one by one" and one.holds
    torch = findings(recorded, "p95_ms@torch-fp32<0.001")
    assert len(torch) == len(recorded.workloads) and not any(f.holds for f in torch)
    (both,) = findings(recorded, "p50_ms @ 1x16 @ torch-bf16 > 0")
    assert both.place == "torch-bf16 at 1x16" and both.holds


def test_figures_of_an_engine_are_one_each(recorded: Report, full: Report):
    (share,) = findings(recorded, "agreement>=99.5%")
    assert share.value == 0.995 and share.holds
    (at,) = findings(recorded, "agreement@1x16>=0.5")
    assert at.place == "cpu-int8 at 1x16"
    for name, value in (("disk_mib", 22.7), ("cold_start_s", 0.253), ("peak_memory_mib", 119)):
        (found,) = findings(recorded, f"{name}<0.01")
        assert found.value == pytest.approx(value, rel=0.01) and not found.holds
    held = findings(full, "accuracy>0.5,max_rate_per_s>=100,installed_mib<=700,idle_cpu<5%")
    assert len(held) == 4 and all(finding.holds for finding in held)


def test_what_was_not_measured_does_not_hold(recorded: Report):
    for gate in ("accuracy>0", "entity_f1>0", "max_rate_per_s>0", "speedup@torch-fp32@1x16>0"):
        (found,) = findings(recorded, gate)
        assert found.value is None and not found.holds
        assert "not measured" in gate_lines([found])[0]
    empty = replace(recorded, results=())
    (found,) = findings(empty, "p95_ms<5")
    assert not found.holds and "no variant" in found.place


def test_an_engine_with_a_problem_fails_whatever_its_figures(recorded: Report):
    engines = [replace(engine, problem="round 2: crashed") for engine in recorded.engines]
    (found,) = findings(replace(recorded, engines=tuple(engines)), "p50_ms@torch-bf16@1x16>0")
    assert not found.holds
    (line,) = gate_lines([found])
    assert line.startswith("FAIL  ") and "round 2: crashed" in line


def test_lines_name_the_figure_and_its_place(recorded: Report):
    (line,) = gate_lines(findings(recorded, "disk_mib<50"))
    assert line == "pass  disk_mib<50: disk_mib is 22.7 for cpu-int8"


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("", "is no condition"),
        ("p95_ms", "is no condition"),
        ("p95_ms<", "is no condition"),
        ("p95_ms==5", "is no condition"),
        ("p95_ms<5,", "is no condition"),
        ("p95_ms<-5", "is no condition"),
        ("latency<5", "'latency' is no figure of bench; choose one of p50_ms, .*, max_rate_per_s"),
        ("p95_ms@a@b@c<5", "names 3 places"),
    ],
)
def test_a_malformed_gate_is_refused_before_anything_runs(gate: str, said: str):
    with pytest.raises(GateError, match=said):
        parse_gate(gate)


def test_an_unknown_place_names_those_there_are(recorded: Report):
    with pytest.raises(GateError, match=r"'9x9'; there are torch-fp32, .*, 1x16, "):
        findings(recorded, "p95_ms@9x9<5")
    with pytest.raises(GateError, match="cold_start_s is of an engine as a whole"):
        findings(recorded, "cold_start_s@1x16<5")
