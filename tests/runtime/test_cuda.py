"""The session for CUDA; what binds memory runs here on the CPU too, through the same code."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bertedge.bundle import open_bundle
from bertedge.runtime.buckets import CAPTURE_BYTES, plan_buckets
from bertedge.runtime.cuda import ROOM_BYTES, CudaSession, provider_options
from bertedge.runtime.encoding import Batch
from bertedge.runtime.providers import CPU, CUDA
from bertedge.runtime.session import Session, open_native
from bertedge.runtime.variants import choose

SMALL = plan_buckets(32, 32)


def batch(rows: int, length: int, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    mask = np.ones((rows, length), np.int64)
    for row in range(1, rows):
        mask[row, rng.integers(2, length + 1) :] = 0
    ids = rng.integers(5, 50, (rows, length)) * mask
    return Batch(input_ids=ids, attention_mask=mask, token_type_ids=np.zeros_like(ids))


@pytest.fixture(params=["text_bundle", "token_bundle"])
def graph(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(request.param)
    return folder / "cpu-fp32.onnx"


@pytest.fixture
def bound(graph: Path) -> CudaSession:
    session = CudaSession(
        open_native(str(graph), device=CPU, threads=1), graph.name, device=CPU.name
    )
    session.capture(SMALL)
    return session


def assert_same(found: np.ndarray, expected: np.ndarray, given: Batch) -> None:
    """Compare what is no padding."""
    assert found.shape == expected.shape
    real = given.attention_mask.astype(bool) if expected.ndim == 3 else slice(None)
    np.testing.assert_allclose(found[real], expected[real], atol=1e-5)


@pytest.mark.parametrize(("rows", "length"), [(1, 16), (1, 9), (3, 20), (4, 32), (31, 31), (50, 7)])
def test_bound_and_padded_to_a_bucket_answers_are_those_of_a_plain_session(
    rows: int, length: int, graph: Path, bound: CudaSession
) -> None:
    plain = Session.open(graph, threads=1)
    given = batch(rows, length)
    assert bound.captured == SMALL
    assert_same(bound.logits(given), plain.logits(given), given)


def test_an_answer_is_not_overwritten_by_the_next(bound: CudaSession) -> None:
    first = bound.logits(batch(2, 16, seed=1))
    kept = first.copy()
    bound.logits(batch(2, 16, seed=2))
    np.testing.assert_array_equal(first, kept)


def test_threads_share_a_session_and_get_their_own_answers(graph: Path, bound: CudaSession) -> None:
    plain = Session.open(graph, threads=1)
    given = [batch(1 + seed % 5, 8 + seed % 20, seed) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(bound.logits, given))
    for one, answer in zip(given, answers, strict=True):
        assert_same(answer, plain.logits(one), one)


def test_the_arena_is_bounded_and_capturing_is_asked_for_only_with_buckets() -> None:
    options = provider_options(10**8, capture=True)
    assert options["gpu_mem_limit"] == str(2 * 10**8 + CAPTURE_BYTES + ROOM_BYTES)
    assert options["arena_extend_strategy"] == "kSameAsRequested"
    assert options["enable_cuda_graph"] == "1"
    assert provider_options(10**8, capture=False)["enable_cuda_graph"] == "0"


def test_int8_is_never_given_to_cuda(text_bundle: Path, altered: Callable[..., Path]) -> None:
    both = ("CUDAExecutionProvider", "CPUExecutionProvider")
    int8 = altered(text_bundle, variant={"precision": "int8", "providers": both})
    assert choose(open_bundle(int8), CUDA, None) is None
    assert choose(open_bundle(int8), CUDA, "cpu-fp32") is None
    half = altered(text_bundle, variant={"precision": "fp16", "providers": both})
    assert choose(open_bundle(half), CUDA, None) is not None
