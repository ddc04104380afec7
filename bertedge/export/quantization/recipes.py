"""The ways from a float graph to an int8 one (`config.RECIPES`), each built when it is tried.

All but "dynamic" are calibrated, and round the weights together, too.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bertedge.bundle import GraphPass
from bertedge.errors import VerificationError
from bertedge.export.config import RECIPES, Target
from bertedge.export.graph.fusion import CPU_DISABLED_OPTIMIZERS, infer_shapes
from bertedge.export.graph.serialize import GraphFiles, SavedGraph, finish
from bertedge.export.graph.values import save
from bertedge.export.quantization.calibration import (
    METHODS,
    CalibrationTexts,
    activation_ranges,
    channel_maxima,
)
from bertedge.export.quantization.dynamic import quantize_dynamic
from bertedge.export.quantization.gptq import Moments, round_weights, second_moments
from bertedge.export.quantization.matmuls import float_branches
from bertedge.export.quantization.outlier_channels import fold_outliers
from bertedge.export.quantization.sensitivity import measure_sensitivities, most_sensitive
from bertedge.export.quantization.static import freeze_scales
from bertedge.runtime.engine import infer
from bertedge.runtime.session import Session

if TYPE_CHECKING:
    from transformers import PretrainedConfig

EFFECT_TEXTS = 32
FOLDING = 1e-4
"""Share of the spread by which logits may move when outliers are taken away in float."""
WORTH = 0.005
"""Share of the damage (squared) from which on a product is worth a few more nodes."""


class QuantizationContext:
    """A float graph and what was measured on it, each thing when it is first needed."""

    def __init__(
        self,
        floats: GraphFiles,
        architecture: "PretrainedConfig",
        gather: Callable[[], CalibrationTexts],
        target: Target,
        folder: Path,
    ) -> None:
        self.floats = floats
        self.target = target
        self._architecture = architecture
        self._gather = gather
        self._folder = folder
        folder.mkdir(exist_ok=True)
        self._made: dict[str, GraphFiles] = {}
        self._moments: dict[Path, Moments] = {}

    def make(self, name: str) -> GraphFiles:
        """Return the graph of a recipe, made once; "fp32" is the float graph itself."""
        if name not in self._made:
            self._made[name] = self._make(name) if name in RECIPES else self.floats
        return self._made[name]

    def _make(self, name: str) -> GraphFiles:
        recipe = RECIPES[name]
        source = self.folded if recipe.outliers else self.floats.candidate
        folder = self._folder / name
        folder.mkdir()
        floats = ir.load(source.path)
        worst = most_sensitive(self._effects_of(source)) if recipe.float_nodes else ()
        graph = quantize_dynamic(
            source.path,
            self._architecture,
            folder / "quantized",
            float_nodes=float_branches(floats) + worst,
            reduced_range=self.target.reduced_range,
        )
        passes = source.passes + graph.passes
        calibration = None
        if recipe.static or recipe.outliers:
            passes += (round_weights(graph.model, floats, self._moments_of(source)),)
            method = None
            if recipe.static:
                method, frozen = self._freeze(graph.model, source)
                passes += (frozen,)
            calibration = self.texts.describe(method)
        if worst:
            passes += (GraphPass(name="products-left-in-float", nodes=len(worst)),)
        path = folder / "cpu-int8.onnx"
        save(graph.model, path)
        candidate = SavedGraph(path=path, precision="int8", passes=passes)
        return replace(finish(candidate, folder / "shipped"), calibration=calibration)

    @cached_property
    def texts(self) -> CalibrationTexts:
        """The calibration texts."""
        return self._gather()

    @cached_property
    def folded(self) -> SavedGraph:
        """The float graph without outliers."""
        floats = self.floats.candidate
        model = ir.load(floats.path)
        effects = self._effects_of(floats)
        total = sum(effect**2 for effect in effects.values())
        worth = {name for name, effect in effects.items() if effect**2 > WORTH * total}
        passes = fold_outliers(model, channel_maxima(model, self.texts), worth)
        path = self._folder / "folded.onnx"
        save(infer_shapes(model, self._folder), path)
        before, after = self._logits(floats.path), self._logits(path)
        moved = float(np.abs(after - before).max() / max(np.ptp(before), 1e-9))
        if not moved <= FOLDING:
            raise VerificationError(
                f"taking the outliers out of the way moved the logits by {moved:.2g} of their "
                f"spread, {FOLDING:g} is tolerated; leave them in with --recipe-int8 static"
            )
        return SavedGraph(path=path, precision="fp32", passes=floats.passes + passes)

    def _effects_of(self, source: SavedGraph) -> dict[str, float]:
        return measure_sensitivities(ir.load(source.path), self.texts.singles(EFFECT_TEXTS))

    def _moments_of(self, source: SavedGraph) -> Moments:
        if source.path not in self._moments:
            self._moments[source.path] = second_moments(ir.load(source.path), self.texts)
        return self._moments[source.path]

    def _freeze(self, model: ir.Model, source: SavedGraph) -> tuple[str, GraphPass]:
        """Freeze the scales, in place, by the method whose logits are nearest to the float ones."""
        ranges = activation_ranges(ir.load(source.path), self.texts)
        exact = self._logits(source.path)
        path = self._folder / "frozen.onnx"
        errors = {}
        for method in METHODS:
            frozen = model.clone()
            freeze_scales(frozen, ranges[method])
            save(frozen, path)
            errors[method] = float(np.mean((self._logits(path) - exact) ** 2))
        best = min(METHODS, key=lambda method: errors[method])
        nodes = freeze_scales(model, ranges[best])
        return best, GraphPass(name="static-scales", nodes=nodes)

    def _logits(self, path: Path) -> NDArray[np.float32]:
        engine = Session.open(path, disabled_optimizers=CPU_DISABLED_OPTIMIZERS)
        rows = infer(engine, self.texts.rows, pad_token_id=self.texts.pad_token_id)
        return np.concatenate([row.reshape(-1, row.shape[-1]) for row in rows])
