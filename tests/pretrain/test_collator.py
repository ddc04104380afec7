import numpy as np
import pytest

from bertedge.pretrain.collator import IGNORED, Masked, Masking, mask

MASK, VOCABULARY = 4, 1000
MASKING = Masking(share=0.15, mask_token=MASK, ordinary=np.arange(5, VOCABULARY))


def masked(length: int, begins: np.ndarray, seed: int) -> tuple[np.ndarray, Masked]:
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, VOCABULARY, length)
    return ids, mask(ids, begins, MASKING, rng)


def test_fifteen_percent_are_to_be_predicted_by_the_80_10_10_rule() -> None:
    counts = {"mask": 0, "kept": 0, "other": 0}
    for seed in range(400):
        ids, row = masked(100, np.ones(100, np.bool_), seed)
        wanted = row.labels != IGNORED
        assert wanted.sum() == 15
        assert (row.labels[wanted] == ids[wanted]).all()
        assert (row.ids[~wanted] == ids[~wanted]).all()
        counts["mask"] += int((row.ids[wanted] == MASK).sum())
        counts["kept"] += int((row.ids[wanted] == ids[wanted]).sum())
        others = row.ids[wanted][(row.ids[wanted] != MASK) & (row.ids[wanted] != ids[wanted])]
        assert (others >= 5).all()
        counts["other"] += len(others)
    total = sum(counts.values())
    assert counts["mask"] / total == pytest.approx(0.8, abs=0.02)
    assert counts["kept"] / total == pytest.approx(0.1, abs=0.015)
    assert counts["other"] / total == pytest.approx(0.1, abs=0.015)


def test_words_are_chosen_whole_and_never_beyond_the_share() -> None:
    for seed in range(200):
        begins = np.random.default_rng(seed).random(80) < 0.5
        _, row = masked(80, begins, seed)
        wanted = row.labels != IGNORED
        begins = begins.copy()
        begins[0] = True
        words = np.cumsum(begins) - 1
        for word in range(words[-1] + 1):
            assert len(set(wanted[words == word])) == 1
        assert 1 <= wanted.sum() <= max(12, np.bincount(words).max())


def test_every_word_is_as_likely_as_any_other() -> None:
    chosen = np.zeros(40)
    for seed in range(2000):
        chosen += masked(40, np.ones(40, np.bool_), seed)[1].labels != IGNORED
    assert chosen.min() > 200 and chosen.max() < 400


def test_one_token_is_masked_too() -> None:
    ids, row = masked(1, np.ones(1, np.bool_), 0)
    assert row.labels.tolist() == ids.tolist()
