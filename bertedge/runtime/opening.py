"""Which variant of a bundle runs on which device, and the proof that it answers rightly here."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from bertedge.bundle import Bundle, File, Manifest, Variant
from bertedge.errors import BundleError, DeviceError, SettingError, VerificationError
from bertedge.runtime.decoding import spread
from bertedge.runtime.graphs import Graphs
from bertedge.runtime.masks import thin
from bertedge.runtime.probe import int8_is_exact
from bertedge.runtime.session import PROVIDERS, Engine, Session, infer
from bertedge.runtime.tokenization import Tokenizer
from bertedge.tasks import Text

DEVICES = ("cpu", "cuda", "auto")

_FASTEST_FIRST = {"cpu": ("int8", "fp32", "fp16"), "cuda": ("fp16", "fp32")}
"""int8 is not for CUDA: onnxruntime runs it 10 to 20 times slower there."""

NEVER_SATURATES = "x86-avx2"
"""The target whose weights have 7 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A variant that runs, and answers rightly."""

    variant: Variant
    engine: Graphs


def open_variant(
    bundle: Bundle, tokenizer: Tokenizer, *, device: str, threads: int | None, name: str | None
) -> Opened:
    """Open the variant called `name`, or the fastest for `device`, and check its golden answers.

    "auto" takes CUDA where a variant is made for it and the provider loads, the CPU otherwise.
    """
    if device not in DEVICES:
        raise SettingError(f"device is {device!r}; choose one of {', '.join(DEVICES)}")
    wanted = ("cuda", "cpu") if device == "auto" else (device,)
    choices = [(each, choose(bundle, each, name)) for each in wanted]
    runnable = [(each, variant) for each, variant in choices if variant is not None]
    if not runnable:
        raise _nothing_to_run(bundle, device, name)
    for place, (each, variant) in enumerate(runnable):
        try:
            engine = _open_graphs(bundle, variant, tokenizer, device=each, threads=threads)
        except DeviceError:
            if place + 1 == len(runnable):
                raise
        else:
            return Opened(variant=variant, engine=engine)
    raise AssertionError("the last choice returns or raises")


def _open_graphs(
    bundle: Bundle, variant: Variant, tokenizer: Tokenizer, *, device: str, threads: int | None
) -> Graphs:
    """Open a variant's graphs as they are needed, each proven when it opens."""
    # A program may change its directory before it needs the other graph.
    bundle = replace(bundle, folder=bundle.folder.absolute())

    check_products(variant)
    open_one = partial(_open_graph, bundle, variant, tokenizer, device=device, threads=threads)
    if variant.unpadded is None:
        return Graphs(partial(open_one, variant.model))

    def padded() -> Session:
        bundle.check(variant)  # opened later: the bundle may have been replaced
        return open_one(variant.model)

    return Graphs(padded, partial(open_one, variant.unpadded))


def _open_graph(
    bundle: Bundle,
    variant: Variant,
    tokenizer: Tokenizer,
    file: File,
    *,
    device: str,
    threads: int | None,
) -> Session:
    """Open one of a variant's graphs and check its golden answers."""
    path = bundle.path(file)
    if device == "cuda":
        session = _open_cuda(path, bundle.manifest)
    else:
        session = Session.open(
            path,
            device=device,
            threads=threads,
            disabled_optimizers=variant.disabled_optimizers,
            optimized=variant.optimized,
        )
    alone = file == variant.unpadded
    check_golden(bundle.manifest, variant, session, tokenizer, alone=alone)
    return session


def _open_cuda(path: Path, manifest: Manifest) -> Session:
    from bertedge.runtime.buckets import plan_buckets  # a CPU need not wait for these
    from bertedge.runtime.cuda import open_cuda

    return open_cuda(path, buckets=plan_buckets(manifest.max_length, manifest.source.hidden_size))


def open_again(bundle: Bundle, variant: Variant, tokenizer: Tokenizer) -> Session | None:
    """Open the graph for padded batches on the CPU for one thread; None where it is gone."""
    try:
        bundle.check(variant)
    except BundleError:  # removed, or exported anew meanwhile
        return None
    return _open_graph(bundle, variant, tokenizer, variant.model, device="cpu", threads=1)


def choose(bundle: Bundle, device: str, name: str | None) -> Variant | None:
    """Find the fastest variant made for `device`, or the one called `name` if it is; else None."""
    precisions = _FASTEST_FIRST[device]
    variants = bundle.manifest.variants if name is None else (bundle.variant(name),)
    fitting = [
        variant
        for variant in variants
        if PROVIDERS[device] in variant.providers and variant.precision in precisions
    ]
    return min(fitting, key=lambda variant: precisions.index(variant.precision), default=None)


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
    """Run the golden inputs in one padded batch, or each alone; return how far they are off.

    The difference is the largest of any logit, as a share of the spread of those recorded.
    VerificationError where it is above the variant's tolerance.
    """
    texts: list[Text] = [
        text[0] if len(text) == 1 else (text[0], text[1]) for text in manifest.golden.texts
    ]
    encoded = tokenizer.encode(texts)
    budget = 1 if alone else len(texts) * manifest.max_length
    found = np.vstack(
        infer(
            engine,
            encoded,
            pad_token_id=manifest.pad_token_id,
            token_budget=budget,
            keep=lambda _, logits: thin(logits),
        )
    )
    expected = np.array(manifest.golden.logits, np.float32)
    if found.shape != expected.shape:
        raise BundleError(
            f"{variant.model.file} gives logits {found.shape} for the golden inputs, the manifest "
            f"records {expected.shape}; export the model again"
        )
    difference = float(np.abs(found - expected).max()) / (spread(expected) or 1.0)
    if not difference <= variant.golden_tolerance:  # NaN must not pass
        raise _wrong_answers(manifest, variant, difference)
    return difference


def _nothing_to_run(bundle: Bundle, device: str, name: str | None) -> SettingError | DeviceError:
    if name is not None:
        variant = bundle.variant(name)
        return SettingError(
            f"variant {name} ({variant.precision}, for {', '.join(variant.providers)}) is not made "
            f"for device {device}; leave the variant out, or choose another device"
        )
    made = ", ".join(
        f"{variant.name} for {'/'.join(variant.providers)}" for variant in bundle.manifest.variants
    )
    return DeviceError(f"{bundle.folder} has no variant for device {device}; it has {made}")


def _wrong_answers(manifest: Manifest, variant: Variant, difference: float) -> VerificationError:
    floats = [v.name for v in manifest.variants if v.precision != "int8" and v is not variant]
    remedy = f"use variant {floats[0]}, or " if floats else ""
    return VerificationError(
        f"variant {variant.name} does not give its recorded answers on this machine: the golden "
        f"inputs differ by {difference:.2g} of the logits' spread, {variant.golden_tolerance:.2g} "
        f"is tolerated; {remedy}export the model on a machine like this one"
    )
