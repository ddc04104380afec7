import numpy as np
import pytest

from bertedge.metrics.calibration import (
    BINS,
    best_f1_threshold,
    best_scope_threshold,
    bin_scores,
    calibration_error,
    fit_temperature,
    label_loss,
    multi_label_loss,
)


def draw(rows: int, labels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from exactly the probabilities that they say."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (rows, labels)).astype(np.float32)
    noise = generator.gumbel(size=logits.shape)
    return logits, (logits + noise).argmax(axis=1)


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def test_the_error_is_what_its_definition_says() -> None:
    generator = np.random.default_rng(1)
    scores, right = generator.random(500), generator.random(500) < 0.6
    expected = 0.0
    for low in range(BINS):
        inside = (scores > low / BINS) & (scores <= (low + 1) / BINS)
        if inside.any():
            expected += inside.mean() * abs(scores[inside].mean() - right[inside].mean())
    found = calibration_error(bin_scores(scores, right))
    assert found == pytest.approx(expected)
    halves = bin_scores(scores[:200], right[:200]) + bin_scores(scores[200:], right[200:])
    assert calibration_error(halves) == pytest.approx(expected)


def test_the_ends_of_the_scale_have_a_bin() -> None:
    assert calibration_error(bin_scores(np.array([0.0, 1.0]), np.array([False, True]))) == 0
    assert calibration_error(bin_scores(np.array([0.0, 1.0]), np.array([True, False]))) == 1
    assert calibration_error(np.zeros((3, BINS))) == 0


@pytest.mark.parametrize("stretch", [0.25, 1.0, 3.0])
def test_the_temperature_undoes_a_stretch_of_the_logits(stretch: float) -> None:
    logits, gold = draw(20_000, 5)
    assert fit_temperature(label_loss(logits * stretch, gold)) == pytest.approx(stretch, rel=0.05)
    chance = 1 / (1 + np.exp(-logits))
    has = np.random.default_rng(2).random(logits.shape) < chance
    assert fit_temperature(multi_label_loss(logits * stretch, has)) == pytest.approx(
        stretch, rel=0.05
    )


def test_calibrated_scores_have_a_smaller_error() -> None:
    logits, gold = draw(5_000, 4)
    sure = logits * 4
    temperature = fit_temperature(label_loss(sure, gold))

    def error(values: np.ndarray) -> float:
        scores = softmax(values)
        return calibration_error(bin_scores(scores.max(axis=1), scores.argmax(axis=1) == gold))

    assert error(sure) > 0.15
    assert error(sure / temperature) < 0.03


def test_a_perfect_model_has_a_finite_temperature() -> None:
    logits = np.eye(3, dtype=np.float32)[np.arange(30) % 3]
    assert 0.04 < fit_temperature(label_loss(logits, np.arange(30) % 3)) < 0.06


def f1(gold: np.ndarray, predicted: np.ndarray) -> float:
    return 2 * (gold & predicted).sum() / (gold.sum() + predicted.sum())


def test_no_other_threshold_has_a_better_f1() -> None:
    generator = np.random.default_rng(3)
    scores = generator.random((80, 6)).round(2).astype(np.float32)  # many are equal
    gold = generator.random((80, 6)) < scores**2
    best = f1(gold, scores >= best_f1_threshold(scores, gold))
    assert best == max(f1(gold, scores >= t) for t in np.unique(scores))


def test_without_any_label_there_is_a_threshold_all_the_same() -> None:
    assert best_f1_threshold(np.full((3, 2), 0.9, np.float32), np.zeros((3, 2), np.bool_)) == 0.5
    assert best_f1_threshold(np.full((3, 2), 0.4, np.float32), np.ones((3, 2), np.bool_)) < 0.4


def harmonic(scores: np.ndarray, right: np.ndarray, inside: np.ndarray, least: float) -> float:
    kept = ((scores >= least) & right)[inside].mean()
    rejected = (scores < least)[~inside].mean()
    return 0.0 if kept + rejected == 0 else 2 * kept * rejected / (kept + rejected)


def test_no_other_threshold_tells_scopes_better_apart() -> None:
    generator = np.random.default_rng(4)
    inside = generator.random(300) < 0.8
    scores = np.where(inside, generator.beta(5, 2, 300), generator.beta(2, 4, 300)).round(2)
    right = inside & (generator.random(300) < scores)
    found = harmonic(scores, right, inside, best_scope_threshold(scores, right, inside))
    tried = [harmonic(scores, right, inside, t) for t in np.append(np.unique(scores), 1.01)]
    assert found == pytest.approx(max(tried)) and found > 0.5


def test_the_threshold_does_not_depend_on_how_many_are_out_of_scope() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    inside = np.array([True, True, True, False, True, False])
    once = best_scope_threshold(scores, inside, inside)
    many = np.concatenate([scores, *[scores[~inside]] * 9])
    insides = np.concatenate([inside, np.zeros(18, np.bool_)])
    assert best_scope_threshold(many, insides, insides) == once
