import numpy as np
import pytest

from bertedge.runtime.encoding import Encoded
from bertedge.runtime.logits import KEPT, subsample_logits
from bertedge.tasks.fill_mask import MASKED_SHARE, mask_tokens, score_masked

MASK = 4


def row(length: int) -> Encoded:
    ids = np.arange(10, 10 + length)
    return Encoded(
        ids=ids,
        type_ids=np.zeros_like(ids),
        offsets=np.empty((0, 2), np.int64),
        word_ids=np.empty(0, np.int64),
        content=slice(1, length - 1),
        first=0,
        text=0,
        truncated=False,
    )


def test_the_same_row_hides_the_same_words_and_never_special_tokens() -> None:
    one, other = row(102), row(102)
    places = mask_tokens(one, MASK)
    assert places.tolist() == mask_tokens(other, MASK).tolist()
    assert len(places) == 100 * MASKED_SHARE
    assert places.min() > 0 and places.max() < 101
    assert (one.ids == MASK).sum() == len(places) and (one.ids[places] == MASK).all()
    assert mask_tokens(row(103), MASK).tolist() != places.tolist()


@pytest.mark.parametrize(("length", "hidden"), [(2, 0), (3, 1)])
def test_short_rows_hide_one_word_if_they_have_one(length: int, hidden: int) -> None:
    assert len(mask_tokens(row(length), MASK)) == hidden


def test_judging_gives_the_likeliest_token_and_the_cross_entropy() -> None:
    logits = np.array([[1.0, 3.0, 2.0], [90.0, 0.0, 0.0]], np.float32)
    found = score_masked(logits, np.array([2, 1]))
    probabilities = np.exp(logits[0]) / np.exp(logits[0]).sum()
    assert found[0] == pytest.approx([1, -np.log(probabilities[2])], rel=1e-6)
    assert found[1] == pytest.approx([0, 90.0])


def test_only_logits_as_wide_as_a_vocabulary_are_thinned() -> None:
    labels, words = np.zeros((2, 3, 4000), np.float32), np.zeros((2, 3, 30_522), np.float32)
    assert subsample_logits(labels).shape == labels.shape
    assert KEPT / 2 < subsample_logits(words).shape[-1] <= KEPT
