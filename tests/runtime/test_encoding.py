import random

import numpy as np
import pytest

from bertedge.runtime.encoding import Encoded, pad, plan, split_rows, window_starts


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 100])
@pytest.mark.parametrize("stride", [0, 3, 7])
def test_all_windows_of_a_long_text_are_full(size: int, stride: int) -> None:
    starts = window_starts(size, 8, stride)
    ends = [min(start + 8, size) for start in starts]
    assert starts[0] == 0 and ends[-1] == size
    assert all(end - start >= stride for start, end in zip(starts[1:], ends[:-1], strict=True))
    assert size < 8 or all(end - start == 8 for start, end in zip(starts, ends, strict=True))


def row(ids: list[int], type_ids: list[int]) -> Encoded:
    return Encoded(
        ids=np.array(ids),
        type_ids=np.array(type_ids),
        offsets=np.empty((0, 2), np.int64),
        word_ids=np.empty(0, np.int64),
        content=slice(0, len(ids)),
        first=0,
        text=0,
        truncated=False,
    )


@pytest.mark.parametrize("budget", [1, 60, 500, 10**6])
def test_every_row_is_in_one_batch_within_the_budget(budget: int) -> None:
    dice = random.Random(budget)
    lengths = [dice.choice([0, 1, 2, 17, 128]) for _ in range(200)]
    batches = plan(lengths, budget)
    assert sorted(np.concatenate(batches).tolist()) == list(range(200))
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
    ends = [(lengths[batch[0]], lengths[batch[-1]]) for batch in batches]
    assert ends == sorted(ends, reverse=True)


def test_nothing_makes_no_batch() -> None:
    assert plan([], 100) == []


def test_rows_are_padded_on_the_right() -> None:
    batch = pad([row([5, 6, 7], [0, 1, 1]), row([8], [0])], pad_token_id=9)
    assert batch.input_ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.token_type_ids.tolist() == [[0, 1, 1], [0, 0, 0]]
    assert batch.input_ids.dtype == np.int64


def test_rows_of_a_batch_alone_have_no_padding() -> None:
    batch = pad([row([5, 6, 7], [0, 1, 1]), row([8], [0])], pad_token_id=9)
    first, second = split_rows(batch)
    assert (first.input_ids.tolist(), second.input_ids.tolist()) == ([[5, 6, 7]], [[8]])
    assert first.token_type_ids.tolist() == [[0, 1, 1]]
    assert first.attention_mask.all() and second.attention_mask.all()
