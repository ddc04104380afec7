from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the bench extra")

from bertedge.bench.discovery import (
    Lineup,
    Machine,
    check_comparable,
    checkpoint_bytes,
    find_engines,
)
from bertedge.bench.messages import Open
from bertedge.bundle import Bundle, open_bundle
from bertedge.checkpoint import Checkpoint, open_checkpoint
from bertedge.errors import BertedgeError, DeviceError, SettingError
from bertedge.runtime.providers import DEVICES

PLAIN = Machine(cpu_flags=frozenset({"avx2"}))
BF16 = Machine(cpu_flags=frozenset({"avx2", "avx512_bf16"}))
CUDA = Machine(cpu_flags=frozenset({"amx_bf16"}), devices=DEVICES)
PROVIDERS = {
    "cpu-int8": ("CPUExecutionProvider",),
    "cpu-fp32": ("CPUExecutionProvider",),
    "cuda-fp16": ("CUDAExecutionProvider", "CPUExecutionProvider"),
}


@pytest.fixture(scope="session")
def checkpoint(checkpoints: Path) -> Checkpoint:
    return open_checkpoint(str(checkpoints / "text-classification"))


@pytest.fixture
def lineup(bundle: Path, checkpoint: Checkpoint, opening: Open) -> Callable[..., Lineup]:
    """Lists the engines of a bundle with variants of these names."""
    whole = open_bundle(bundle)
    only = whole.manifest.variants[0]

    def find(*names: str, machine: Machine = PLAIN, device: str = "auto") -> Lineup:
        variants = tuple(
            replace(only, name=n, precision=n.split("-")[1], providers=PROVIDERS[n]) for n in names
        )
        manifest = replace(whole.manifest, variants=variants)
        named = Bundle(folder=bundle, manifest=manifest)
        base = replace(opening, engine="torch", variant=None)
        return find_engines(named, checkpoint, base, machine, device=device)

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
