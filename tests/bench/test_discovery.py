import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the bench extra")

from bertedge.bench.backends import ALONE, NO_PIPELINE, NO_WINDOWS, NOT_POOLED
from bertedge.bench.discovery import (
    Candidates,
    Lineup,
    Machine,
    check_comparable,
    find_onnx,
    find_rivals,
    find_torch,
    find_variants,
    this_machine,
    with_noise_controls,
)
from bertedge.bench.engine import checkpoint_bytes
from bertedge.bench.protocol import Exported, Open
from bertedge.bundle import Bundle, open_bundle
from bertedge.checkpoint import Checkpoint, open_checkpoint
from bertedge.errors import BertedgeError, DeviceError, SettingError
from bertedge.runtime.providers import DEVICES
from bertedge.spec import Task

PLAIN = Machine(cpu_flags=frozenset({"avx2"}))
BF16 = Machine(cpu_flags=frozenset({"avx2", "avx512_bf16"}), compiler=True)
CUDA = Machine(cpu_flags=frozenset({"amx_bf16"}), devices=DEVICES, compiler=True)
PROVIDERS = {
    "cpu-int8": ("CPUExecutionProvider",),
    "cpu-fp32": ("CPUExecutionProvider",),
    "cuda-fp16": ("CUDAExecutionProvider", "CPUExecutionProvider"),
}


@pytest.fixture(scope="session")
def checkpoint(checkpoints: Path) -> Checkpoint:
    return open_checkpoint(str(checkpoints / "text-classification"))


@pytest.fixture
def candidates(bundle: Path, checkpoint: Checkpoint, opening: Open) -> Candidates:
    base = replace(opening, engine="torch", variant=None, scratch="/scratch")
    opened = open_bundle(bundle)
    return Candidates(bundle=opened, checkpoint=checkpoint, base=base, machine=PLAIN)


@pytest.fixture
def lineup(candidates: Candidates) -> Callable[..., Lineup]:
    """Lists the engines of a bundle with variants of these names."""

    def find(*names: str, machine: Machine = PLAIN, device: str = "auto") -> Lineup:
        whole = candidates.bundle
        variants = tuple(
            replace(
                whole.manifest.variants[0],
                name=name,
                precision=name.split("-")[1],
                providers=PROVIDERS[name],
            )
            for name in names
        )
        named = Bundle(folder=whole.folder, manifest=replace(whole.manifest, variants=variants))
        wanted = replace(candidates, bundle=named, machine=machine, device=device)
        return Lineup.of([*find_torch(wanted), *find_variants(wanted)])

    return find


@pytest.fixture
def rivals(candidates: Candidates) -> Callable[..., Lineup]:
    def find(machine: Machine, device: str = "cpu", **changes: bool) -> Lineup:
        wanted = replace(candidates, machine=machine, device=device, **changes)
        return Lineup.of(find_rivals(wanted))

    return find


def names(lineup: Lineup) -> list[str]:
    return [spec.name for spec in lineup.specs]


def test_pytorch_and_every_variant_run_on_the_cpu(lineup: Callable[..., Lineup]):
    found = lineup("cpu-int8", "cpu-fp32")
    assert names(found) == ["torch-fp32", "cpu-int8", "cpu-fp32"]
    assert [spec.baseline for spec in found.specs] == [None, "torch-fp32", "torch-fp32"]
    assert [item.name for item in found.left_out] == ["torch-bf16"]


def test_bf16_runs_where_the_cpu_has_it(lineup: Callable[..., Lineup]):
    found = lineup("cpu-int8", machine=BF16)
    assert names(found) == ["torch-fp32", "torch-bf16", "cpu-int8"]
    assert found.specs[1].baseline == "torch-fp32"
    assert not found.left_out


def test_each_device_has_a_baseline_of_its_own(lineup: Callable[..., Lineup]):
    found = lineup("cpu-int8", "cuda-fp16", machine=CUDA)
    assert {spec.name: spec.baseline for spec in found.specs} == {
        "torch-fp32": None,
        "torch-bf16": "torch-fp32",
        "torch-cuda-fp32": None,
        "torch-cuda-bf16": "torch-cuda-fp32",
        "torch-cuda-fp16": "torch-cuda-fp32",
        "cpu-int8": "torch-fp32",
        "cuda-fp16": "torch-cuda-fp32",
    }
    assert {spec.open.device for spec in found.specs if "cuda" in spec.name} == {"cuda"}


def test_a_variant_without_its_device_is_listed_not_dropped(lineup: Callable[..., Lineup]):
    found = lineup("cpu-int8", "cuda-fp16", machine=BF16)
    assert [(item.name, item.why) for item in found.left_out] == [
        ("cuda-fp16", "needs cuda, which PyTorch does not see here")
    ]
    found = lineup("cpu-int8", "cuda-fp16", machine=CUDA, device="cuda")
    assert [(item.name, item.why) for item in found.left_out] == [
        ("cpu-int8", "needs cpu, --device is cuda")
    ]


def test_a_device_that_is_not_there_is_an_error_with_the_fix(lineup: Callable[..., Lineup]):
    with pytest.raises(DeviceError, match="no CUDA device to compare with; use --device cpu"):
        lineup("cpu-int8", device="cuda")
    with pytest.raises(DeviceError, match=r"no variant for cpu; .*cuda-fp16: needs cuda"):
        lineup("cuda-fp16", machine=BF16)
    with pytest.raises(SettingError, match="device is 'tpu'; choose one of cpu, cuda, auto"):
        lineup("cpu-int8", device="tpu")


def test_bytes_on_disk_are_those_of_what_is_needed(
    lineup: Callable[..., Lineup], bundle: Path, checkpoint: Checkpoint
):
    torch_fp32, variant = lineup("cpu-fp32").specs
    assert variant.bytes_on_disk == sum(path.stat().st_size for path in bundle.iterdir())
    needed = ("model.safetensors", "tokenizer.json", "config.json")
    sizes = [(checkpoint.folder / name).stat().st_size for name in needed]
    assert torch_fp32.bytes_on_disk == checkpoint_bytes(checkpoint.folder) == sum(sizes)


def test_a_checkpoint_without_tokenizer_json_counts_its_vocabulary(tmp_path: Path):
    for name, size in (("model-1.safetensors", 1), ("model-2.safetensors", 20), ("config.json", 3)):
        (tmp_path / name).write_bytes(b"x" * size)
    for name, size in (("vocab.json", 400), ("merges.txt", 5000), ("optimizer.pt", 10**5)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert checkpoint_bytes(tmp_path) == 5424


def test_only_equals_are_compared(bundle: Path, checkpoint: Checkpoint, checkpoints: Path):
    opened = open_bundle(bundle)
    check_comparable(opened, checkpoint)
    other = replace(
        checkpoint,
        model=replace(checkpoint.model, labels=("lights", "music", "other", "heating")),
    )
    with pytest.raises(BertedgeError, match=r"4 labels \(lights, music, heating, …\)"):
        check_comparable(opened, other)
    tokens = open_checkpoint(str(checkpoints / "token-classification"))
    with pytest.raises(BertedgeError, match="is for text-classification, the baseline"):
        check_comparable(opened, tokens)


def test_the_compiled_model_has_the_fastest_precision(rivals: Callable[..., Lineup]):
    for machine, device, expected in (
        (BF16, "cpu", ["torch-compile bf16", "pipeline-fp32 fp32"]),
        (replace(BF16, cpu_flags=frozenset()), "cpu", ["torch-compile fp32", "pipeline-fp32 fp32"]),
        (CUDA, "cuda", ["torch-cuda-compile fp16", "pipeline-cuda-fp32 fp32"]),
    ):
        found = rivals(machine, device)
        assert [f"{spec.name} {spec.precision}" for spec in found.specs] == expected
        baseline = "torch-fp32" if device == "cpu" else "torch-cuda-fp32"
        assert {spec.baseline for spec in found.specs} == {baseline}
    compiled, pipeline = found.specs
    assert compiled.starts == 1 and pipeline.starts is None
    assert compiled.open.scratch.startswith("/scratch/") and compiled.open.engine == "compile"
    assert pipeline.takes == ("texts",)


def test_what_is_not_run_is_listed(rivals: Callable[..., Lineup]):
    found = rivals(replace(BF16, compiler=False))
    assert names(found) == ["pipeline-fp32"]
    (missing,) = found.left_out
    assert (missing.name, missing.why) == ("torch-compile", "there is no C++ compiler")
    assert missing.fix
    quick = rivals(BF16, quick=True)
    assert not quick.specs
    assert [item.name for item in quick.left_out] == ["torch-compile", "pipeline-fp32"]


def test_a_compiler_is_looked_for_where_torch_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert not this_machine().compiler
    (tmp_path / "my-c++").write_text("#!/bin/sh\n")
    (tmp_path / "my-c++").chmod(0o755)
    monkeypatch.setenv("CXX", "my-c++")
    assert this_machine().compiler


def test_graphs_that_could_not_be_made_leave_their_engines_out(
    candidates: Candidates, bundle: Path
):
    graph = str(bundle / "cpu-fp32.onnx")
    made = Exported(exported=graph, problem="int8: no luck")
    lineup = Lineup.of(find_onnx(candidates, made))
    optimum, plain = lineup.specs
    assert (optimum.name, plain.name) == ("optimum-fp32", "onnxruntime-fp32")
    assert (optimum.open.path, optimum.open.variant) == (str(bundle), "cpu-fp32.onnx")
    assert plain.open.path == graph
    tokenizer = (bundle / "tokenizer.json").stat().st_size
    assert plain.bytes_on_disk == Path(graph).stat().st_size + tokenizer
    assert [(item.name, item.why) for item in lineup.left_out] == [
        ("optimum-int8", "int8: no luck")
    ]


@pytest.mark.parametrize(
    ("task", "engines", "reason"),
    [
        (Task.INTENT_SLOTS, ["torch-compile"], ALONE),
        (Task.MULTIPLE_CHOICE, ["torch-compile"], NO_PIPELINE),
        (Task.FEATURE_EXTRACTION, ["torch-compile"], NOT_POOLED),
        (Task.QUESTION_ANSWERING, ["torch-compile", "pipeline-fp32"], NO_WINDOWS),
    ],
)
def test_engines_that_have_nothing_to_say_of_a_task_are_left_out_with_the_reason(
    candidates: Candidates, bundle: Path, task: Task, engines: list[str], reason: str
):
    model = replace(candidates.base.model, task=task)
    base = replace(candidates.base, model=model)
    wanted = replace(candidates, base=base, machine=BF16)
    made = Exported(exported=str(bundle / "cpu-fp32.onnx"))
    found = Lineup.of([*find_rivals(wanted), *find_onnx(wanted, made)])
    left_out = {item.name: item for item in found.left_out}
    assert left_out["onnxruntime-fp32"].why == reason
    if task is Task.QUESTION_ANSWERING:
        assert names(found) == [*engines, "optimum-fp32"]
    else:
        assert left_out["optimum-fp32"].why == reason
        rival = "sentence-transformers-fp32"
        if task is not Task.FEATURE_EXTRACTION:
            assert left_out["pipeline-fp32"].why == reason
        elif importlib.util.find_spec("sentence_transformers") is None:
            assert left_out[rival].fix == "pip install sentence-transformers"
        else:
            engines.append(rival)
        assert names(found) == engines


def test_every_baseline_gets_a_noise_control(lineup: Callable[..., Lineup]):
    specs = lineup("cpu-int8").specs
    *_, control = with_noise_controls(specs)
    assert len(with_noise_controls(specs)) == len(specs) + 1
    baseline = specs[0]
    assert (control.noise_control_of, control.baseline) == ("torch-fp32", "torch-fp32")
    assert control.open == baseline.open


def test_of_two_engines_with_one_name_the_second_is_left_out(lineup: Callable[..., Lineup]):
    specs = lineup("cpu-int8").specs
    found = Lineup.of([*specs, specs[0]])
    assert found.specs == specs
    assert [(item.name, item.why) for item in found.left_out] == [
        ("torch-fp32", "another engine has this name")
    ]
