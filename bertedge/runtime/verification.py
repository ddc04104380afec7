"""Whether a manifest, its tokenizer and its graph fit each other, and answer rightly here.

What a manifest says of itself is checked where it is read (`bertedge.bundle.checks`), and what a
graph may hold before onnxruntime parses it (`bertedge.bundle.graph`).
"""

import numpy as np

from bertedge.bundle import Manifest, Variant
from bertedge.errors import BundleError, VerificationError
from bertedge.runtime.engine import Engine, infer
from bertedge.runtime.logits import Floats, logit_range, subsample_logits
from bertedge.runtime.probe import int8_is_exact
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Text

NEVER_SATURATES = "x86-avx2"
"""The target whose weights have 7 bits."""


def check_tokenizer(manifest: Manifest, tokenizer: Tokenizer) -> None:
    """Raise BundleError where the tokenizer cannot serve the manifest's task."""
    if tokenizer.specials < 1:
        raise BundleError(
            "the tokenizer adds no special token, so that an empty text would have nothing to "
            "read; export the model again"
        )
    known = max(manifest.source.vocabulary, tokenizer.size)
    if manifest.model.pad_token_id >= known:
        raise BundleError(
            f"pad_token_id is {manifest.model.pad_token_id}, the vocabulary has {known} tokens; "
            "export the model again"
        )


def check_products(variant: Variant) -> None:
    """Raise VerificationError where weights of 8 bits meet a CPU whose int8 products saturate.

    A trained model's golden answers can hide it: they move by little more than int8's own error.
    """
    made = variant.quantization
    if variant.precision != "int8" or made is None or made.target == NEVER_SATURATES:
        return
    if not int8_is_exact():
        raise VerificationError(
            f"variant {variant.name} was made for {made.target}, but this CPU adds int8 products "
            "in 16 bits, which overflow; export the model with --target x86-avx2, or as fp32"
        )


def check_golden(
    manifest: Manifest,
    variant: Variant,
    engine: Engine,
    tokenizer: Tokenizer,
    *,
    alone: bool = False,
) -> float:
    """Run the golden inputs in one padded batch, or each alone; return their largest difference.

    It is that of any logit from the recorded one, as a share of the recorded logits' range.
    Raises VerificationError where it is above the variant's tolerance, BundleError for logits of
    another shape.
    """
    texts: list[Text] = [
        text[0] if len(text) == 1 else (text[0], text[1]) for text in manifest.golden.texts
    ]
    encoded = tokenizer.encode(texts)
    budget = 1 if alone else len(texts) * manifest.model.max_length
    rows = infer(
        engine,
        encoded,
        pad_token_id=manifest.model.pad_token_id,
        token_budget=budget,
        keep=lambda _, logits: subsample_logits(logits),
    )
    found = _stack(rows, manifest, variant)
    expected = np.array(manifest.golden.logits, np.float32)
    if found.shape != expected.shape:
        raise BundleError(
            f"{variant.model.file} gives logits {found.shape} for the golden inputs, the manifest "
            f"records {expected.shape}; export the model again"
        )
    difference = float(np.abs(found - expected).max()) / (logit_range(expected) or 1.0)
    if not difference <= variant.golden_tolerance:  # NaN must not pass
        raise _wrong_answers(manifest, variant, difference)
    return difference


def _stack(rows: list[Floats], manifest: Manifest, variant: Variant) -> Floats:
    """Return the logits of all rows as one matrix `(rows or tokens, labels)`.

    Raises BundleError where they have not the shape of the task's.
    """
    by_token = manifest.model.task.has_token_logits
    if {row.ndim for row in rows} != {1 + by_token} or len({row.shape[-1] for row in rows}) != 1:
        raise BundleError(
            f"{variant.model.file} gives no logits of {manifest.model.task}: a row of them is "
            f"{rows[0].shape}; export the model again"
        )
    return np.vstack(rows)


def _wrong_answers(manifest: Manifest, variant: Variant, difference: float) -> VerificationError:
    floats = [v.name for v in manifest.variants if v.precision != "int8" and v is not variant]
    remedy = f"use variant {floats[0]}, or " if floats else ""
    return VerificationError(
        f"variant {variant.name} does not give its recorded answers on this machine: the golden "
        f"inputs differ by {difference:.2g} of the logits' spread, {variant.golden_tolerance:.2g} "
        f"is tolerated; {remedy}export the model on a machine like this one"
    )
