import time
from pathlib import Path

import numpy as np
import pytest

import bertedge
from bertedge.runtime import tuning
from bertedge.runtime.batching import TOKEN_BUDGET, Batch

REPOSITORY = Path(__file__).parent.parent.parent
TINY = REPOSITORY / "models" / "tiny" / "text-classification"


class Machine:
    """Takes a time that depends on the size of a batch in a known way."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds = seconds
        self.batches = 0

    def logits(self, batch: Batch) -> np.ndarray:
        self.batches += 1
        time.sleep(self.seconds[batch.input_ids.size])
        return np.zeros((len(batch.input_ids), 2), np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTEDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_budget_with_most_tokens_a_second_is_chosen() -> None:
    engine = Machine({256: 0.02, 512: 0.02, 1024: 0.02, 2048: 0.2})
    budget = tuning.measure(engine, [16, 16, 16], pad_token_id=0)
    assert budget.tokens == 1024
    assert set(budget.rates) == {"256", "512", "1024", "2048"}


def test_the_default_stays_where_nothing_is_clearly_better() -> None:
    engine = Machine({256: 0.02, 512: 0.04, 1024: 0.08, 2048: 0.16})
    assert tuning.measure(engine, [16], pad_token_id=0).tokens == TOKEN_BUDGET


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


def test_a_predictor_measures_once_and_only_for_long_inputs(cache: Path) -> None:
    predictor = bertedge.load(TINY)
    predictor.predict(["turn it off"] * 20)
    assert not cache.exists()
    short = predictor.predict(["turn it off"])[0]
    many = predictor.predict(["turn it off"] * 600)
    assert len(list(cache.iterdir())) == 1
    assert {prediction.label for prediction in many} == {short.label}
    before = next(cache.iterdir()).stat().st_mtime_ns
    bertedge.load(TINY).predict(["turn it off"] * 600)
    assert next(cache.iterdir()).stat().st_mtime_ns == before


def test_a_budget_that_is_given_is_not_measured(cache: Path) -> None:
    bertedge.load(TINY).predict(["turn it off"] * 600, token_budget=64)
    assert not cache.exists()
