import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bertedge.runtime.encoding import Batch
from bertedge.runtime.engine import PaddingAwareEngine, infer
from bertedge.runtime.session import Session
from bertedge.runtime.tokenizer import Tokenizer

onnxruntime = pytest.importorskip("onnxruntime")


def batch(*lengths: int) -> Batch:
    shape = (len(lengths), max(lengths))
    mask = (np.arange(shape[1]) < np.array(lengths)[:, None]).astype(np.int64)
    ids = np.random.default_rng(0).integers(5, 90, shape) * mask
    return Batch(input_ids=ids, attention_mask=mask, token_type_ids=np.zeros_like(ids))


@pytest.fixture
def opened() -> list[str]:
    return []


@pytest.fixture
def opener(text_bundle: Path, opened: list[str]) -> Callable[[str], Callable[[], Session]]:
    """Make what opens the tiny graph and writes down that it did."""

    def make(name: str) -> Callable[[], Session]:
        def run() -> Session:
            opened.append(name)
            return Session.open(text_bundle / "cpu-fp32.onnx", threads=1)

        return run

    return make


def test_the_graph_for_padding_opens_with_the_first_padded_batch(
    opener: Callable[[str], Callable[[], Session]], opened: list[str]
) -> None:
    graphs = PaddingAwareEngine(opener("padded"), opener("unpadded"))
    assert graphs.providers == ("CPUExecutionProvider",)
    graphs.logits(batch(7))
    graphs.logits(batch(4, 4, 4))
    assert opened == ["unpadded"]
    padded = graphs.logits(batch(4, 7))
    assert opened == ["unpadded", "padded"]
    graphs.logits(batch(9, 2))
    assert opened == ["unpadded", "padded"]
    np.testing.assert_allclose(padded[1:], graphs.logits(batch(4, 7))[1:])


def test_one_graph_serves_both_where_there_is_no_other(
    opener: Callable[[str], Callable[[], Session]], opened: list[str]
) -> None:
    graphs = PaddingAwareEngine(opener("only"))
    graphs.logits(batch(7))
    graphs.logits(batch(4, 7))
    assert opened == ["only"]


def test_threads_that_come_at_once_open_it_once(
    opener: Callable[[str], Callable[[], Session]], opened: list[str]
) -> None:
    graphs = PaddingAwareEngine(opener("padded"), opener("unpadded"))
    start = threading.Barrier(6)

    def ask(_: int) -> np.ndarray:
        start.wait()
        return graphs.logits(batch(4, 7))

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(6)))
    assert opened == ["unpadded", "padded"]
    for answer in answers:
        np.testing.assert_array_equal(answer, answers[0])


@pytest.mark.parametrize("kind", ["text_bundle", "token_bundle"])
def test_a_graph_that_is_gone_leaves_its_batches_to_the_other_and_is_tried_again(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    graph = request.getfixturevalue(kind) / "cpu-fp32.onnx"
    late = tmp_path / "late.onnx"
    graphs = PaddingAwareEngine(
        lambda: Session.open(late, threads=1), lambda: Session.open(graph, threads=1)
    )
    mixed = batch(4, 7, 1)
    alone = graphs.logits(mixed)
    late.write_bytes(graph.read_bytes())
    together = graphs.logits(mixed)
    assert graphs.logits(mixed).shape == alone.shape
    inside = mixed.attention_mask.astype(bool) if alone.ndim == 3 else np.s_[:]
    np.testing.assert_allclose(alone[inside], together[inside], atol=1e-5)


def test_answers_come_in_the_order_given_and_without_padding(token_bundle: Path) -> None:
    tokenizer = Tokenizer((token_bundle / "tokenizer.json").read_text(), max_length=64)
    engine = Session.open(token_bundle / "cpu-fp32.onnx", threads=1)
    rows = tokenizer.encode(["the kitchen", "", "turn the hall lights off", "a", "the kitchen"])
    together = infer(engine, rows, pad_token_id=0, token_budget=20)
    for row, answer in zip(rows, together, strict=True):
        (alone,) = infer(engine, [row], pad_token_id=0)
        assert answer.shape == (len(row.ids), 6)
        np.testing.assert_allclose(answer, alone, atol=1e-5)
