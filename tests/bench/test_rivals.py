from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the bench extra")

from bertedge.bench.discovery import Machine, with_noise_controls
from bertedge.bench.messages import Exported, Open
from bertedge.bench.rivals import find_onnx_rivals, find_torch_rivals, has_compiler
from bertedge.checkpoint import Checkpoint, open_checkpoint
from bertedge.runtime.providers import CPU, CUDA

BF16 = Machine(cpu_flags=frozenset({"amx_bf16"}), compiler=True)


@pytest.fixture(scope="session")
def checkpoint(checkpoints: Path) -> Checkpoint:
    return open_checkpoint(str(checkpoints / "text-classification"))


def test_the_compiled_model_has_the_fastest_precision(checkpoint: Checkpoint, opening: Open):
    base = replace(opening, scratch="/scratch")
    for machine, device, expected in (
        (BF16, CPU, ["torch-compile bf16", "pipeline-fp32 fp32"]),
        (replace(BF16, cpu_flags=frozenset()), CPU, ["torch-compile fp32", "pipeline-fp32 fp32"]),
        (BF16, CUDA, ["torch-cuda-compile fp16", "pipeline-cuda-fp32 fp32"]),
    ):
        lineup = find_torch_rivals(checkpoint, base, machine, device, quick=False)
        assert [f"{spec.name} {spec.precision}" for spec in lineup.specs] == expected
        baseline = "torch-fp32" if device is CPU else "torch-cuda-fp32"
        assert {spec.baseline for spec in lineup.specs} == {baseline}
    compiled, pipeline = lineup.specs
    assert compiled.starts == 1 and pipeline.starts is None
    assert compiled.open.scratch.startswith("/scratch/") and compiled.open.engine == "compile"
    assert pipeline.takes == ("texts",)


def test_what_is_not_run_is_listed(checkpoint: Checkpoint, opening: Open):
    machine = replace(BF16, compiler=False)
    lineup = find_torch_rivals(checkpoint, opening, machine, CPU, quick=False)
    assert [spec.name for spec in lineup.specs] == ["pipeline-fp32"]
    (missing,) = lineup.left_out
    assert (missing.name, missing.why) == ("torch-compile", "there is no C++ compiler")
    assert missing.fix
    quick = find_torch_rivals(checkpoint, opening, BF16, CPU, quick=True)
    assert not quick.specs
    assert [item.name for item in quick.left_out] == ["torch-compile", "pipeline-fp32"]


def test_a_compiler_is_looked_for_where_torch_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert not has_compiler()
    (tmp_path / "my-c++").write_text("#!/bin/sh\n")
    (tmp_path / "my-c++").chmod(0o755)
    monkeypatch.setenv("CXX", "my-c++")
    assert has_compiler()


def test_graphs_that_could_not_be_made_leave_their_engines_out(opening: Open, bundle: Path):
    graph = str(bundle / "cpu-fp32.onnx")
    made = Exported(exported=graph, fused=None, int8=None, problem="int8: no luck")
    lineup = find_onnx_rivals(made, opening, tokenizer_bytes=7)
    optimum, plain = lineup.specs
    assert (optimum.name, plain.name) == ("optimum-fp32", "onnxruntime-fp32")
    assert (optimum.open.path, optimum.open.variant) == (str(bundle), "cpu-fp32.onnx")
    assert plain.open.path == graph
    assert plain.bytes_on_disk == Path(graph).stat().st_size + 7
    assert [(item.name, item.why) for item in lineup.left_out] == [
        ("optimum-int8", "int8: no luck")
    ]


def test_every_baseline_gets_a_twin(checkpoint: Checkpoint, opening: Open):
    lineup = find_torch_rivals(checkpoint, opening, BF16, CPU, quick=False)
    baseline = replace(lineup.specs[0], name="torch-fp32", baseline=None)
    *_, twin = with_noise_controls([baseline, lineup.specs[1]])
    assert len(with_noise_controls([baseline, lineup.specs[1]])) == 3
    assert (twin.noise_control_of, twin.baseline, twin.open) == (
        "torch-fp32",
        "torch-fp32",
        baseline.open,
    )
