import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bertedge.errors import BundleError, DeviceError, SettingError
from bertedge.runtime.encoding import Batch
from bertedge.runtime.probe import PROBE
from bertedge.runtime.providers import CPU, CUDA
from bertedge.runtime.session import Session, open_native

onnxruntime = pytest.importorskip("onnxruntime")
HAS_CUDA = "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@pytest.fixture(scope="module")
def session(text_bundle: Path) -> Session:
    return Session.open(text_bundle / "cpu-fp32.onnx", threads=1)


def batch(rows: int, length: int) -> Batch:
    ids = np.ones((rows, length), np.int64)
    return Batch(input_ids=ids, attention_mask=ids, token_type_ids=np.zeros_like(ids))


def test_logits_are_a_float32_row_a_text(session: Session) -> None:
    logits = session.logits(batch(3, 5))
    assert logits.shape == (3, 4) and logits.dtype == np.float32
    assert session.providers == ("CPUExecutionProvider",)


def test_a_graph_without_type_ids_is_not_fed_them(
    text_bundle: Path, tmp_path: Path, session: Session
) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(text_bundle / "cpu-fp32.onnx")
    zeros = onnx.helper.make_node(
        "Sub", ["input_ids", "input_ids"], ["token_type_ids"], name="no_types"
    )
    kept = [each for each in model.graph.input if each.name != "token_type_ids"]
    assert len(kept) == 2
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.graph.node.insert(0, zeros)
    onnx.save(model, tmp_path / "two.onnx")
    two = Session.open(tmp_path / "two.onnx", threads=1)
    np.testing.assert_allclose(two.logits(batch(2, 4)), session.logits(batch(2, 4)), atol=1e-5)


def test_a_graph_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(PROBE.read_bytes())
    with pytest.raises(BundleError, match="no graph of a BERT classifier: its inputs are a, b"):
        Session.open(tmp_path / "other.onnx", threads=1)


@pytest.mark.parametrize("damage", [b"", b"\x08\x01not onnx at all", None])
def test_what_does_not_load_is_a_bundle_error(
    damage: bytes | None, text_bundle: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cpu-fp32.onnx"
    whole = (text_bundle / "cpu-fp32.onnx").read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    with pytest.raises(BundleError, match=r"cpu-fp32.onnx cannot be loaded by onnxruntime .*\("):
        Session.open(path, threads=1)


def test_a_run_that_fails_names_the_model_and_the_batch(session: Session) -> None:
    too_long = batch(2, 65)  # the model has 64 positions
    with pytest.raises(BundleError, match=r"cpu-fp32.onnx failed on a batch of 2x65 tokens"):
        session.logits(too_long)


def test_odd_settings_are_named(text_bundle: Path) -> None:
    path = text_bundle / "cpu-fp32.onnx"
    with pytest.raises(SettingError, match="threads is 0"):
        Session.open(path, threads=0)


@pytest.mark.skipif(HAS_CUDA, reason="this onnxruntime offers CUDA")
def test_cuda_that_is_not_offered_is_an_error_that_says_what_to_install(text_bundle: Path) -> None:
    with pytest.raises(DeviceError, match=r"offers .*CPUExecutionProvider; .*bertedge\[gpu\]"):
        Session.open(text_bundle / "cpu-fp32.onnx", device=CUDA)


@pytest.mark.gpu
@pytest.mark.skipif(not HAS_CUDA, reason="this onnxruntime offers no CUDA")
def test_cuda_runs_the_same_graph(text_bundle: Path, session: Session) -> None:
    cuda = Session.open(text_bundle / "cpu-fp32.onnx", device=CUDA)
    assert cuda.providers[0] == "CUDAExecutionProvider"
    np.testing.assert_allclose(cuda.logits(batch(2, 9)), session.logits(batch(2, 9)), atol=1e-2)


def test_a_missing_onnxruntime_names_the_extra(text_bundle: Path) -> None:
    program = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "import bertedge\n"
        "from bertedge.errors import MissingExtraError\n"
        "try: bertedge.load(sys.argv[1])\n"
        "except MissingExtraError as error: print(error)"
    )
    run = [sys.executable, "-c", program, str(text_bundle)]
    found = subprocess.run(run, capture_output=True, text=True, check=True)
    assert "pip install 'bertedge[cpu]'" in found.stdout


def graph_of(operator: str, *more: object, kind: int = 1, **attributes: object) -> bytes:
    """Give a graph that makes logits of `input_ids` by one operator, with constants if it wants."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    constants = [onnx.numpy_helper.from_array(np.array(c), f"c{i}") for i, c in enumerate(more)]
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["values"], to=kind),
        helper.make_node(operator, ["values", *(c.name for c in constants)], ["y"], **attributes),
    ]
    inputs = [helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, ["b", "s"])]
    outputs = [helper.make_tensor_value_info("y", kind, None)]
    graph = helper.make_graph(nodes, "odd", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("operator", "constants", "shape"),
    [
        ("ReduceSum", ([0, 1],), r"\(1, 1\) for a batch of 3x4"),
        ("Flatten", (), r"\(1, 12\)"),
        ("Reshape", ([-1],), r"\(12,\)"),
        ("Unsqueeze", ([0, 1],), r"\(1, 1, 3, 4\)"),
        ("Transpose", (), r"\(4, 3\)"),
    ],
)
def test_logits_of_another_shape_are_a_clear_error(
    operator: str, constants: tuple[object, ...], shape: str
) -> None:
    attributes = {"axis": 0} if operator == "Flatten" else {}
    content = graph_of(operator, *constants, **attributes)
    session = Session(open_native(content, device=CPU, threads=1), "odd.onnx")
    with pytest.raises(BundleError, match=rf"odd\.onnx gives logits {shape}"):
        session.logits(batch(3, 4))


def test_as_many_logits_come_for_every_batch() -> None:
    session = Session(open_native(graph_of("Identity"), device=CPU, threads=1), "odd.onnx")
    assert session.logits(batch(1, 4)).shape == (1, 4)
    with pytest.raises(BundleError, match=r"gives logits \(1, 5\) for a batch of 1x5"):
        session.logits(batch(1, 5))


def test_what_gives_no_floats_is_no_classifier() -> None:
    native = open_native(graph_of("Identity", kind=9), device=CPU, threads=1)
    with pytest.raises(BundleError, match=r"gives tensor\(bool\), not logits"):
        Session(native, "odd.onnx")


def test_onnxruntime_prints_nothing_where_it_fails(capfd: pytest.CaptureFixture[str]) -> None:
    for content in (b"", b"no graph", graph_of("Nonsense"), graph_of("Reshape", [7, 7])):
        with pytest.raises(BundleError) as caught:
            session = Session(open_native(content, device=CPU, threads=1), "odd.onnx")
            session.logits(batch(3, 4))
        assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
