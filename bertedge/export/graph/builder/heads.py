"""What stands behind an encoder: the head of a task."""

from dataclasses import dataclass

import onnx_ir as ir

from bertedge.checkpoint.layers import LOG_SIGMOID, Layer, Layers
from bertedge.errors import CheckpointError
from bertedge.export.graph.builder.architecture import Config, Step
from bertedge.export.graph.builder.attention import LOWEST
from bertedge.export.graph.builder.encoder import FLOAT, Inputs
from bertedge.export.graph.builder.norms import add_norm
from bertedge.export.graph.builder.writer import Writer
from bertedge.spec import LabelKind, ModelSpec, Pooling, PoolingMode

MEAN_CLASSIFIER = "mean_classifier"
"""The weights of bertedge's classifier on the mean of hidden states."""
LEAST_LENGTH = 1e-12
"""What an embedding is divided by at least."""


@dataclass(slots=True)
class Head:
    """A head under way: what it gives so far, and how wide that is."""

    writer: Writer
    config: Config
    value: ir.Value
    width: int
    mask: ir.Value
    pooled: bool = False
    """Whether it has one row a text, `(batch, width)`, not one a token."""

    def add(self, steps: tuple[Step, ...]) -> None:
        """Add steps; an activation behind a product of tokens takes the product's bias along."""
        for number, step in enumerate(steps):
            after = steps[number + 1] if number + 1 < len(steps) else None
            match step.kind:
                case "first":
                    self.value, self.pooled = first(self.writer, self.value), True
                case "pool" if self.config.text("classifier_pooling") == "mean":
                    self.value, self.pooled = mean(self.writer, self.value, self.mask), True
                case "pool":
                    self.value, self.pooled = first(self.writer, self.value), True
                case "dense":
                    self._dense(step, after)
                case "activation":
                    if number == 0 or steps[number - 1].kind != "dense" or self.pooled:
                        self.value = self.writer.activate(self.value, self._named(step), "head")
                case "norm":
                    self.value = add_norm(
                        self.writer, self.config, self.value, step.name, self.width
                    )
                case "words":
                    self._words(step)

    def add_layer(self, layer: Layer, name: str) -> None:
        """Add a layer that stands beside the checkpoint's own weights, on one row a text."""
        writer = self.writer
        constants = [writer.constant(f"{name}.weight", layer.weight)]
        if layer.bias is not None:
            constants.append(writer.constant(f"{name}.bias", layer.bias))
        self.value = writer.add("Gemm", [self.value, *constants], name, transB=1)
        self.width = len(layer.weight)
        if layer.activation == LOG_SIGMOID:
            raised = writer.add("Softplus", [writer.add("Neg", [self.value], name)], name)
            self.value = writer.add("Neg", [raised], name)
        else:
            self.value = writer.activate(self.value, layer.activation, name)

    def _dense(self, step: Step, after: Step | None) -> None:
        writer, rows, name = self.writer, self.width, step.name
        columns = writer.weights.shape(f"{name}.weight")[0]
        bias = writer.vector(f"{name}.bias", columns) if self._has_bias(step) else None
        self.width = columns
        if self.pooled:
            weight = writer.constant(
                f"{name}.weight", writer.weights.take(f"{name}.weight", columns, rows)
            )
            inputs = [self.value, weight, *([bias] if bias else [])]
            self.value = writer.add("Gemm", inputs, name, transB=1)
            return
        product = writer.add("MatMul", [self.value, writer.matrix(name, rows, columns)], name)
        if after is None or after.kind != "activation":
            self.value = writer.add("Add", [bias, product], name) if bias else product
        elif bias is None:
            self.value = writer.activate(product, self._named(after), name)
        else:
            self.value = writer.activated(product, bias, self._named(after), name)

    def _words(self, step: Step) -> None:
        writer, prefix = self.writer, self.config.architecture.prefix
        own = step.name
        if self.config.get("tie_word_embeddings") is not False:
            own = f"{prefix}.{self.config.architecture.words}"
        count = writer.weights.shape(f"{own}.weight")[0]
        matrix = writer.matrix(own, self.width, count)
        self.value = writer.add("MatMul", [self.value, matrix], step.name)
        self.width = count
        if self._has_bias(step):
            bias = writer.vector(writer.weights.first_of((*step.bias, f"{step.name}.bias")), count)
            self.value = writer.add("Add", [bias, self.value], step.name)

    def _has_bias(self, step: Step) -> bool:
        return not step.flag or self.config.get(step.flag) is True

    def _named(self, step: Step) -> str:
        """Return the name of an activation, which may stand in the config."""
        name = step.name
        return self.config.text(name[1:-1]) if name.startswith("{") else name


@dataclass(frozen=True, slots=True)
class Below:
    """What a head stands on."""

    inputs: Inputs
    hidden: ir.Value


def add_head(
    writer: Writer, config: Config, below: Below, spec: ModelSpec, layers: Layers
) -> ir.Model:
    """Add the head of a model's task, and return the whole graph."""
    inputs, hidden = below.inputs, below.hidden
    head = Head(writer, config, hidden, config.hidden, inputs.mask)
    kind = spec.task.labels_are
    if kind is LabelKind.VECTOR or spec.pooling is not None:
        _embed(head, inputs, spec.pooling or Pooling(), layers)
    elif spec.classifier_pooling is PoolingMode.MEAN:
        head.value, head.pooled = mean(writer, hidden, inputs.mask), True
        head.add((Step(kind="dense", name=MEAN_CLASSIFIER),))
    else:
        if kind is LabelKind.CHOICES and "summary_activation" in config.architecture.defaults:
            config.require("summary_type", "first")
            config.require("summary_use_proj", True)
        if kind not in config.architecture.heads:
            raise CheckpointError(
                f"no head of {config.get('model_type')} is known for {spec.task}; choose another "
                "architecture"
            )
        head.add(config.architecture.heads[kind])
    if spec.labels and head.width != len(spec.labels):
        raise CheckpointError(
            f"the head gives {head.width} logits, and the model has {len(spec.labels)} labels; "
            "config.json and the weights do not belong together"
        )
    rows = ("batch_size",) if head.pooled else ("batch_size", "sequence_length")
    return writer.finish(head.value, (*rows, head.width))


def first(writer: Writer, hidden: ir.Value) -> ir.Value:
    """Take the hidden state of the first token."""
    return writer.add("Gather", [hidden, writer.integers(0, scalar=True)], "first", axis=1)


def mean(writer: Writer, hidden: ir.Value, mask: ir.Value, *, by_root: bool = False) -> ir.Value:
    """Add the mean of the hidden states of tokens that are no padding.

    With `by_root` their sum is divided by the square root of their count.
    """
    weights = writer.add("Cast", [mask], "mean", to=FLOAT)
    weights = writer.add("Unsqueeze", [weights, writer.integers(-1)], "mean")
    axes = writer.integers(1)
    total = writer.add(
        "ReduceSum", [writer.add("Mul", [hidden, weights], "mean"), axes], "mean", keepdims=0
    )
    count = writer.add("ReduceSum", [weights, axes], "mean", keepdims=0)
    if by_root:
        count = writer.add("Sqrt", [count], "mean")
    return writer.add("Div", [total, count], "mean")


def largest(writer: Writer, hidden: ir.Value, mask: ir.Value) -> ir.Value:
    """Add the largest of each number of the hidden states of tokens that are no padding."""
    real = writer.add("Cast", [mask], "max", to=ir.DataType.BOOL.value)
    real = writer.add("Unsqueeze", [real, writer.integers(-1)], "max")
    kept = writer.add("Where", [real, hidden, writer.floats(LOWEST)], "max")
    # Not ReduceMax, whose axes are an input from opset 18 on: the shape inference does not read it.
    across = writer.add("Transpose", [kept], "max", perm=[0, 2, 1])
    found = writer.add("GlobalMaxPool", [across], "max")
    return writer.add("Squeeze", [found, writer.integers(2)], "max")


def _embed(head: Head, inputs: Inputs, pooling: Pooling, layers: Layers) -> None:
    """Pool the hidden states, and add the layers and the normalization that stand behind."""
    writer = head.writer
    head.pooled = True
    match pooling.mode:
        case PoolingMode.MEAN:
            head.value = mean(writer, head.value, inputs.mask)
        case PoolingMode.CLS:
            head.value = first(writer, head.value)
        case PoolingMode.MAX:
            head.value = largest(writer, head.value, inputs.mask)
        case PoolingMode.MEAN_SQRT_LEN:
            head.value = mean(writer, head.value, inputs.mask, by_root=True)
    for number, layer in enumerate(layers.dense):
        head.add_layer(layer, f"dense.{number}")
    if pooling.normalized:
        _normalize(head)
    if layers.head is not None:
        head.add_layer(layers.head, "head")


def _normalize(head: Head) -> None:
    """Divide rows by their length."""
    writer = head.writer
    # Not ReduceL2: onnxruntime's shape inference stops at that of opset 18.
    squares = writer.add("Mul", [head.value, head.value], "length")
    total = writer.add("ReduceSum", [squares, writer.integers(1)], "length", keepdims=1)
    length = writer.add("Sqrt", [total], "length")
    least = writer.floats(LEAST_LENGTH)
    head.value = writer.add(
        "Div", [head.value, writer.add("Clip", [length, least], "length")], "length"
    )
