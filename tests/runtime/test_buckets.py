import numpy as np
import pytest

from bertedge.runtime import buckets
from bertedge.runtime.buckets import (
    Bucket,
    capture_bytes,
    empty_batch,
    find_bucket,
    pad_to_bucket,
    plan_buckets,
)

BERT_BASE = plan_buckets(512, 768)


@pytest.mark.parametrize(
    ("rows", "length", "expected"),
    [
        (1, 32, (1, 32)),
        (1, 33, (1, 64)),
        (1, 5, (1, 16)),
        (3, 20, (4, 32)),
        (8, 128, (8, 128)),
        (32, 128, (32, 128)),
        (1, 512, (1, 512)),
        (7, 100, (8, 128)),
    ],
)
def test_a_batch_takes_the_smallest_bucket_that_holds_it(
    rows: int, length: int, expected: tuple[int, int]
) -> None:
    bucket = find_bucket(BERT_BASE, rows, length)
    assert bucket is not None
    assert (bucket.rows, bucket.length) == expected


@pytest.mark.parametrize(
    ("rows", "length"),
    [
        (33, 16),  # more rows than any
        (1, 513),  # longer than any
        (32, 256),  # too many tokens
        (9, 70),  # 630 tokens would become 4096
    ],
)
def test_what_is_larger_or_would_be_mostly_padding_runs_without_a_graph(
    rows: int, length: int
) -> None:
    assert find_bucket(BERT_BASE, rows, length) is None


def test_buckets_stay_within_the_cap_and_the_smallest_come_first() -> None:
    assert list(BERT_BASE) == sorted(BERT_BASE)
    assert len(set(BERT_BASE)) == len(BERT_BASE)
    for cap in (0, 10**6, 10**7, 10**8, 10**9):
        kept = plan_buckets(512, 768, cap)
        assert kept == BERT_BASE[: len(kept)] or cap > buckets.CAPTURE_BYTES
        assert sum(capture_bytes(bucket, 768) for bucket in kept) <= cap
    assert plan_buckets(512, 768, 0) == ()
    assert max(bucket.tokens for bucket in plan_buckets(512, 768, 10**12)) == 4096


def test_the_shapes_of_the_bars_are_captured_for_bert_base() -> None:
    shapes = {(bucket.rows, bucket.length) for bucket in BERT_BASE}
    assert {(1, 32), (1, 128), (8, 128), (32, 128)} <= shapes


def test_no_bucket_is_longer_than_the_model_reads() -> None:
    lengths = {bucket.length for bucket in plan_buckets(100, 384)}
    assert lengths == {16, 32, 64, 100}


def test_filling_keeps_the_batch_and_gives_every_row_something_to_attend_to() -> None:
    ids = np.arange(1, 7, dtype=np.int32).reshape(2, 3)
    mask = np.array([[1, 1, 1], [1, 1, 0]], np.int32)
    filled = pad_to_bucket({"input_ids": ids, "attention_mask": mask}, Bucket(16, 4, 4))
    assert filled["input_ids"].dtype == np.int32
    np.testing.assert_array_equal(
        filled["input_ids"], [[1, 2, 3, 0], [4, 5, 6, 0], [0] * 4, [0] * 4]
    )
    np.testing.assert_array_equal(
        filled["attention_mask"], [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    )


def test_an_empty_batch_has_the_shape_of_its_bucket() -> None:
    batch = empty_batch(Bucket(32, 2, 16))
    assert batch.input_ids.shape == batch.attention_mask.shape == (2, 16)
    assert batch.attention_mask.all()
