from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import bertedge
from bertedge.runtime import batching, scheduler, tuning
from bertedge.runtime.tuning import BUDGETS, DEFAULT, Trial

REPOSITORY = Path(__file__).parent.parent.parent
TINY = REPOSITORY / "models" / "tiny" / "text-classification"
LONG = ["turn it off", "play some jazz in the kitchen"] * 1000


def trials(rates: dict[int, float], rounds: int = 4) -> Iterator[Trial]:
    """Batches of each budget in turn that run as many tokens a second as given."""
    for _ in range(rounds):
        for budget in BUDGETS:
            yield Trial(budget=budget, tokens=budget - 3, seconds=(budget - 3) / rates[budget])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTEDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_budget_with_most_tokens_a_second_is_chosen() -> None:
    chosen = tuning.choose(list(trials({128: 900.0, 256: 1000.0, 512: 1300.0, 1024: 1100.0})))
    assert chosen.tokens == 512
    assert chosen.rates == {"128": 900.0, "256": 1000.0, "512": 1300.0, "1024": 1100.0}
    assert chosen.why.startswith("measured on 12 batches, ")


def test_a_budget_that_is_no_better_than_noise_leaves_the_default() -> None:
    rates = dict.fromkeys(BUDGETS, 1000.0)
    assert tuning.choose(list(trials(rates | {1024: 1020.0}))).tokens == DEFAULT.tokens


def test_the_first_round_warms_up_and_does_not_count() -> None:
    cold = list(trials(dict.fromkeys(BUDGETS, 1.0) | {128: 9e9}, rounds=1))
    warm = list(trials({128: 900.0, 256: 1000.0, 512: 800.0, 1024: 1100.0}))
    assert tuning.choose(cold + warm).tokens == 1024


def test_a_clock_that_stands_still_chooses_the_default() -> None:
    still = [replace(trial, seconds=0.0) for trial in trials(dict.fromkeys(BUDGETS, 1.0))]
    assert tuning.choose(still).tokens == DEFAULT.tokens


def test_what_was_measured_is_remembered_by_model_and_threads(cache: Path) -> None:
    budget = tuning.TokenBudget(tokens=256, why="a test", rates={"256": 1.5})
    file = tuning.cache_file("a" * 64, 2)
    assert tuning.recall(file) is None
    assert tuning.remember(file, budget)
    assert tuning.recall(file) == budget
    assert file.parent == cache and [path.name for path in cache.iterdir()] == [file.name]
    assert tuning.recall(tuning.cache_file("a" * 64, 3)) is None
    assert tuning.recall(tuning.cache_file("b" * 64, 2)) is None


def test_a_damaged_or_unwritable_cache_is_no_error(cache: Path) -> None:
    file = tuning.cache_file("a" * 64, 2)
    cache.mkdir()
    file.write_text("{")
    assert tuning.recall(file) is None
    assert not tuning.remember(file / "below a file", tuning.DEFAULT)


def test_a_predictor_measures_once_and_only_on_long_inputs(cache: Path) -> None:
    predictor = bertedge.load(TINY)
    predictor.predict(LONG[:200])
    predictor.predict(["off"] * 600)  # rows enough, tokens too few
    assert not cache.exists()
    predictor.predict(LONG)
    (file,) = cache.iterdir()
    budget = tuning.recall(file)
    assert budget is not None and set(budget.rates) == {str(each) for each in BUDGETS}
    assert all(rate > 0 for rate in budget.rates.values())
    before = file.stat().st_mtime_ns
    predictor.predict(LONG)
    bertedge.load(TINY).predict(LONG)
    assert [each.stat().st_mtime_ns for each in cache.iterdir()] == [before]


def test_what_was_remembered_is_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = bertedge.load(TINY, threads=2)
    file = tuning.cache_file(predictor.variant.model.sha256, 2)
    tuning.remember(file, replace(DEFAULT, tokens=77))
    asked: list[int] = []

    def plan(lengths: list[int], *budgets: int) -> list[object]:
        asked.extend(budgets)
        return batching.plan(lengths, *budgets)  # type: ignore[return-value]

    monkeypatch.setattr(scheduler, "plan", plan)
    predictor.predict(LONG)
    assert set(asked) == {77}


def test_a_budget_that_is_given_is_not_measured(cache: Path) -> None:
    bertedge.load(TINY).predict(LONG, token_budget=64)
    assert not cache.exists()
