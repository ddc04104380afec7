"""What a manifest must say to be true of any bundle, beyond the types of its fields."""

from collections import Counter

from bertedge.bundle.manifest import File, Golden, Manifest, Variant
from bertedge.errors import shorten
from bertedge.joint_labels import split_labels
from bertedge.serialization import RecordError
from bertedge.spec import Activation, LabelKind, ModelSpec, ProblemType

MOST_LABELS = 100_000
MOST_GOLDEN = 64
"""Golden inputs; `export` writes a handful."""
LONGEST_GOLDEN = 100_000
"""Characters of all golden inputs together."""
LONGEST_INPUT = 2**16
"""Tokens; BERTs read 512, some thousand where their positions are relative."""
LARGEST_LOGIT = 1e30
"""Differences and spreads stay finite in float32."""
LARGEST_TOKENIZER = 2**26
LARGEST_FILE = 2**33
PRECISIONS = ("fp32", "fp16", "int8")

_LARGEST_NUMBER = 2**31 - 1
_MOST_FILES = 64
_LONGEST_NAME = 128
_NOT_LETTERS = dict.fromkeys(map(ord, "_.+-"))
_HEX = frozenset("0123456789abcdef")


def check_manifest(manifest: Manifest) -> None:
    """Raise RecordError for fields that contradict each other or that nothing could have."""
    _check_numbers(manifest)
    check_model(manifest.model)
    _check_golden(manifest.golden, manifest)
    _expect(
        0 < len(manifest.variants) <= _MOST_FILES,
        f"it lists {len(manifest.variants) or 'no'} variants",
    )
    names = [variant.name for variant in manifest.variants]
    _expect(len(set(names)) == len(names), "two variants have one name")
    _check_file(manifest.tokenizer, LARGEST_TOKENIZER)
    for variant in manifest.variants:
        _check_variant(variant)


def check_model(model: ModelSpec) -> None:
    """Raise RecordError where the labels or the rule cannot be those of the task."""
    _check_labels(model)
    _check_rule(model)


def _check_numbers(manifest: Manifest) -> None:
    source = manifest.source
    numbers = {
        "model.max_length": (manifest.model.max_length, 1, LONGEST_INPUT),
        "model.pad_token_id": (manifest.model.pad_token_id, 0, _LARGEST_NUMBER),
        "source.layers": (source.layers, 0, 10_000),
        "source.hidden_size": (source.hidden_size, 1, 2**20),
        "source.heads": (source.heads, 0, 2**20),
        "source.vocabulary": (source.vocabulary, 1, _LARGEST_NUMBER),
        "source.parameters": (source.parameters, 0, 2**53),
    }
    for name, (value, least, most) in numbers.items():
        if not least <= value <= most:
            raise RecordError(f"{name} is {shorten(str(value), 40)}, not {least} to {most}")


def _check_labels(model: ModelSpec) -> None:
    task, labels, pair = model.task, model.labels, model.pair
    kind = task.labels_are
    _expect(pair or not task.reads_pairs, f"pair is false, but it does {task}")
    _expect(not pair or not task.reads_single_texts, f"pair is true, but it does {task}")
    _expect(
        kind is LabelKind.CLASSES or (model.pooling is None) == (kind is not LabelKind.VECTOR),
        f"pooling is {'there' if model.pooling else 'missing'}, but it does {task}",
    )
    fixed = task.fixed_labels
    _expect(
        fixed is None or len(labels) == len(fixed),
        f"there are {len(labels)} labels, but it does {task}",
    )
    if not labels and fixed is not None:
        return
    _expect(0 < len(labels) <= MOST_LABELS, f"there are {len(labels)} labels")
    _expect(all(label.strip() for label in labels), "a label is empty")
    twice = next((label for label, count in Counter(labels).items() if count > 1), None)
    _expect(twice is None, f"the label {shorten(repr(twice))} is there twice")
    if kind is LabelKind.INTENT_AND_TAGS:
        try:
            split_labels(labels)
        except ValueError as error:
            raise RecordError(shorten(str(error))) from None


def _check_rule(model: ModelSpec) -> None:
    rule = model.rule
    _expect(1e-6 <= rule.temperature <= 1e6, f"model.rule.temperature is {rule.temperature}")
    least = rule.threshold
    _expect(least is None or abs(least) <= LARGEST_LOGIT, f"model.rule.threshold is {least}")
    plain = rule.problem_type is ProblemType.SINGLE_LABEL
    _expect(
        plain or model.task.labels_are is LabelKind.CLASSES,
        f"model.rule.problem_type is {rule.problem_type}, but it does {model.task}",
    )
    _expect(
        rule.problem_type is not ProblemType.REGRESSION or len(model.labels) == 1,
        f"a value has one label, there are {len(model.labels)}",
    )
    _expect(
        rule.problem_type is ProblemType.REGRESSION or rule.activation is Activation.IDENTITY,
        f"model.rule.activation is {rule.activation}, but its labels are no values",
    )
    outside = rule.out_of_scope
    _expect(
        outside is None or (bool(outside.strip()) and outside not in model.labels),
        f"model.rule.out_of_scope is {shorten(repr(outside))}, which is empty or a label",
    )


def _check_golden(golden: Golden, manifest: Manifest) -> None:
    texts, logits = golden.texts, golden.logits
    _expect(
        0 < len(texts) <= MOST_GOLDEN,
        f"there are {len(texts)} golden texts, not 1 to {MOST_GOLDEN}",
    )
    odd = next((len(text) for text in texts if len(text) not in (1, 2)), None)
    _expect(odd is None, f"a golden text has {odd} parts, neither one nor two")
    _expect(
        sum(len(part) for text in texts for part in text) <= LONGEST_GOLDEN,
        f"the golden texts have more than {LONGEST_GOLDEN:,} characters",
    )
    widths = {len(row) for row in logits}
    _expect(len(widths) == 1 and widths != {0}, "the golden logits are empty or ragged")
    (width,) = widths
    _expect(
        not manifest.model.labels or width == len(manifest.model.labels),
        f"the golden logits have {width} columns for {len(manifest.model.labels)} labels",
    )
    by_token = manifest.model.task.has_token_logits
    _expect(
        len(logits) >= len(texts) if by_token else len(logits) == len(texts),
        f"there are {len(logits)} rows of golden logits for {len(texts)} texts",
    )
    largest = max(abs(value) for row in logits for value in row)
    _expect(largest <= LARGEST_LOGIT, f"a golden logit is {largest:.3g}")


def _check_variant(variant: Variant) -> None:
    where = f"variant {shorten(repr(variant.name))}"
    _expect(variant.name.isprintable() and 0 < len(variant.name) <= 128, f"{where} has no fit name")
    _expect(
        variant.precision in PRECISIONS,
        f"{where} has the precision {shorten(repr(variant.precision))}",
    )
    for names in (variant.providers, variant.disabled_optimizers):
        known = len(names) <= _MOST_FILES and all(map(is_plain_name, names))
        _expect(known, f"{where} names providers or optimizers that there are none of")
    _expect(variant.golden_tolerance >= 0, f"{where} has a golden tolerance below 0")
    for file in variant.files:
        _check_file(file, LARGEST_FILE)


def _check_file(file: File, most: int) -> None:
    _expect(0 <= file.bytes <= most, f"{shorten(repr(file.file))} has an impossible size")
    _expect(
        len(file.sha256) == 64 and _HEX.issuperset(file.sha256),
        f"{shorten(repr(file.file))} has a SHA-256 that is none",
    )


def is_plain_name(name: str) -> bool:
    """Return whether a file of this name can lie in a bundle: no path, nothing to be quoted."""
    rest = name.translate(_NOT_LETTERS)
    return (
        0 < len(name) <= _LONGEST_NAME
        and name.isascii()
        and (rest.isalnum() or not rest)
        and name[0] not in ".+-"
    )


def _expect(holds: bool, problem: str) -> None:
    if not holds:
        raise RecordError(problem)
