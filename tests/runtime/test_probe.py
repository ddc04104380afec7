from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bertedge.errors import DeviceError
from bertedge.runtime import probe
from bertedge.runtime.providers import CPU, CUDA
from bertedge.runtime.session import open_native

onnxruntime = pytest.importorskip("onnxruntime")


def product(a: int, b: int) -> np.ndarray:
    """The probe's product of matrices full of `a` and of `b`."""
    native = open_native(str(probe.PROBE), device=CPU, threads=1)
    shapes = {each.name: each.shape for each in native.get_inputs()}
    feed = {"a": np.full(shapes["a"], a, np.uint8), "b": np.full(shapes["b"], b, np.int8)}
    return native.run(["y"], feed)[0]


@pytest.mark.parametrize(("a", "b"), [(1, 1), (3, -2), (100, 127), (0, -128)])
def test_the_probe_multiplies_integers(a: int, b: int) -> None:
    """Products of which two fit into 16 bits are right on every processor."""
    inner = open_native(str(probe.PROBE), device=CPU, threads=1).get_inputs()[0].shape[1]
    assert (product(a, b) == a * b * inner).all()


def test_products_are_exact_where_the_largest_come_out_right() -> None:
    inner = open_native(str(probe.PROBE), device=CPU, threads=1).get_inputs()[0].shape[1]
    assert probe.int8_is_exact() == bool((product(255, 127) == 255 * 127 * inner).all())


def test_two_of_the_largest_products_do_not_fit_into_16_bits() -> None:
    """Else a processor that saturates would pass."""
    assert np.iinfo(np.int16).max < 2 * 255 * 127


def test_saturated_products_are_not_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    class Saturating:
        """What x86 without VNNI does: pairs of products added in 16 bits."""

        def __init__(self) -> None:
            self._native = open_native(str(probe.PROBE), device=CPU, threads=1)

        def get_inputs(self) -> object:
            return self._native.get_inputs()

        def run(self, names: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            a, b = (feed[name].astype(np.int64) for name in "ab")
            single = a[:, :, None] * b[None]
            pairs = single[:, ::2] + single[:, 1::2]
            return [np.clip(pairs, -(2**15), 2**15 - 1).sum(axis=1)]

    monkeypatch.setattr(probe, "open_native", lambda *_, **__: Saturating())
    assert not probe.int8_is_exact()


def test_a_device_is_checked_by_running_the_probe() -> None:
    probe.check_device(CPU)
    if CUDA.provider not in onnxruntime.get_available_providers():
        with pytest.raises(DeviceError, match="is not there"):
            probe.check_device(CUDA)


def test_the_file_is_what_the_script_makes(make_tiny: ModuleType, tmp_path: Path) -> None:
    make_tiny.make_probe(tmp_path / "probe.onnx")
    assert (tmp_path / "probe.onnx").read_bytes() == probe.PROBE.read_bytes()
