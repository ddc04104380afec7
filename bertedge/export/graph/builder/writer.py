"""A graph that grows node by node, in the operators that onnxruntime's kernels are fused to."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bertedge.errors import CheckpointError, shorten
from bertedge.export.graph.builder.weights import Weights

MICROSOFT = "com.microsoft"
IR_VERSION = 8
_GELUS: Mapping[str, str] = {
    "gelu": "Gelu",
    "gelu_python": "Gelu",
    "gelu_new": "FastGelu",
    "gelu_fast": "FastGelu",
    "gelu_accurate": "FastGelu",
    "gelu_pytorch_tanh": "FastGelu",
    "gelu_python_tanh": "FastGelu",
}
_PLAIN: Mapping[str, str] = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "mish": "Mish"}
_SIGMOIDS: Mapping[str, float] = {"silu": 1.0, "swish": 1.0, "quick_gelu": 1.702}
"""x * sigmoid(alpha * x), by alpha."""
_OPSET_OF_MISH = 18
_OPSET_OF_EQUAL_PARTS = 18
"""From which Split is told their number."""

Attributes = int | float | str | Sequence[int] | Sequence[float]


class Writer:
    """Nodes and constants of a graph under way; a constant of one name is stored once."""

    def __init__(self, weights: Weights, opset: int) -> None:
        self.weights = weights
        self.opset = opset
        self._graph = ir.Graph(
            [], [], nodes=[], name="encoder", opset_imports={"": opset, MICROSOFT: 1}
        )
        self._constants: dict[str, ir.Value] = {}
        self._names: dict[str, int] = {}

    def input(self, name: str) -> ir.Value:
        """Add an input `(batch, sequence)` of integers."""
        value = ir.val(name, ir.DataType.INT64, ["batch_size", "sequence_length"])
        self._graph.inputs.append(value)
        return value

    def finish(self, logits: ir.Value, shape: Sequence[str | int]) -> ir.Model:
        """Return the graph whose output is `logits`."""
        logits.name = "logits"
        logits.shape = ir.Shape(shape)
        logits.type = ir.TensorType(ir.DataType.FLOAT)
        self._graph.outputs.append(logits)
        return ir.Model(self._graph, ir_version=IR_VERSION, producer_name="bertedge")

    def constant(self, name: str, array: NDArray[np.generic]) -> ir.Value:
        """Add a constant, or return the one of that name."""
        if name not in self._constants:
            tensor = ir.tensor(np.require(array, requirements="C"), name=name)
            value = ir.val(name, const_value=tensor)
            self._graph.register_initializer(value)
            self._constants[name] = value
        return self._constants[name]

    def integers(self, *values: int, scalar: bool = False) -> ir.Value:
        """Add a constant of integers: a vector, or the one value as a scalar."""
        array = np.array(values[0] if scalar else values, np.int64)
        kind = "int" if scalar else "ints"
        return self.constant(f"{kind}:{','.join(map(str, values))}", array)

    def floats(self, value: float) -> ir.Value:
        """Add a constant scalar."""
        return self.constant(f"float:{value!r}", np.array(value, np.float32))

    def add(
        self,
        operator: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        **attributes: Attributes,
    ) -> ir.Value:
        """Add a node, of onnxruntime's own domain where its operator has it before a colon."""
        return self.split(operator, inputs, name, outputs=1, **attributes)[0]

    def split(
        self,
        operator: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        *,
        outputs: int,
        **attributes: Attributes,
    ) -> Sequence[ir.Value]:
        """Add a node and return all its outputs."""
        domain, _, kind = operator.rpartition(":")
        path = self._unique(f"{name}/{kind}")
        values = [ir.val(f"{path}_{i}" if i else path) for i in range(outputs)]
        node = ir.node(
            kind, inputs, attributes, domain=MICROSOFT if domain else "", outputs=values, name=path
        )
        self._graph.append(node)
        return values

    def parts(self, value: ir.Value, count: int, name: str) -> Sequence[ir.Value]:
        """Split the last axis into `count` equal parts, without a constant of their sizes."""
        told = {"num_outputs": count} if self.opset >= _OPSET_OF_EQUAL_PARTS else {}
        return self.split("Split", [value], name, outputs=count, axis=-1, **told)

    def matrix(self, name: str, rows: int, columns: int) -> ir.Value:
        """Add the weights of a product as onnx multiplies: `(rows, columns)`."""
        known = self._constants.get(f"{name}.transposed")
        if known is not None:
            return known
        array = self.weights.take(f"{name}.weight", columns, rows).T
        return self.constant(f"{name}.transposed", array)

    def vector(self, name: str, size: int) -> ir.Value:
        """Add a bias or the weights of a norm."""
        return self.constant(name, self.weights.take(name, size))

    def dense(self, value: ir.Value, name: str, rows: int, columns: int) -> ir.Value:
        """Multiply hidden states `(batch, sequence, rows)`, and add a bias."""
        product = self.add("MatMul", [value, self.matrix(name, rows, columns)], name)
        return self.add("Add", [self.vector(f"{name}.bias", columns), product], name)

    def activate(self, value: ir.Value, kind: str, name: str) -> ir.Value:
        """Apply an activation; CheckpointError for one that is not known."""
        if kind in _GELUS:
            return self.add(f"ms:{_GELUS[kind]}", [value], name)
        if kind in _SIGMOIDS:
            return self.add("ms:QuickGelu", [value], name, alpha=_SIGMOIDS[kind])
        if kind == "mish" and self.opset < _OPSET_OF_MISH:
            raise CheckpointError("the activation mish needs --opset 18")
        if kind in _PLAIN:
            return self.add(_PLAIN[kind], [value], name)
        if kind == "linear":
            return value
        known = ", ".join([*_GELUS, *_SIGMOIDS, *_PLAIN, "linear"])
        raise CheckpointError(
            f"the activation {shorten(kind, 30)!r} is not one of {known}; export with --exporter "
            "optimum"
        )

    def activated(self, product: ir.Value, bias: ir.Value, kind: str, name: str) -> ir.Value:
        """Add a bias to a product, and apply an activation: one node where there is one."""
        fused = {"Gelu": "ms:BiasGelu", "FastGelu": "ms:FastGelu"}.get(_GELUS.get(kind, ""))
        if fused:
            return self.add(fused, [product, bias], name)
        return self.activate(self.add("Add", [bias, product], name), kind, name)

    def _unique(self, name: str) -> str:
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return f"{name}_{count}" if count else name
