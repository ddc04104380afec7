"""The order of an epoch's rows."""

import numpy as np
import pytest
import torch
from transformers.trainer_pt_utils import get_length_grouped_indices

from bertedge.finetune.length_batches import LengthSampler, group_by_length

LENGTHS = np.random.default_rng(0).geometric(0.03, 300).tolist()
STEP = 16


def tokens_read(order: list[int]) -> int:
    """Return how many tokens a model reads, padding included."""
    steps = [order[i : i + STEP] for i in range(0, len(order), STEP)]
    return sum(len(step) * max(LENGTHS[row] for row in step) for step in steps)


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 300])
def test_an_epoch_has_every_row_once(rows: int) -> None:
    sampler = LengthSampler(LENGTHS[:rows], STEP)
    assert sorted(sampler) == list(range(rows))
    assert len(sampler) == rows


def test_a_small_file_has_less_padding_than_by_the_sampler_of_trainer() -> None:
    torch.manual_seed(0)
    ours, trainers = (
        np.mean([tokens_read(order(LENGTHS, STEP)) for _ in range(20)])
        for order in (group_by_length, get_length_grouped_indices)
    )
    assert ours < 0.85 * trainers
    assert ours < 1.3 * sum(LENGTHS)


def test_the_step_of_the_longest_row_is_the_first_and_those_after_it_are_in_no_order() -> None:
    torch.manual_seed(0)
    order = group_by_length(LENGTHS[:288], STEP)
    longest = [max(LENGTHS[row] for row in order[i : i + STEP]) for i in range(0, 288, STEP)]
    assert longest[0] == max(LENGTHS[:288])
    assert longest[1:] != sorted(longest[1:]) and longest[1:] != sorted(longest[1:], reverse=True)


def test_most_steps_have_other_rows_in_each_epoch() -> None:
    torch.manual_seed(0)
    one, other = (
        {frozenset(order[i : i + STEP]) for i in range(0, 300, STEP)}
        for order in (group_by_length(LENGTHS, STEP) for _ in range(2))
    )
    assert len(one & other) < len(one) / 4


def test_rows_that_fill_no_step_come_last_and_may_be_of_any_length() -> None:
    torch.manual_seed(0)
    left = [LENGTHS[group_by_length(LENGTHS, STEP)[-1]] for _ in range(40)]
    assert min(left) < np.quantile(LENGTHS, 0.25) < np.quantile(LENGTHS, 0.75) < max(left)


def test_the_order_follows_from_the_state_of_torch() -> None:
    orders = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        orders.append(group_by_length(LENGTHS, STEP))
    assert orders[0] == orders[1] != orders[2]
