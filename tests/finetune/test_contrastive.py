"""The contrastive loss by hand, its batches, and what they do to an encoder."""

import math

import numpy as np
import pytest
import torch

from bertedge.finetune.contrastive import (
    BATCH,
    LABELS,
    STEPS,
    TEMPERATURE,
    contrastive_loss,
    draw_batches,
)


def by_hand(vectors: list[list[float]], labels: list[int]) -> float:
    """Khosla et al. 2020, equation 2, term by term."""
    units = [[x / math.hypot(*vector) for x in vector] for vector in vectors]

    def close(i: int, j: int) -> float:
        return math.exp(sum(a * b for a, b in zip(units[i], units[j], strict=True)) / TEMPERATURE)

    terms = []
    for i, label in enumerate(labels):
        others = [j for j in range(len(labels)) if j != i]
        alike = [j for j in others if labels[j] == label]
        if alike:
            total = sum(close(i, j) for j in others)
            terms.append(sum(-math.log(close(i, j) / total) for j in alike) / len(alike))
    return sum(terms) / len(terms)


def test_the_loss_is_that_of_the_paper() -> None:
    vectors = [[1.0, 0.2], [0.8, 0.5], [-0.3, 1.0], [0.1, 0.9], [1.0, 1.0], [-1.0, 0.5]]
    labels = [0, 0, 1, 1, 1, 2]
    found = contrastive_loss(torch.tensor(vectors), torch.tensor(labels))
    assert found.item() == pytest.approx(by_hand(vectors, labels), rel=1e-5)


def test_texts_that_are_all_alone_with_their_labels_cost_nothing() -> None:
    found = contrastive_loss(torch.randn(4, 3, requires_grad=True), torch.arange(4))
    found.backward()
    assert found.item() == 0


@pytest.mark.parametrize("classes", [2, 5, 20])
def test_batches_have_several_rows_of_each_of_their_labels(classes: int) -> None:
    labels = np.repeat(np.arange(classes), 6)
    batches = list(draw_batches(labels, 7))
    assert len(batches) == STEPS
    for rows in batches:
        there, counts = np.unique(labels[rows], return_counts=True)
        assert len(there) == min(classes, LABELS) and (counts == BATCH // len(there)).all()
    assert all(
        (one == other).all() for one, other in zip(batches, draw_batches(labels, 7), strict=True)
    )
    seen = np.unique(np.concatenate(batches))
    assert len(seen) == len(labels)


def test_a_label_of_one_row_is_drawn_again() -> None:
    rows = next(draw_batches(np.array([0, 1, 1, 1]), 0))
    assert (rows == 0).sum() == BATCH // 2
