"""What a bundle is on disk: a manifest, a tokenizer and the ONNX files of each variant.

    home-intents/
      bertedge.json      the manifest: everything below, with sizes and SHA-256
      tokenizer.json     Hugging Face tokenizers' own format
      cpu-int8.onnx      a variant's graph
      cpu-int8-unpadded.onnx   its graph for batches without padding, where it has one
      cpu-int8.weights   what both graphs read

`write_bundle` writes one atomically, `open_bundle` verifies every file before anything parses it.
`bertedge.json` is described field by field in the README.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from bertedge import records
from bertedge.confidence import CalibrationError
from bertedge.errors import BundleError
from bertedge.staging import staged_folder
from bertedge.tasks import Decision, Task

FORMAT = 2
"""2 added graphs that are optimized already, in several files; 1 is read as ever."""
MANIFEST = "bertedge.json"
TOKENIZER = "tokenizer.json"
UNHASHED = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file of the bundle."""

    file: str
    """Plain name inside the bundle directory."""
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far a variant's logits are from the checkpoint's, on padded batches of mixed lengths."""

    max_difference: float
    """Largest absolute difference, divided by the spread (max - min) of the checkpoint's logits."""
    tolerance: float | None
    """The bound that was enforced, in the same unit; None where accuracy is what is enforced."""
    texts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """A variant against the checkpoint on labelled data."""

    data: str
    """Name of the labelled file."""
    sha256: str
    rows: int
    metric: str
    """"accuracy", "micro_f1", "spearman", "entity_f1" or "masked_accuracy"."""
    checkpoint: float
    variant: float
    agreement: float
    """Share of labels (of texts, or of words) or of values (within 5 % of their spread) on which
    variant and checkpoint agree; micro F1 of one against the other for sets of labels."""
    calibration: CalibrationError | None = None
    """Of the variant's scores; None for tokens and values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """A way to make int8 that `export` tried, and what it measured."""

    recipe: str
    """"dynamic", "static", "outliers", "outliers-static", "float-nodes" or "fp32"."""
    relative_time: float
    """Against plain dynamic int8, a quick mean over 1x16, 1x128 and 8x128 tokens."""
    max_difference: float
    """In Parity's unit, on the same texts."""
    rms_difference: float
    """On the labelled data where there is any, which tells rungs apart; else on the same texts."""
    metric: float | None
    """None where there is no labelled data."""
    agreement: float | None
    invariance: float | None
    """How far a text's logits move with what else is in the batch, in Parity's unit; None where
    that was not asked for."""
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The texts that ranges, outliers and damage were measured on, for what needs them."""

    data: str
    """Name of the file; "built-in" for bertedge's own sentences."""
    sha256: str | None
    texts: int
    method: str | None
    """How static ranges were taken: "min-max", "percentile" or "entropy"; None for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """How a variant became int8, and what was tried before."""

    recipe: str
    target: str
    """"x86-vnni", "x86-avx2" (weights of 7 bits) or "arm64"."""
    calibration: Calibration | None
    rungs: tuple[Rung, ...]
    """In the order tried; the last one is this variant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphPass:
    """A change made to the exported graph, and to how many nodes."""

    name: str
    nodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One ONNX graph of the model."""

    name: str
    """Device and precision, such as "cpu-int8"."""
    model: File
    precision: str
    """"fp32", "fp16" or "int8"."""
    providers: tuple[str, ...]
    """Execution providers it was made for, best first."""
    disabled_optimizers: tuple[str, ...]
    """onnxruntime optimizers that would undo the graph at load."""
    passes: tuple[GraphPass, ...]
    parity: Parity
    accuracy: Accuracy | None
    golden_tolerance: float
    """Largest difference accepted on the golden inputs at load, in Parity's unit."""
    quantization: Quantization | None = None
    """None where int8 was not asked for (and in bundles of version 0.1.0)."""
    optimized: bool = False
    """True where onnxruntime's own optimizations are part of the file: none is run at load."""
    unpadded: File | None = None
    """The graph for batches without padding: it takes no mask."""
    weights: File | None = None
    """What the graphs read their weights from; None where they hold them."""
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
    turn, special tokens included. Of a vocabulary every n-th column (`runtime.masks.thin`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The checkpoint that the bundle was made from."""

    name: str
    """Last part of its path, or its hub id."""
    architecture: str
    """`model_type` of its config."""
    layers: int
    hidden_size: int
    heads: int
    vocabulary: int
    """Of what was exported: smaller than the checkpoint's where it was trimmed."""
    parameters: int
    sha256: str
    """Of the weights, `model.safetensors` (its shards' hashes, hashed, where it is sharded)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimming:
    """What was left out of the checkpoint's vocabulary."""

    data: str
    """Name of the corpus whose word pieces were kept."""
    sha256: str
    before: int
    """Pieces in the checkpoint's vocabulary."""
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`bertedge.json`."""

    format: int
    task: Task
    labels: tuple[str, ...]
    """In the order of the logits; none where they are of the tokenizer's vocabulary."""
    pair: bool
    """True where the model was trained on pairs of texts."""
    max_length: int
    """Longest input in tokens, special tokens included."""
    pad_token_id: int
    decision: Decision = Decision()  # noqa: RUF009 (frozen)
    """How the logits of a text become its prediction."""
    tokenizer: File
    variants: tuple[Variant, ...]
    golden: Golden
    source: Source
    versions: dict[str, str]
    """Of bertedge and the libraries that made the bundle."""
    created: str
    """UTC, ISO 8601."""
    trimming: Trimming | None = None
    """None where the vocabulary is the checkpoint's."""
    manifest_sha256: str = UNHASHED
    """Of this very file with these 64 digits replaced by zeros; filled in by `write_bundle`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """An opened bundle; every file's hash has been checked."""

    folder: Path
    manifest: Manifest

    def path(self, file: File) -> Path:
        """Where a file of the manifest lies."""
        return self.folder / file.file

    def check(self, variant: Variant) -> None:
        """Check a variant's files again, for what is read later; BundleError as `open_bundle`."""
        for file in variant.files:
            _check_file(self.folder, file)

    def tokenizer_json(self) -> str:
        """The text of `tokenizer.json`."""
        return self.path(self.manifest.tokenizer).read_text(encoding="utf-8")

    def variant(self, name: str) -> Variant:
        """The variant called `name`; BundleError names those there are."""
        for variant in self.manifest.variants:
            if variant.name == name:
                return variant
        names = ", ".join(variant.name for variant in self.manifest.variants)
        raise BundleError(f"{self.folder} has no variant {name!r}; it has {names}")


def describe_file(path: Path) -> File:
    """Measure and hash a file that is to become part of a bundle."""
    return File(file=path.name, bytes=path.stat().st_size, sha256=hash_file(path))


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bundle(output: Path, manifest: Manifest, files: list[Path], *, overwrite: bool) -> None:
    """Copy `files` and the manifest into a new bundle at `output`, all or nothing."""
    with staged_folder(output, overwrite=overwrite) as folder:
        for path in files:
            shutil.copyfile(path, folder / path.name)
        text = records.to_json(replace(manifest, manifest_sha256=UNHASHED))
        digest = hashlib.sha256(text.encode()).hexdigest()
        (folder / MANIFEST).write_bytes(_with_digest(text, UNHASHED, digest).encode())
        open_bundle(folder)


def open_bundle(folder: Path) -> Bundle:
    """Read the manifest and check every file's name, size and hash.

    Raises BundleError for what is missing, altered, malformed, outside the bundle or newer.
    """
    manifest = _read_manifest(folder)
    if not manifest.variants:
        raise BundleError(f"{folder / MANIFEST} lists no variants; export the model again")
    bundle = Bundle(folder=folder, manifest=manifest)
    _check_file(folder, manifest.tokenizer)
    for variant in manifest.variants:
        bundle.check(variant)
    return bundle


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    if not folder.is_dir():
        raise BundleError(f"{folder} is not a directory; give the bundle that export wrote")
    try:
        text = path.read_bytes().decode("utf-8")
        data = json.loads(text)
    except FileNotFoundError:
        raise BundleError(f"{folder} is no bundle: it has no {MANIFEST}{_hint(folder)}") from None
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is damaged ({error}); export the model again") from None
    number = data.get("format") if isinstance(data, dict) else None
    if not isinstance(number, int):
        raise BundleError(f"{path} states no format; it was not written by bertedge")
    if number > FORMAT:
        raise BundleError(
            f"{path} has format {number}, this bertedge reads up to {FORMAT}: "
            "upgrade with pip install -U bertedge"
        )
    try:
        manifest = records.from_plain(Manifest, data)
    except records.RecordError as error:
        raise BundleError(f"{path} is damaged: {error}; export the model again") from None
    digest = manifest.manifest_sha256
    if hashlib.sha256(_with_digest(text, digest, UNHASHED).encode()).hexdigest() != digest:
        raise BundleError(f"{path} was changed after export; copy the bundle again")
    return manifest


def _with_digest(text: str, old: str, new: str) -> str:
    field = '"manifest_sha256": "{}"'
    return text.replace(field.format(old), field.format(new))


def _hint(folder: Path) -> str:
    if (folder / "config.json").exists():
        return f"; it looks like a checkpoint: bertedge export {folder} --output BUNDLE"
    return ""


def _check_file(folder: Path, file: File) -> None:
    path = folder / file.file
    # Not Path.resolve: it raises on NUL characters and on links that lead to themselves.
    plain = Path(file.file).name == file.file and file.file not in ("", ".", "..")
    if not plain or "\0" in file.file or not _is_inside(path, folder):
        raise BundleError(
            f"{folder / MANIFEST} names {file.file!r}, which is not a plain file inside the "
            "bundle; do not use this bundle"
        )
    try:
        if not path.is_file():
            raise BundleError(
                f"{path} is missing; copy the whole bundle, or export the model again"
            )
        size = path.stat().st_size
        digest = hash_file(path) if size == file.bytes else None
    except OSError as error:
        raise BundleError(f"{str(path)!r} cannot be read: {error.strerror}") from None
    if digest is None:
        raise BundleError(
            f"{path} has {size:,} bytes, the manifest says {file.bytes:,}: "
            "it was cut short or changed; copy the bundle again"
        )
    if digest != file.sha256:
        raise BundleError(
            f"{path} does not have the SHA-256 that the manifest records "
            f"({file.sha256[:12]}…): it was changed or damaged; copy the bundle again"
        )


def _is_inside(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
