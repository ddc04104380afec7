"""The paired test of two models' scores, against exact probabilities and simulated chance."""

from math import comb

import numpy as np
import pytest
from numpy.typing import NDArray

from bertedge.evaluation import Evaluation
from bertedge.export.significance import LEVEL, is_significant
from bertedge.metrics import ValueScores

Floats = NDArray[np.float64]


def labelling(per_text: Floats | None, metric: str = "accuracy") -> Evaluation:
    return Evaluation(
        scores=ValueScores(metric=metric, value=0.5, pearson=0.5, rmse=None),
        predicted=np.zeros(0 if per_text is None else len(per_text)),
        rows=0 if per_text is None else len(per_text),
        truncated=0,
        seconds=0.1,
        per_text=per_text,
    )


def rights(right: list[bool]) -> Evaluation:
    return labelling(np.stack([right, np.ones(len(right))], axis=1).astype(float))


@pytest.mark.parametrize("gained", range(4))
@pytest.mark.parametrize("lost", range(13))
def test_rows_that_one_model_alone_has_right_decide(lost: int, gained: int) -> None:
    before = [True] * lost + [False] * gained + [True, False] * 50
    after = [False] * lost + [True] * gained + [True, False] * 50
    count = lost + gained
    more = max(lost, gained)
    tail = sum(comb(count, k) for k in range(more, count + 1)) / 2**count
    assert is_significant(rights(before), rights(after)) == (min(1.0, 2 * tail) < LEVEL)


def test_three_rows_of_273_are_within_chance() -> None:
    assert is_significant(rights([True] * 273), rights([False] * 3 + [True] * 270)) is False


@pytest.mark.parametrize("metric", ["entity_f1", "spearman"])
def test_a_clear_loss_is_significant_and_noise_is_not(metric: str) -> None:
    random = np.random.default_rng(0)
    gold = random.normal(size=400)
    near, same, far = (gold + random.normal(scale=s, size=400) for s in (0.3, 0.3, 1.0))
    if metric == "spearman":
        one, other, worse = (np.stack([gold, each], axis=1) for each in (near, same, far))
    else:  # right, and given in gold and prediction
        one, other, worse = (
            np.stack([2.0 * (np.abs(each - gold) < 0.5), np.full(400, 2.0)], axis=1)
            for each in (near, same, far)
        )
    assert is_significant(labelling(one, metric), labelling(worse, metric)) is True
    assert is_significant(labelling(one, metric), labelling(other, metric)) is False
    assert is_significant(labelling(one, metric), labelling(one.copy(), metric)) is False


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_handful_of_texts_tells_nothing(rows: int) -> None:
    before, after = (np.full((rows, 2), value) for value in ((0.9, 1.0), (0.1, 1.0)))
    assert rows == 1 or is_significant(labelling(before), labelling(before)) is False
    ranks = np.stack([np.arange(rows), np.arange(rows)], axis=1).astype(float)
    turned = np.stack([np.arange(rows), -np.arange(rows)], axis=1).astype(float)
    assert is_significant(labelling(ranks, "spearman"), labelling(turned, "spearman")) is not True
    assert is_significant(labelling(before[:1]), labelling(after[:1])) is False


def test_what_has_no_scores_is_not_tested() -> None:
    assert is_significant(labelling(None), labelling(None)) is None
