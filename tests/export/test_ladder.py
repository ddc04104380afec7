from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from bertedge.bundle import Quantization, Rung, open_bundle
from bertedge.errors import SettingError, VerificationError
from bertedge.export import ExportConfig, Target, export
from bertedge.export.ladder import INVARIANT_LADDER, LADDER, agrees, at_least, choose, plan
from bertedge.export.nodes import count_operators

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


def test_the_ladder_is_walked_only_where_data_can_tell() -> None:
    assert plan(settings(), labelled=True) == LADDER
    assert plan(settings(), labelled=False) == ("dynamic",)
    assert plan(settings(invariant=True), labelled=True) == INVARIANT_LADDER
    assert plan(settings(invariant=True), labelled=False) == ("static",)
    assert plan(settings(recipe="outliers"), labelled=True) == ("outliers",)
    assert plan(settings(recipe="float-nodes"), labelled=False) == ("float-nodes",)


def rungs(**found: tuple[float, float]) -> list[Rung]:
    """Rungs of these agreements and differences, in the order given; below 0.98 they fail."""
    return [
        Rung(
            recipe=recipe.replace("_", "-"),
            relative_time=1.0,
            max_difference=0.1,
            rms_difference=rms,
            metric=0.9,
            agreement=agreement,
            invariance=None,
            passed=agreement >= 0.98,
        )
        for recipe, (agreement, rms) in found.items()
    ]


@pytest.mark.parametrize(
    ("found", "rows", "taken"),
    [
        (rungs(dynamic=(0.997, 0.9)), 10_000, 0),
        (rungs(dynamic=(0.997, 0.9)), 1000, None),  # 3 rows of 1,000 are luck
        (rungs(dynamic=(0.995, 0.9)), 10**9, None),
        (rungs(dynamic=(1.0, 0.9)), 400, None),
        (rungs(dynamic=(0.99, 0.9), static=(0.997, 0.8)), 10_000, 1),
        (rungs(dynamic=(0.97, 0.1), static=(0.99, 0.8)), 1000, None),
        (rungs(dynamic=(0.99, 0.3), static=(0.995, 0.2), outliers=(0.99, 0.1)), 1000, 2),
        (rungs(dynamic=(0.99, 0.3), static=(0.99, 0.2), outliers=(0.97, 0.1)), 1000, 1),
        (rungs(dynamic=(0.9, 0.3), static=(0.9, 0.2), outliers=(0.9, 0.1)), 1000, None),
        (
            rungs(
                dynamic=(0.9, 0.3), static=(0.9, 0.2), outliers=(0.9, 0.1), float_nodes=(0.98, 0.2)
            ),
            1000,
            3,
        ),
    ],
)
def test_without_a_budget_the_nearest_of_the_cheap_rungs_is_taken(
    found: list[Rung], rows: int, taken: int | None
) -> None:
    assert choose(settings(), found, rows=rows) == taken


def test_the_invariant_ladder_looks_at_both_of_its_cheap_rungs() -> None:
    asked = settings(invariant=True)
    assert choose(asked, rungs(static=(0.99, 0.2)), rows=1000) is None
    assert choose(asked, rungs(static=(0.99, 0.2), outliers_static=(0.99, 0.1)), rows=1000) == 1


def test_a_share_of_few_rows_may_be_luck() -> None:
    assert at_least(0.99, 0) == 0
    assert at_least(1.0, 400) == pytest.approx(400 / (400 + 1.645**2))
    assert at_least(0.5, 100) == pytest.approx(0.4189, abs=1e-3)  # by Wilson's formula
    assert agrees(settings(), 0.975, 400)
    assert not agrees(settings(), 0.965, 400)
    assert not agrees(settings(), 0.975, 10_000)
    assert not agrees(settings(min_agreement=0.98), 0.975, 400)


def test_a_budget_is_kept_by_the_first_rung_within_it() -> None:
    asked = settings(min_agreement=0.98)
    low = (0.97, 0.1)
    assert choose(asked, rungs(dynamic=(0.98, 0.9)), rows=10) == 0
    assert choose(asked, rungs(dynamic=low), rows=10) is None
    assert choose(asked, rungs(dynamic=low, static=low, outliers=low), rows=10) is None
    assert choose(settings(recipe="dynamic"), rungs(dynamic=(0.98, 0.9)), rows=10) == 0


@pytest.fixture
def make(checkpoints: Any, tmp_path: Path) -> Any:
    def run(**changes: Any) -> tuple[Quantization, list[str]]:
        said = Said()
        config = ExportConfig(
            checkpoint=str(checkpoints("bert")),
            output=tmp_path / "bundle",
            quantize=True,
            **changes,
        )
        manifest = export(config, said).manifest
        assert open_bundle(tmp_path / "bundle").manifest.variants == manifest.variants
        assert manifest.variants[0].quantization is not None
        return manifest.variants[0].quantization, said.lines

    return run


def test_the_first_recipe_within_the_budget_is_taken(make: Any, data: Path) -> None:
    found, lines = make(eval_data=data, min_agreement=0.5, max_drop=50.0)
    assert (found.recipe, found.calibration) == ("dynamic", None)
    (rung,) = found.rungs
    assert (rung.recipe, rung.passed, rung.relative_time) == ("dynamic", True, 1.0)
    assert rung.agreement is not None
    assert 0.8 < rung.agreement < 1
    assert 0 < rung.rms_difference < rung.max_difference < 0.15
    assert rung.invariance is None
    assert any(line.startswith("dynamic ") and "passes" in line for line in lines)


def test_a_budget_that_no_int8_keeps_ends_in_fp32(make: Any, data: Path) -> None:
    found, lines = make(eval_data=data, min_agreement=1.0, max_drop=100.0, keep_fp32=True)
    assert found.recipe == "fp32"
    assert [rung.recipe for rung in found.rungs] == list(LADDER)
    assert [rung.passed for rung in found.rungs] == [False] * (len(LADDER) - 1) + [True]
    assert found.rungs[-1].agreement == 1.0
    assert sum("fails" in line for line in lines) == len(LADDER) - 1


def test_a_budget_that_nothing_keeps_writes_nothing_but_shows_the_table(
    checkpoints: Any, data: Path, tmp_path: Path
) -> None:
    said = Said()
    config = ExportConfig(
        checkpoint=str(checkpoints("bert")),
        output=tmp_path / "bundle",
        quantize=True,
        invariant=True,
        eval_data=data,
        max_drop=-200.0,
    )
    with pytest.raises(VerificationError, match=r"none of 3 recipes passes: .* -200") as caught:
        export(config, said)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert sum("fails" in line for line in said.lines) == 3


@pytest.mark.parametrize("recipe", ["static", "outliers", "outliers-static", "float-nodes"])
def test_a_recipe_can_be_forced_without_data(recipe: str, make: Any, tmp_path: Path) -> None:
    found, _ = make(recipe=recipe, target=Target.X86_AVX2)
    assert (found.recipe, found.target) == (recipe, "x86-avx2")
    assert found.calibration is not None
    assert (found.calibration.data, found.calibration.sha256) == ("built-in", None)
    assert (found.calibration.method is not None) == ("static" in recipe)
    counts = count_operators(onnx.load(tmp_path / "bundle" / "cpu-int8.onnx"))
    assert (counts["DynamicQuantizeLinear"] == 0) == ("static" in recipe)
    kinds = ("QAttention", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
    products = sum(counts[kind] for kind in kinds)
    assert (products < 14) == (recipe == "float-nodes")


def test_invariance_is_measured_and_demanded(make: Any) -> None:
    found, _ = make(invariant=True)
    assert found.recipe == "static"
    assert found.rungs[0].invariance is not None
    assert found.rungs[0].invariance <= 1e-5


def test_dynamic_scales_are_not_invariant(make: Any) -> None:
    with pytest.raises(VerificationError, match=r"the recipe dynamic, moves .* of their spread"):
        make(invariant=True, recipe="dynamic")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quantize": True, "min_agreement": 98.0}, "--min-agreement is 98"),
        ({"quantize": True, "recipe": "best"}, "--recipe-int8 is 'best'; choose one of dynamic"),
        ({"invariant": True}, "add --quantize"),
        ({"recipe": "static"}, "add --quantize"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        ExportConfig(checkpoint="x", output=Path("y"), **changes)
