from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bertedge.bundle import Parity
from bertedge.checkpoint import Checkpoint, TorchEngine, load_model, open_checkpoint
from bertedge.errors import VerificationError
from bertedge.export.parity_inputs import SENTENCES, golden_batch, golden_texts, parity_batches
from bertedge.export.verify import (
    ReferenceLogits,
    answer,
    check_answers,
    check_parity,
    float_bound,
    golden,
    golden_tolerance,
    int8_bound,
    record_logits,
)
from bertedge.runtime.encoding import Batch
from bertedge.spec import Task

Fuse = Callable[..., Any]


class Fixed:
    """An engine with one answer."""

    def __init__(self, logits: NDArray[np.float32]) -> None:
        self._logits = logits

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        return self._logits


@pytest.fixture
def opened(checkpoints: Callable[..., Any]) -> Checkpoint:
    return open_checkpoint(str(checkpoints("roberta")))


def batch(*lengths: int) -> Batch:
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
    return Batch(input_ids=mask, attention_mask=mask, token_type_ids=mask)


def probe(logits: list[list[float]]) -> ReferenceLogits:
    return ReferenceLogits(batches=(batch(2, 1),), logits=np.array(logits, np.float32))


def test_the_difference_is_a_share_of_the_spread() -> None:
    asked = probe([[0, 4], [1, -4]])
    parity = check_parity("x", asked, Fixed(np.array([[0, 4], [1, -3.2]])), float_bound(0.2))
    assert parity.max_difference == pytest.approx(0.1)
    assert (parity.tolerance, parity.texts) == (0.2, 2)


def test_values_near_each_other_and_far_from_zero_may_differ_by_their_last_digit() -> None:
    years = np.array([[2020.0], [2020.5]], np.float32)
    asked = ReferenceLogits(batches=(batch(2, 1),), logits=years)
    other = Fixed(np.nextafter(years, np.float32(0)))
    parity = check_parity("x", asked, other, float_bound(1e-4))
    assert 0 < parity.max_difference < 1e-4
    with pytest.raises(VerificationError):
        check_parity("x", asked, Fixed(years + np.float32(0.25)), float_bound(1e-4))


def test_more_than_the_tolerance_is_refused_with_both_figures() -> None:
    wrong = Fixed(np.array([[0, 4], [1, -3.2]]))
    with pytest.raises(VerificationError, match=r"cpu-fp32 .* by 0\.1 .* 0\.05 is tolerated, on 2"):
        check_parity("cpu-fp32", probe([[0, 4], [1, -4]]), wrong, float_bound(0.05))


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_never_passes(value: float, labelled: bool) -> None:
    broken = Fixed(np.array([[0, 4], [1, value]]))
    with pytest.raises(VerificationError, match=r"by (nan|inf) of the spread"):
        check_parity("x", probe([[0, 4], [1, 0]]), broken, int8_bound(labelled=labelled))


def test_int8_is_bounded_where_no_labelled_data_decides() -> None:
    wild = Fixed(np.array([[0, 4], [1, 0.8]]))
    asked = probe([[0, 4], [1, -4]])
    with pytest.raises(VerificationError, match=r"0\.6 of .* 0\.5 is tolerated.*--eval-data FILE"):
        check_parity("cpu-int8", asked, wild, int8_bound(labelled=False))
    parity = check_parity("cpu-int8", asked, wild, int8_bound(labelled=True))
    assert (parity.max_difference, parity.tolerance) == (pytest.approx(0.6), None)


def test_padding_does_not_count_for_token_labels() -> None:
    logits = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    asked = record_logits(Fixed(logits), [batch(2, 1)])
    assert asked.logits.tolist() == [[0, 1], [2, 3], [4, 5]]
    other = logits.copy()
    other[1, 1] = 99
    assert check_parity("x", asked, Fixed(other), float_bound(1e-6)).max_difference == 0


@pytest.mark.parametrize("logits", [[[1.0, 1.0], [1.0, 1.0]], [[np.inf, 0.0], [0.0, 0.0]]])
def test_a_checkpoint_without_usable_logits_is_refused(logits: list[list[float]]) -> None:
    with pytest.raises(VerificationError, match="checkpoint's own logits"):
        record_logits(Fixed(np.array(logits)), [batch(2, 1)])


def test_a_pass_that_breaks_the_graph_is_found(fused: Fuse) -> None:
    graph = fused("bert")
    model = graph.copy()
    norms = [node for node in model.graph if node.op_type == "LayerNormalization"]
    norms[-2].replace_input_with(0, norms[0].outputs[0])
    assert graph.off_by(model) > 0.01


def test_a_lost_mask_is_found(fused: Fuse) -> None:
    graph = fused("bert")
    model = graph.copy()
    for node in model.graph:
        if node.op_type == "Attention":
            node.replace_input_with(3, None)
    assert graph.off_by(model) > 0.01


def test_golden_logits_read_back_as_they_were() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    made = golden(ReferenceLogits(batches=(batch(1),), logits=logits), (("a",),))
    assert np.array_equal(np.array(made.logits, np.float32), logits)


def test_golden_answers_may_be_off_by_rounding_alone() -> None:
    fp32 = Parity(max_difference=3e-7, tolerance=1e-4, texts=4)
    assert golden_tolerance(fp32, int8=False) == pytest.approx(1e-3)
    for tolerance in (0.5, None):
        int8 = Parity(max_difference=0.1, tolerance=tolerance, texts=4)
        assert golden_tolerance(int8, int8=True) == pytest.approx(0.17)


def test_parity_batches_mix_lengths_up_to_the_longest(opened: Checkpoint) -> None:
    assert opened.model.max_length == 64  # RoBERTa: two positions less than its table has
    batches = parity_batches(opened, None, pair=False)
    lengths = [row.sum() for each in batches for row in each.attention_mask]
    assert len(lengths) == len(SENTENCES) + 3
    assert {64, 32, 16} <= set(lengths)
    assert all(len(set(each.attention_mask.sum(axis=1).tolist())) > 2 for each in batches)
    assert all((each.attention_mask == 0).any() for each in batches)


@pytest.mark.parametrize("pair", [False, True])
def test_golden_texts_are_ours_and_one_padded_batch(pair: bool, checkpoints: Any) -> None:
    opened = open_checkpoint(str(checkpoints("bert")))
    texts = golden_texts(pair=pair)
    assert {len(parts) for parts in texts} == {2 if pair else 1}
    assert {part for parts in texts for part in parts} <= set(SENTENCES)
    made = golden_batch(opened, pair=pair)
    assert len(made.input_ids) == len(texts)
    assert (made.attention_mask == 0).any()
    assert bool(made.token_type_ids.any()) is pair


def test_token_labels_are_probed_by_token(checkpoints: Any) -> None:
    opened = open_checkpoint(str(checkpoints("bert", Task.TOKEN_CLASSIFICATION)))
    made = golden_batch(opened, pair=False)
    logits = np.random.default_rng(0).normal(size=(*made.input_ids.shape, 5))
    assert len(record_logits(Fixed(logits), [made]).logits) == made.attention_mask.sum()


@pytest.mark.parametrize("task", [Task.TEXT_CLASSIFICATION, Task.TOKEN_CLASSIFICATION])
def test_the_checkpoint_answers_texts_alone_as_it_does_in_padded_batches(
    task: Task, checkpoints: Callable[..., Any]
) -> None:
    checkpoint = open_checkpoint(str(checkpoints("roberta", task)))
    engine = TorchEngine(load_model(checkpoint))
    batches = parity_batches(checkpoint, None, pair=False)
    one, other = (record_logits(engine, batches, padded=padded) for padded in (False, True))
    np.testing.assert_allclose(one.logits, other.logits, atol=1e-5 * other.spread)


class WrongAlone:
    """An engine whose first text is off where it is alone; it counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        self.asked += 1
        rows = np.array([[0.0, 4.0], [1.0, -4.0]], np.float32)
        if len(batch.input_ids) == 2:
            return rows
        return rows[:1] + np.float32(0.8) if batch.input_ids.shape[1] == 2 else rows[1:]


def test_a_graph_that_is_wrong_without_padding_alone_is_found_and_each_batch_run_once() -> None:
    asked, engine = probe([[0, 4], [1, -4]]), WrongAlone()
    answers = answer(asked, engine)
    assert engine.asked == 3
    assert check_answers("x", asked, answers, float_bound(0.2)).max_difference == pytest.approx(0.1)
    assert answers.movement == pytest.approx(0.8)
    with pytest.raises(VerificationError, match=r"differ by 0\.1 of the spread"):
        check_answers("x", asked, answers, float_bound(0.05))
