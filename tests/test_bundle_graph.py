"""What onnxruntime never sees: a graph that none of our exporters could have written."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bertedge.bundle.graph import MOST_NODES, OPERATORS, check_graph
from bertedge.errors import BundleError

onnx = pytest.importorskip("onnx")

TINY = sorted((Path(__file__).parent.parent / "models" / "tiny").glob("*/*.onnx"))
Change = Callable[["onnx.ModelProto"], None]


def model() -> "onnx.ModelProto":
    helper = onnx.helper
    shape = ["batch", "sequence"]
    graph = helper.make_graph(
        [helper.make_node("Cast", ["input_ids"], ["logits"], to=onnx.TensorProto.FLOAT)],
        "tiny",
        [helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, shape)],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def loop(found: "onnx.ModelProto") -> None:
    body = onnx.helper.make_graph([], "body", [], [])
    node = onnx.helper.make_node("Loop", ["input_ids"], ["out"], body=body)
    found.graph.node.append(node)


def graph_attribute(found: "onnx.ModelProto") -> None:
    body = onnx.helper.make_graph([], "body", [], [])
    found.graph.node[0].attribute.append(onnx.helper.make_attribute("body", body))


def constant(values: object, kind: str = "int64") -> Change:
    def change(found: "onnx.ModelProto") -> None:
        tensor = onnx.numpy_helper.from_array(np.array(values, kind), "shape")
        found.graph.initializer.append(tensor)

    return change


def attribute_constant(found: "onnx.ModelProto") -> None:
    node = onnx.helper.make_node("Constant", [], ["shape"], value_ints=[2**20, 2**20])
    found.graph.node.append(node)


def typed_constant(found: "onnx.ModelProto") -> None:
    tensor = onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, [2], [2**20, 2**20])
    found.graph.initializer.append(tensor)


def external(location: str, **more: str) -> Change:
    def change(found: "onnx.ModelProto") -> None:
        tensor = found.graph.initializer.add(name="w", data_type=1, dims=[4])
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            tensor.external_data.add(key=key, value=value)

    return change


def external_in_an_attribute(found: "onnx.ModelProto") -> None:
    holder = model()
    external("secret")(holder)
    node = onnx.helper.make_node("Constant", [], ["w"], value=holder.graph.initializer[0])
    found.graph.node.append(node)


def function(found: "onnx.ModelProto") -> None:
    found.functions.add(name="f", domain="x")


def sparse(found: "onnx.ModelProto") -> None:
    found.graph.sparse_initializer.add(dims=[4])


def many(found: "onnx.ModelProto") -> None:
    found.graph.node.extend([found.graph.node[0]] * MOST_NODES)


def other_input(found: "onnx.ModelProto") -> None:
    found.graph.input[0].name = "pixel_values"


def operator(name: str, domain: str = "") -> Change:
    def change(found: "onnx.ModelProto") -> None:
        found.graph.node.append(onnx.helper.make_node(name, ["input_ids"], ["o"], domain=domain))

    return change


@pytest.mark.parametrize("path", TINY, ids=lambda path: path.parent.name)
def test_what_our_exporters_write_passes(path: Path) -> None:
    check_graph(path, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (loop, r"an operator '\.Loop'|a graph of its own"),
        (graph_attribute, "a graph of its own"),
        (operator("If"), r"an operator '\.If'"),
        (operator("RandomNormalLike"), "RandomNormalLike"),
        (operator("Gelu", "evil.ops"), r"an operator 'evil\.ops\.Gelu'"),
        (operator("Gather\x1b[2J"), r"'\.Gather\\x1b\[2J'"),
        (constant([2**20, 2**20]), "a huge shape"),
        (constant(2**30), "a huge shape"),
        (constant([2**15, 2**15], "int32"), "a huge shape"),
        (attribute_constant, "a huge shape"),
        (typed_constant, "a huge shape"),
        (external("secret"), "reads 'secret', which the manifest does not name"),
        (external("/etc/passwd"), "reads '/etc/passwd'"),
        (external("*/_ORT_MEM_ADDR_/*"), "_ORT_MEM_ADDR_"),
        (external("w.weights", mode="x"), "has the key 'mode'"),
        (external_in_an_attribute, "reads 'secret'"),
        (function, "the model has the field 25"),
        (sparse, "the graph has the field 15"),
        (many, "20,001 nodes"),
        (other_input, "an input 'pixel_values'"),
        (lambda found: found.graph.ClearField("output"), "it has 0 outputs"),
        (lambda found: found.ClearField("graph"), "it holds 0 graphs"),
    ],
)
def test_what_they_do_not_write_is_named(tmp_path: Path, change: Change, message: str) -> None:
    found = model()
    path = tmp_path / "graph.onnx"
    path.write_bytes(found.SerializeToString())
    check_graph(path, "w.weights")
    change(found)
    path.write_bytes(found.SerializeToString())
    with pytest.raises(BundleError, match=message) as caught:
        check_graph(path, "w.weights")
    assert "\n" not in str(caught.value)


def test_weights_that_the_manifest_names_are_read(tmp_path: Path) -> None:
    found = model()
    external("w.weights", offset="0", length="16")(found)
    constant([1, -1, 12, 64])(found)
    constant([0, 2**63 - 1])(found)  # from the beginning to the end of a slice
    constant(np.arange(512))(found)  # positions
    path = tmp_path / "graph.onnx"
    path.write_bytes(found.SerializeToString())
    check_graph(path, "w.weights")
    with pytest.raises(BundleError, match="does not name"):
        check_graph(path, None)


def test_two_graphs_are_refused_which_protobuf_would_merge(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(model().SerializeToString() * 2)
    with pytest.raises(BundleError, match="it holds 2 graphs"):
        check_graph(path, None)


def test_no_cut_file_is_anything_but_refused(tmp_path: Path) -> None:
    whole = model().SerializeToString()
    path = tmp_path / "graph.onnx"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            check_graph(path, None)
        except BundleError as error:
            assert "is no graph that bertedge exports" in str(error)
        else:
            onnx.load(path)  # cut between two fields


def test_no_operator_runs_graphs_or_draws_by_chance() -> None:
    names = {name.decode() for name in OPERATORS}
    assert not {name for name in names if name.startswith(("Random", "Sequence", "Optional"))}
    assert names.isdisjoint({"Loop", "If", "Scan", "Bernoulli", "Multinomial", "PyOp"})
