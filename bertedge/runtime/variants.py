"""Which variant of a bundle runs on which device, and the proof that it answers rightly here."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bertedge.bundle import Bundle, File, Manifest, Variant
from bertedge.errors import BundleError, DeviceError, SettingError
from bertedge.logs import log
from bertedge.runtime.engine import PaddingAwareEngine
from bertedge.runtime.providers import Device, find_devices
from bertedge.runtime.session import Session
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.runtime.verification import check_golden, check_products, check_tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVariant:
    """A variant that runs, and answers rightly."""

    bundle: Bundle
    tokenizer: Tokenizer
    variant: Variant
    device: Device
    engine: PaddingAwareEngine


def open_variant(
    bundle: Bundle, tokenizer: Tokenizer, *, device: str, threads: int | None, name: str | None
) -> OpenVariant:
    """Open the variant called `name`, or the fastest for `device`, and check its golden answers.

    "auto" takes the fastest device that a variant is made for and whose provider loads. Raises
    SettingError for a device or a variant that there is not, DeviceError where none can run.
    """
    check_tokenizer(bundle.manifest, tokenizer)
    choices = [(each, choose(bundle, each, name)) for each in find_devices(device)]
    runnable = [(each, variant) for each, variant in choices if variant is not None]
    if not runnable:
        raise _nothing_to_run(bundle, device, name)
    for place, (each, variant) in enumerate(runnable):
        log(
            __name__, "variant %s, %s, is chosen for %s", variant.name, variant.precision, each.name
        )
        try:
            engine = _open_graphs(bundle, variant, tokenizer, device=each, threads=threads)
        except DeviceError as error:
            if place + 1 == len(runnable):
                raise
            log(__name__, "variant %s is left out: %s", variant.name, error)
        else:
            return OpenVariant(
                bundle=bundle, tokenizer=tokenizer, variant=variant, device=each, engine=engine
            )
    raise AssertionError("the last choice returns or raises")


def _open_graphs(
    bundle: Bundle, variant: Variant, tokenizer: Tokenizer, *, device: Device, threads: int | None
) -> PaddingAwareEngine:
    """Open a variant's graphs as they are needed, each proven when it opens."""
    # A program may change its directory before it needs the other graph.
    bundle = replace(bundle, folder=bundle.folder.absolute())

    check_products(variant)
    open_one = partial(_open_graph, bundle, variant, tokenizer, device=device, threads=threads)
    if variant.unpadded is None:
        return PaddingAwareEngine(partial(open_one, variant.model))

    def padded() -> Session:
        bundle.check(variant)  # opened later: the bundle may have been replaced
        return open_one(variant.model)

    return PaddingAwareEngine(padded, partial(open_one, variant.unpadded))


def _open_graph(
    bundle: Bundle,
    variant: Variant,
    tokenizer: Tokenizer,
    file: File,
    *,
    device: Device,
    threads: int | None,
) -> Session:
    """Open one of a variant's graphs and check its golden answers."""
    path = bundle.path(file)
    bundle.check_graph(variant, file)
    if device.captures_graphs:
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

    return open_cuda(
        path, buckets=plan_buckets(manifest.model.max_length, manifest.source.hidden_size)
    )


def open_again(opened: OpenVariant) -> Session | None:
    """Open the graph for padded batches once more, for one thread; None where it is gone."""
    bundle, variant, device = opened.bundle, opened.variant, opened.device
    try:
        bundle.check(variant)
    except BundleError:  # removed, or exported anew meanwhile
        return None
    return _open_graph(bundle, variant, opened.tokenizer, variant.model, device=device, threads=1)


def choose(bundle: Bundle, device: Device, name: str | None) -> Variant | None:
    """Find the fastest variant made for `device`, or the one called `name` if it is; else None."""
    precisions = device.precisions
    variants = bundle.manifest.variants if name is None else (bundle.variant(name),)
    fitting = [
        variant
        for variant in variants
        if device.provider in variant.providers and variant.precision in precisions
    ]
    return min(fitting, key=lambda variant: precisions.index(variant.precision), default=None)


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
