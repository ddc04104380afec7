"""Which graphs are profiled, to show what fusion and int8 did to the exported one."""

from collections.abc import Sequence
from dataclasses import replace

from bertedge.bench.config import Settings
from bertedge.bench.messages import Exported, ProfileGraph
from bertedge.bench.scenarios.afterwards import GraphToProfile
from bertedge.bench.workloads import Cell, token_workload
from bertedge.bundle import Bundle, Variant
from bertedge.runtime.providers import CPU, first_device

LENGTH = 128
"""Tokens of the one row that is profiled, or as many as the model reads."""
BY_OPTIMUM = ("SkipLayerNormFusion",)
"""onnxruntime's own fusion at load that would undo the choice made for the CPU."""


def find_graphs(
    bundle: Bundle, exported: Exported, tokens: Sequence[int], settings: Settings
) -> tuple[GraphToProfile, ...]:
    """List the exported graph, the fused one and the int8 one, as far as they are there.

    The fused graph is the bundle's fp32 variant; a bundle without one shows Optimum's fusion.
    """
    if not settings.profile_runs:
        return ()
    cell = Cell(batch=1, length=min(LENGTH, bundle.manifest.model.max_length))
    rows = token_workload(cell, tokens, seed=settings.seed).batches[0]

    common = ProfileGraph(
        model="",
        disabled_optimizers=(),
        optimized=False,
        threads=settings.threads,
        rows=rows,
        runs=settings.profile_runs,
    )

    def graph(name: str, stage: str, request: ProfileGraph) -> GraphToProfile:
        return GraphToProfile(graph=name, stage=stage, workload=cell.name, request=request)

    on_cpu = [variant for variant in bundle.manifest.variants if _runs_on_cpu(variant)]
    found = []
    if exported.exported:
        found.append(graph("exported", "exported", replace(common, model=exported.exported)))
    if exported.fused and not any(variant.precision == "fp32" for variant in on_cpu):
        fused = replace(common, model=exported.fused, disabled_optimizers=BY_OPTIMUM)
        found.append(graph("fused by Optimum", "fused", fused))
    for precision, stage in (("fp32", "fused"), ("int8", "int8")):
        found += [
            graph(variant.name, stage, _request(bundle, variant, common))
            for variant in on_cpu
            if variant.precision == precision
        ]
    return tuple(found)


def _request(bundle: Bundle, variant: Variant, common: ProfileGraph) -> ProfileGraph:
    """Take the graph that a single text runs on."""
    return replace(
        common,
        model=str(bundle.path(variant.unpadded or variant.model).resolve()),
        disabled_optimizers=variant.disabled_optimizers,
        optimized=variant.optimized,
    )


def _runs_on_cpu(variant: Variant) -> bool:
    return first_device(variant.providers) is CPU
