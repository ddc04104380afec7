from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from scipy.stats import binomtest

from bertedge.bundle import Quantization, Trial, Variant, open_bundle
from bertedge.errors import SettingError, VerificationError
from bertedge.export import BatchEffects, ExportConfig, Target, export
from bertedge.export.bounds import agrees, at_least
from bertedge.export.config import DEPENDENT_RECIPES, RECIPES
from bertedge.export.graph.values import count_operators
from bertedge.export.search import Order, choose_recipe, recipe_order
from bertedge.spec import Task

WORDS = ("the", "in", "not", "good", "bad", "very", "berlin", "paris", "anna", "met", "hotel", "no")


class Said:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def start(self, what: str, total: int | None, unit: str) -> None: ...

    def advance(self, by: int, note: str = "") -> None: ...

    def finish(self) -> None: ...


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So many texts that a random model's int8 variant changes some labels."""
    random = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "data.csv"
    texts = [" ".join(random.choice(WORDS, random.integers(1, 12))) for _ in range(400)]
    path.write_text("text,label\n" + "".join(f"{text},good\n" for text in texts))
    return path


def settings(**changes: Any) -> ExportConfig:
    return ExportConfig(checkpoint="x", output=Path("y"), quantize=True, **changes)


def recipes_of(order: Order) -> list[str]:
    return [recipe for group in order for recipe in group]


def test_recipes_whose_answers_depend_on_the_batch_come_last_unless_they_are_allowed() -> None:
    avoided = recipes_of(recipe_order(settings(), labelled=True))
    dependent = [recipe in DEPENDENT_RECIPES for recipe in avoided]
    assert set(avoided) == {*RECIPES, "fp32"}
    assert avoided[-1] == "fp32"
    assert dependent[:-1] == sorted(dependent[:-1])  # none before an independent one
    refused = recipes_of(recipe_order(settings(batch_effects=BatchEffects.REFUSE), labelled=True))
    assert not set(refused) & set(DEPENDENT_RECIPES)
    allowed = recipes_of(recipe_order(settings(batch_effects=BatchEffects.ALLOW), labelled=True))
    assert allowed[0] == "dynamic"


@pytest.mark.parametrize("effects", list(BatchEffects))
def test_without_labelled_data_only_the_first_group_is_tried(effects: BatchEffects) -> None:
    asked = settings(batch_effects=effects)
    assert recipe_order(asked, labelled=False) == recipe_order(asked, labelled=True)[:1]
    assert recipe_order(settings(recipe="outliers"), labelled=True) == (("outliers",),)
    assert recipe_order(settings(recipe="float-nodes"), labelled=False) == (("float-nodes",),)


Figures = dict[str, tuple[float | None, float]]
"""Agreement and rms difference of a recipe; below 0.98 it fails."""


def search_in(found: Figures, rows: int, **changes: Any) -> tuple[str | None, list[str]]:
    """Search among recipes of these figures, others fail; return what is taken and was tried."""
    tried = []

    def attempt(recipe: str) -> Trial | None:
        tried.append(recipe)
        if recipe not in found:
            return None
        agreement, rms = found[recipe]
        return Trial(
            recipe=recipe,
            relative_time=None,
            max_difference=0.1,
            rms_difference=rms,
            metric=0.9,
            agreement=agreement,
            batch_difference=None,
            passed=agreement is None or agreement >= 0.98,
        )

    asked = settings(**changes)
    order = recipe_order(asked, labelled=None not in [agreement for agreement, _ in found.values()])
    return choose_recipe(asked, order, attempt, rows=rows), tried


@pytest.mark.parametrize(
    ("found", "rows", "taken", "tries"),
    [
        ({"static": (0.997, 0.9), "outliers-static": (1.0, 0.1)}, 10_000, "static", 1),
        # 3 rows of 1,000 are within chance: the logits decide
        ({"static": (0.997, 0.9), "outliers-static": (0.99, 0.1)}, 1000, "outliers-static", 2),
        ({"static": (0.99, 0.1), "outliers-static": (0.995, 0.2)}, 1000, "static", 2),
        ({"static": (1.0, 0.9), "outliers-static": (0.97, 0.1)}, 400, "static", 2),
        ({"static": (0.97, 0.1), "outliers-static": (0.99, 0.9)}, 1000, "outliers-static", 2),
        ({"static": (None, 0.2), "outliers-static": (None, 0.1)}, 0, "outliers-static", 2),
        ({"static": (None, 0.2)}, 0, "static", 2),  # the other cannot be made
        (
            {"float-nodes-static": (0.98, 0.9), "outliers": (1.0, 0.1)},
            1000,
            "float-nodes-static",
            3,
        ),
        ({"dynamic": (0.99, 0.2), "outliers": (0.99, 0.1)}, 1000, "outliers", 5),
        ({"float-nodes": (0.99, 0.1)}, 1000, "float-nodes", 6),
        ({"fp32": (1.0, 0.0)}, 1000, "fp32", 7),
        ({"static": (0.9, 0.0)}, 1000, None, 7),
    ],
)
def test_the_nearest_of_the_first_group_that_passes_is_taken(
    found: Figures, rows: int, taken: str | None, tries: int
) -> None:
    recipe, tried = search_in(found, rows)
    assert recipe == taken
    assert len(tried) == tries


def test_allowed_batch_effects_take_a_dynamic_recipe_that_is_nearest() -> None:
    found: Figures = {"dynamic": (0.99, 0.3), "static": (0.99, 0.2), "outliers": (0.99, 0.1)}
    assert search_in(found, 1000, batch_effects=BatchEffects.ALLOW)[0] == "outliers"
    assert search_in(found, 1000)[0] == "static"


def test_a_share_of_few_rows_may_be_chance() -> None:
    assert at_least(0.99, 0) == 0
    assert at_least(1.0, 400) == pytest.approx(400 / (400 + 1.645**2))
    for right, rows in ((50, 100), (397, 400), (0, 30)):
        interval = binomtest(right, rows).proportion_ci(0.9, "wilson")
        assert at_least(right / rows, rows) == pytest.approx(interval.low, abs=1e-4)
    assert agrees(settings(), 0.975, 400)
    assert not agrees(settings(), 0.965, 400)
    assert not agrees(settings(), 0.975, 10_000)
    assert not agrees(settings(min_agreement=0.98), 0.975, 400)


def test_a_budget_is_kept_by_the_first_recipe_within_it() -> None:
    found: Figures = {"static": (0.98, 0.9), "outliers-static": (1.0, 0.1)}
    assert search_in(found, 10, min_agreement=0.98) == ("static", ["static"])
    assert search_in({"dynamic": (0.98, 0.9)}, 10, min_agreement=0.98)[0] == "dynamic"
    assert search_in({"dynamic": (0.98, 0.9)}, 10, recipe="dynamic") == ("dynamic", ["dynamic"])


@pytest.fixture
def make(checkpoints: Any, tmp_path: Path) -> Any:
    def run(model: Mapping[str, Any] = {}, **changes: Any) -> tuple[Variant, list[str]]:
        said = Said()
        config = ExportConfig(
            checkpoint=str(checkpoints("bert", **model)),
            output=tmp_path / "bundle",
            quantize=True,
            **changes,
        )
        manifest = export(config, said).manifest
        assert open_bundle(tmp_path / "bundle").manifest.variants == manifest.variants
        return manifest.variants[0], said.lines

    return run


def quantization_of(variant: Variant) -> Quantization:
    assert variant.quantization is not None
    return variant.quantization


def test_the_first_recipe_within_the_budget_is_taken(make: Any, data: Path) -> None:
    variant, lines = make(eval_data=data, min_agreement=0.5, max_drop=50.0)
    found = quantization_of(variant)
    assert found.recipe == "static"
    (trial,) = found.trials
    assert (trial.recipe, trial.passed) == ("static", True)
    assert trial.agreement is not None
    assert 0.8 < trial.agreement < 1
    assert 0 < trial.rms_difference < trial.max_difference < 0.15
    assert any(line.startswith("static passes") for line in lines)


def test_answers_do_not_depend_on_the_batch_by_default(make: Any, data: Path) -> None:
    variant, _ = make(eval_data=data, max_drop=100.0, min_agreement=0.0)
    effect = variant.batch_effect
    assert (effect.independent, effect.answers_changed) == (True, 0)
    assert effect.max_difference <= effect.tolerance
    assert effect.texts > 256


@pytest.mark.parametrize("recipe", DEPENDENT_RECIPES)
def test_a_recipe_whose_answers_depend_on_the_batch_says_so(
    recipe: str, make: Any, data: Path
) -> None:
    variant, _ = make(recipe=recipe, eval_data=data, max_drop=100.0, min_agreement=0.0)
    effect = variant.batch_effect
    assert not effect.independent
    assert effect.max_difference > 100 * effect.tolerance
    trial = quantization_of(variant).trials[-1]
    assert trial.batch_difference > effect.tolerance


@pytest.mark.parametrize("effects", [BatchEffects.REFUSE, BatchEffects.ALLOW])
def test_a_budget_that_no_int8_keeps_ends_in_fp32(
    effects: BatchEffects, make: Any, data: Path
) -> None:
    variant, lines = make(
        # With larger weights int8 changes tens of labels, which no other batching gets right.
        {"initializer_range": 0.4, "num_hidden_layers": 4},
        eval_data=data,
        min_agreement=1.0,
        max_drop=100.0,
        keep_fp32=True,
        batch_effects=effects,
    )
    found = quantization_of(variant)
    tried = recipes_of(recipe_order(settings(batch_effects=effects), labelled=True))
    assert found.recipe == "fp32"
    assert [trial.recipe for trial in found.trials] == tried
    assert [trial.passed for trial in found.trials] == [False] * (len(tried) - 1) + [True]
    assert found.trials[-1].agreement == 1.0
    assert all(trial.agreement < 0.99 for trial in found.trials[:-1])
    assert sum(" fails: " in line for line in lines) == len(tried) - 1
    assert variant.batch_effect.independent


def test_a_budget_that_nothing_keeps_writes_nothing_but_says_how_each_failed(
    checkpoints: Any, data: Path, tmp_path: Path
) -> None:
    said = Said()
    config = ExportConfig(
        checkpoint=str(checkpoints("bert")),
        output=tmp_path / "bundle",
        quantize=True,
        batch_effects=BatchEffects.REFUSE,
        eval_data=data,
        max_drop=-200.0,
    )
    with pytest.raises(VerificationError, match=r"none of 4 recipes passes: .* -200") as caught:
        export(config, said)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 300
    assert list(tmp_path.iterdir()) == []
    assert sum(" fails: " in line for line in said.lines) == 4


@pytest.mark.parametrize("recipe", sorted({*RECIPES} - {"dynamic"}))
def test_a_recipe_can_be_forced_without_data(recipe: str, exported: Any) -> None:
    task = Task.TEXT_CLASSIFICATION
    report = exported("bert", task, quantize=True, recipe=recipe, target=Target.X86_AVX2)
    (variant,) = report.manifest.variants
    found = quantization_of(variant)
    assert (found.recipe, found.target) == (recipe, "x86-avx2")
    assert found.calibration is not None
    assert (found.calibration.data, found.calibration.sha256) == ("built-in", None)
    assert (found.calibration.method is not None) == ("static" in recipe)
    counts = count_operators(ir.load(report.output / "cpu-int8.onnx"))
    assert (counts["DynamicQuantizeLinear"] == 0) == ("static" in recipe)
    kinds = ("QAttention", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
    products = sum(counts[kind] for kind in kinds)
    assert (products < 14) == ("float-nodes" in recipe)


def test_without_labelled_data_the_logits_choose_and_the_batch_does_not_matter(
    exported: Any,
) -> None:
    task = Task.TEXT_CLASSIFICATION
    variant = exported("bert", task, quantize=True, keep_fp32=True).manifest.variants[0]
    found = quantization_of(variant)
    nearest = min(found.trials, key=lambda trial: trial.rms_difference)
    assert [trial.recipe for trial in found.trials] == ["static", "outliers-static"]
    assert found.recipe == nearest.recipe
    assert variant.batch_effect.independent
    assert variant.batch_effect.answers_changed is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"quantize": True, "min_agreement": 98.0},
            "min_agreement is 98.0; it must be at",
        ),
        ({"quantize": True, "recipe": "best"}, "recipe is 'best'; choose one of static"),
        ({"batch_effects": BatchEffects.REFUSE}, "add --quantize"),
        (
            {"quantize": True, "batch_effects": BatchEffects.REFUSE, "recipe": "dynamic"},
            "refuse excludes --recipe-int8 dynamic",
        ),
        ({"recipe": "static"}, "add --quantize"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        ExportConfig(checkpoint="x", output=Path("y"), **changes)
