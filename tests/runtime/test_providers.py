from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import bertedge
from bertedge.errors import SettingError
from bertedge.runtime import providers
from bertedge.runtime.providers import (
    AUTO,
    CPU,
    CUDA,
    DEVICES,
    NAMES,
    find_devices,
    first_device,
)

onnxruntime = pytest.importorskip("onnxruntime")


def test_auto_tries_all_devices_and_the_cpu_last() -> None:
    assert set(find_devices(AUTO)) == set(DEVICES)
    assert find_devices(AUTO)[-1] is CPU


@pytest.mark.parametrize("device", DEVICES, ids=lambda device: device.name)
def test_a_device_is_found_by_its_name_alone(device: object) -> None:
    assert find_devices(device.name) == (device,)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["tpu", "CPU", "", "x" * 5000])
def test_a_device_that_there_is_not_is_named_beside_those_there_are(name: str) -> None:
    with pytest.raises(SettingError, match=r"^device is '.*; choose one of cpu, cuda, auto$") as e:
        find_devices(name)
    assert len(str(e.value)) <= 300
    assert name not in NAMES


def test_providers_are_spelled_as_onnxruntime_spells_them() -> None:
    assert {device.provider for device in DEVICES} <= set(onnxruntime.get_all_providers())


def test_no_two_devices_share_a_name_or_a_provider() -> None:
    assert len({device.name for device in DEVICES}) == len(DEVICES)
    assert len({device.provider for device in DEVICES}) == len(DEVICES)


def test_a_providers_list_is_run_by_the_first_device_that_is_known() -> None:
    assert first_device((CUDA.provider, CPU.provider)) is CUDA
    assert first_device(("TensorrtExecutionProvider", CUDA.provider)) is CUDA
    assert first_device(("DmlExecutionProvider",)) is None
    assert first_device(()) is None


def test_a_device_needs_a_row_and_nothing_else(
    text_bundle: Path, altered: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the providers that every onnxruntime has; it leaves all operators to the CPU."""
    azure = replace(
        CPU,
        name="azure",
        provider="AzureExecutionProvider",
        precisions=("fp32",),
        token_budget=99,
        one_run_at_a_time=True,
    )
    if azure.provider not in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime is built without it")
    monkeypatch.setattr(providers, "DEVICES", (CPU, azure))
    monkeypatch.setattr(providers, "NAMES", ("cpu", "azure", "auto"))
    folder = altered(text_bundle, variant={"providers": (azure.provider,)})
    texts = ["turn the kitchen lights off", "jazz"] * 2000
    with bertedge.load(text_bundle, device="cpu", threads=2) as model:
        expected = model.predict(texts)
    for device in ("azure", "auto"):
        with bertedge.load(folder, device=device, threads=2) as model:
            assert model.engine.providers[0] == azure.provider
            found = model.predict(texts)
        assert [each.label for each in found] == [each.label for each in expected]
        scores = [each.score for each in expected]
        assert [each.score for each in found] == pytest.approx(scores, abs=1e-5)


def test_a_machine_always_has_a_cpu() -> None:
    assert CPU.is_there
