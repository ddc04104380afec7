"""What `bertedge.json` holds, field by field."""

from dataclasses import dataclass

from bertedge.columns import Columns
from bertedge.metrics.calibration import CalibrationError
from bertedge.spec import ModelSpec

FORMAT = 1
UNHASHED = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of the bundle."""

    file: str
    """Plain name inside the bundle directory."""
    bytes: int
    """Its size."""
    sha256: str
    """Of its bytes, in hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far a variant's logits are from the checkpoint's, on padded batches of mixed lengths."""

    max_difference: float
    """Largest absolute difference, as a share of the spread of the checkpoint's logits."""
    tolerance: float | None
    """The bound that was enforced, in the same unit; None where accuracy is what is enforced."""
    texts: int
    """How many texts were compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """A variant against the checkpoint on labelled data."""

    data: str
    """Name of the labelled file."""
    sha256: str
    """Of the file."""
    rows: int
    """Labelled rows in it."""
    metric: str
    """"accuracy", "micro_f1", "spearman", "entity_f1", "frame_accuracy", "answer_f1" or
    "masked_accuracy"; "cosine" for embeddings of plain texts, on which the checkpoint has 1."""
    checkpoint: float
    """The metric of the checkpoint, run by PyTorch."""
    variant: float
    """The metric of the variant."""
    agreement: float
    """Share of labels, hidden words, frames (an intent and all slots), answers' spans or values
    (within 5 % of their spread) on which variant and checkpoint agree; F1 of the variant's entities
    against the checkpoint's, micro F1 for sets of labels; mean cosine for embeddings."""
    calibration: CalibrationError | None = None
    """Of the variant's scores; None for tokens and values."""
    significant: bool | None = None
    """Whether the change of the metric is more than chance makes on so few texts: McNemar's exact
    test, or the paired bootstrap, two-sided at 5 %. None where nothing is scored."""
    entities: int | None = None
    """Entities that the checkpoint finds; None where words have no tags."""
    text_agreement: float | None = None
    """Share of texts whose whole answer is the same; None for values and embeddings."""
    word_agreement: float | None = None
    """Share of words with the same tag (an intent counts as one); None where there are no tags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEffect:
    """How much a text's answer depends on its padding and on what else is in its batch.

    Texts alone are compared with the same texts in batches of several sizes.
    """

    independent: bool
    """True where no logit moves by more than `tolerance` and no answer changes."""
    max_difference: float
    """Largest change of a logit, in Parity's unit."""
    tolerance: float
    """The bound that `independent` means, in the same unit."""
    texts: int
    """How many texts were compared."""
    answers_changed: int | None
    """Texts whose answer is not the same in each batch; None for values and embeddings, and where
    there is no labelled data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A way to make int8 that `export` tried, and what it measured."""

    recipe: str
    """"static", "outliers-static" or "float-nodes-static", whose answers do not depend on the
    batch; "dynamic", "outliers" or "float-nodes", whose answers do; or "fp32"."""
    relative_time: float | None
    """Against the fp32 graph, a quick mean over 1x16, 1x128 and 8x128 tokens; None where the
    machine was too busy to tell."""
    max_difference: float
    """In Parity's unit, on the same texts."""
    rms_difference: float
    """On the labelled data where there is any, else on the same texts."""
    metric: float | None
    """None where there is no labelled data."""
    agreement: float | None
    """With the checkpoint, as in Accuracy; None where there is no labelled data."""
    batch_difference: float | None
    """How far a text's logits move with padding and with what else is in the batch, in Parity's
    unit, on the same texts; None where it was not measured."""
    passed: bool
    """Whether it kept every bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The texts that ranges, outliers and damage were measured on, for what needs them."""

    data: str
    """Name of the file; "built-in" for bertedge's own sentences."""
    sha256: str | None
    """Of the file; None for the built-in sentences."""
    texts: int
    """How many texts were read."""
    method: str | None
    """How static ranges were taken: "min-max", "percentile" or "entropy"; None for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """How a variant became int8, and what was tried before."""

    recipe: str
    """The one that was taken, by its name in `export --recipe-int8`."""
    target: str
    """"x86-vnni", "x86-avx2" (weights of 7 bits) or "arm64"."""
    calibration: Calibration | None
    """None for recipes that need no texts."""
    trials: tuple[Trial, ...]
    """In the order tried; the last one is this variant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPass:
    """A change made to the exported graph, and to how many nodes."""

    name: str
    """What was done, such as "attention-fusion"."""
    nodes: int
    """Nodes of the graph that it changed or made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One ONNX graph of the model."""

    name: str
    """Device and precision, such as "cpu-int8"."""
    model: File
    """The graph for batches with padding."""
    precision: str
    """"fp32", "fp16" or "int8"."""
    providers: tuple[str, ...]
    """Execution providers it was made for, best first."""
    disabled_optimizers: tuple[str, ...]
    """onnxruntime optimizers that would undo the graph at load."""
    passes: tuple[GraphPass, ...]
    """What was done to the exported graph, in this order."""
    parity: Parity
    """Against the checkpoint's logits."""
    accuracy: Accuracy | None
    """None where there was no labelled data."""
    golden_tolerance: float
    """Largest difference accepted on the golden inputs at load, in Parity's unit."""
    quantization: Quantization | None = None
    """None where int8 was not asked for."""
    optimized: bool = False
    """True where onnxruntime's own optimizations are part of the file: none is run at load."""
    unpadded: File | None = None
    """The graph for batches without padding: it takes no mask."""
    weights: File | None = None
    """What the graphs read their weights from; None where they hold them."""
    batch_effect: BatchEffect | None = None
    """None where it was not measured: for CUDA."""
    checked_on: str | None = None
    """Execution provider that parity and accuracy were measured on, where that may not be the one
    it was made for: a CUDA variant exported without CUDA. None: the first of `providers`."""

    @property
    def files(self) -> tuple[File, ...]:
        """All files of the variant."""
        return tuple(file for file in (self.model, self.unpadded, self.weights) if file)

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """Inputs with the checkpoint's own answers, run again whenever the bundle is opened."""

    texts: tuple[tuple[str, ...], ...]
    """Texts (one string each) or pairs (two strings each)."""
    logits: tuple[tuple[float, ...], ...]
    """The checkpoint's logits `(rows, labels)`: a row a text, or a row a token of all texts in
    turn, special tokens included. Of a vocabulary every n-th column
    (`runtime.logits.subsample_logits`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The checkpoint that the bundle was made from."""

    name: str
    """Last part of its path, or its hub id."""
    architecture: str
    """`model_type` of its config."""
    layers: int
    """Of its encoder."""
    hidden_size: int
    """Width of its hidden states."""
    heads: int
    """Attention heads of a layer."""
    vocabulary: int
    """Of what was exported: smaller than the checkpoint's where it was trimmed."""
    parameters: int
    """Of the whole model, in fp32."""
    sha256: str
    """Of the weights, `model.safetensors` (its shards' hashes, hashed, where it is sharded)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimming:
    """What was left out of the checkpoint's vocabulary."""

    data: str
    """Name of the corpus whose word pieces were kept."""
    sha256: str
    """Of the corpus."""
    before: int
    """Pieces in the checkpoint's vocabulary."""
    after: int
    """Pieces in the bundle's."""
    accuracy: Accuracy | None = None
    """The trimmed model, in fp32, against the checkpoint as it came; variants are measured against
    the trimmed model. None where there is no labelled data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`bertedge.json`."""

    format: int
    """Version of this format; a newer one than the reader knows is refused."""
    model: ModelSpec
    """What is needed to run it."""
    tokenizer: File
    """Hugging Face tokenizers' own format."""
    variants: tuple[Variant, ...]
    """One for each device and precision."""
    golden: Golden
    """Run at every opening."""
    source: Source
    """Where it came from."""
    versions: dict[str, str]
    """Of bertedge and the libraries that made the bundle."""
    created: str
    """UTC, ISO 8601."""
    trimming: Trimming | None = None
    """None where the vocabulary is the checkpoint's."""
    columns: Columns | None = None
    """Of the file that the model was trained on, where that is known: what a file of texts is read
    with that has them too."""
    exporter: str | None = None
    """What made the fp32 graph: "optimum", or "direct", bertedge's own builder. None in bundles of
    before it was recorded: "optimum"."""
    reference: str = "pytorch"
    """What parity, accuracy and golden logits are measured against: "pytorch", the checkpoint run
    by it; or "graph", the fp32 graph as it was built, where PyTorch was not installed."""
    manifest_sha256: str = UNHASHED
    """Of this very file with these 64 digits replaced by zeros; filled in by `write_bundle`."""
