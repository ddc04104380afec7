"""The layers that sentence-transformers and SetFit put behind an encoder's pooling."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bertedge.checkpoint.files import check_regular, read_object, shown
from bertedge.checkpoint.tensors import Tensor, read_header, read_metadata
from bertedge.errors import CheckpointError, shorten
from bertedge.spec import DenseLayer, LabelKind, ModelSpec, ProblemType

Array = NDArray[np.float32]

FILE, PICKLE = "model.safetensors", "pytorch_model.bin"
ACTIVATIONS = ("tanh", "relu", "gelu", "silu", "sigmoid", "linear")
LOG_SIGMOID = "log_sigmoid"
"""Of a head of one classifier a label, where a text has one: logits whose softmax is sklearn's."""
SETFIT = "config_setfit.json"
HEAD, PICKLED_HEAD = "model_head.safetensors", "model_head.pkl"
_EMBEDDING = "sentence_embedding"
_MOST_WIDTH = 16_384
_MOST_ROWS = 100_000
_SEVERAL = "multi_target_strategy"
"""The key, in the head's metadata, of SetFit's setting for several labels a text."""
_INDEPENDENT = ("one-vs-rest", "multi-output")
_MULTI_CLASS, _OVR = "multi_class", "ovr"
"""The key of sklearn's setting, where a text has one label of classifiers that know of no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer with its weights."""

    weight: Array
    """`(outputs, inputs)`"""
    bias: Array | None
    """`(outputs,)`"""
    activation: str
    """One of ACTIVATIONS, or LOG_SIGMOID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """What stands behind the pooling of a model."""

    dense: tuple[Layer, ...] = ()
    """Before embeddings are normalized."""
    head: Layer | None = None
    """Behind that: a SetFit model's classifier; None for embeddings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFit:
    """What a SetFit folder says of its head."""

    labels: tuple[str, ...]
    problem_type: ProblemType
    normalized: bool
    """Whether embeddings are divided by their length before the head."""


def read_layers(folder: Path, spec: ModelSpec) -> Layers:
    """Read the weights of what stands behind the pooling; CheckpointError for damaged ones."""
    if spec.pooling is None:
        return Layers()
    dense = tuple(_read_dense(folder / each.folder, each) for each in spec.pooling.dense)
    head = _read_head(folder)[0] if spec.task.labels_are is LabelKind.CLASSES else None
    return Layers(dense=dense, head=head)


def check_layers(folder: Path, spec: ModelSpec, width: int) -> None:
    """Raise CheckpointError where layers do not read what stands before them, `width` wide."""
    layers = read_layers(folder, spec)
    for layer in (*layers.dense, *((layers.head,) if layers.head else ())):
        outputs, inputs = layer.weight.shape
        if inputs != width:
            raise CheckpointError(
                f"{shown(folder)} has a layer behind the encoder that reads {inputs} values, and "
                f"is given {width}; its files do not belong together"
            )
        width = outputs


def layer_files(folder: Path, spec: ModelSpec) -> list[Path]:
    """List the files of `read_layers`."""
    if spec.pooling is None:
        return []
    files = [folder / each.folder / FILE for each in spec.pooling.dense]
    return [*files, *([folder / HEAD] if spec.task.labels_are is LabelKind.CLASSES else ())]


def describe_dense(folder: Path, name: str) -> DenseLayer:
    """Read the config of a Dense module; CheckpointError for what is not done here."""
    path = folder / name / "config.json"
    data = read_object(path)
    told = data.get("activation_function", "torch.nn.modules.activation.Tanh")
    kind = str(told).rpartition(".")[2].lower()
    kind = "linear" if kind == "identity" else kind
    if not str(told).startswith("torch.nn.") or kind not in ACTIVATIONS:
        raise CheckpointError(
            f"{shown(path)}: activation_function is {shorten(repr(told), 60)}; supported are "
            f"Identity, {', '.join(ACTIVATIONS[:-1])}"
        )
    inside = [data.get(f"module_{side}_name") for side in ("input", "output")]
    if data.get("use_residual") or any(each not in (None, _EMBEDDING) for each in inside):
        raise CheckpointError(
            f"{shown(path)} has a residual connection, or reads another value than the embedding, "
            "which is not supported; choose a model with plain Dense modules"
        )
    sizes = [data.get(f"{side}_features") for side in ("in", "out")]
    inputs, size = (each if type(each) is int else 0 for each in sizes)
    if not (0 < inputs <= _MOST_WIDTH and 0 < size <= _MOST_WIDTH):
        raise CheckpointError(
            f"{shown(path)}: in_features and out_features are {shorten(repr(sizes), 40)}; they "
            f"must be whole numbers of 1 to {_MOST_WIDTH:,}"
        )
    return DenseLayer(folder=name, inputs=inputs, size=size, activation=kind)


def is_setfit(folder: Path) -> bool:
    """Return whether SetFit saved a model in `folder`."""
    return (folder / SETFIT).exists()


def read_setfit(folder: Path) -> SetFit:
    """Read what a SetFit folder says of its head; CheckpointError where that is a pickle."""
    if not (folder / HEAD).exists():
        raise CheckpointError(
            f"{shown(folder)} is a SetFit model whose head is a pickle ({PICKLED_HEAD}), which can "
            f"run any code when loaded; save it as {HEAD} (see the docs, From SetFit), "
            "or train on the same rows: bertedge finetune"
        )
    head, several = _read_head(folder)
    data = read_object(folder / SETFIT)
    count = len(head.weight)
    named = data.get("labels")
    labels = [str(i) for i in range(count)] if named is None else named
    if not isinstance(labels, list) or not all(isinstance(each, str | int) for each in labels):
        raise CheckpointError(f"{shown(folder / SETFIT)}: labels must be a list of names")
    if len(labels) != count:
        raise CheckpointError(
            f"{shown(folder / SETFIT)} names {len(labels)} labels, and the head in {HEAD} has "
            f"{count}; they do not belong together"
        )
    return SetFit(
        labels=tuple(map(str, labels)),
        problem_type=ProblemType.MULTI_LABEL if several else ProblemType.SINGLE_LABEL,
        normalized=data.get("normalize_embeddings") is True,
    )


def _read_dense(folder: Path, layer: DenseLayer) -> Layer:
    path = folder / FILE
    if not path.exists():
        if (folder / PICKLE).exists():
            raise CheckpointError(
                f"{shown(folder)} holds its weights as a pickle ({PICKLE}), which can run any code "
                "when loaded; save them as safetensors: SentenceTransformer(directory).save(copy)"
            )
        raise CheckpointError(f"{shown(path)} is missing; copy the model again")
    tensors = {each.name: each for each in read_header(path)}
    weight = _find(tensors, "linear.weight", path)
    weight.check_shape((layer.size, layer.inputs))
    bias = tensors.get("linear.bias")
    if bias is not None:
        bias.check_shape((layer.size,))
    return Layer(
        weight=weight.read_finite(),
        bias=None if bias is None else bias.read_finite(),
        activation=layer.activation,
    )


def _read_head(folder: Path) -> tuple[Layer, bool]:
    """Read the linear head of a SetFit model, and whether a text may have several labels.

    It has sklearn's coef_ and intercept_. Two labels have one row of these: logits are half of it
    on each side, so that their softmax is its sigmoid.
    """
    path = folder / HEAD
    check_regular(path)
    tensors = {each.name: each for each in read_header(path)}
    coef, intercept = (_find(tensors, name, path) for name in ("coef", "intercept"))
    if len(coef.shape) != 2 or not all(0 < size <= _MOST_ROWS for size in coef.shape):
        raise CheckpointError(
            f"{shown(path)}: coef has the shape {coef.shape}; it must be that of sklearn's coef_, "
            "(labels, embedding)"
        )
    intercept.check_shape((coef.shape[0],))
    weight, bias = coef.read_finite(), intercept.read_finite()
    told = read_metadata(path)
    strategy = told.get(_SEVERAL)
    if strategy not in (None, *_INDEPENDENT):
        raise CheckpointError(
            f"{shown(path)}: {_SEVERAL} is {shorten(repr(strategy), 40)}; supported are "
            f"{' and '.join(_INDEPENDENT)}"
        )
    several = strategy is not None
    if len(weight) == 1 and not several:
        half, offset = weight / 2, bias / 2
        weight, bias = np.concatenate([-half, half]), np.concatenate([-offset, offset])
    elif told.get(_MULTI_CLASS) == _OVR and not several:
        return Layer(weight=weight, bias=bias, activation=LOG_SIGMOID), False
    return Layer(weight=weight, bias=bias, activation="linear"), several


def _find(tensors: dict[str, Tensor], name: str, path: Path) -> Tensor:
    found = tensors.get(name)
    if found is None or not found.is_float:
        has = shorten(", ".join(tensors), 60) or "nothing"
        raise CheckpointError(f"{shown(path)} has no {name}; found {has}")
    return found
