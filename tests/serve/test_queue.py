"""The queue gives each request its own answers, in turns, and wastes nothing on who has gone."""

import contextlib
import gc
import json
import math
import random
import threading
import time
import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bertedge.errors import DataError
from bertedge.model import TextModel
from bertedge.predictions import Prediction
from bertedge.predictor import Predictor
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.logits import Floats
from bertedge.runtime.scheduler import Scheduler
from bertedge.serve.models import run_by_scheduler
from bertedge.serve.queue import TokenQueue
from bertedge.serve.request import (
    BatchRun,
    DeadlineError,
    QueueClosedError,
    QueueFullError,
    estimate_tokens,
)
from bertedge.tasks.contract import PredictOptions

TINY = Path(__file__).resolve().parents[2] / "models" / "tiny"
WORDS = ["turn", "the", "kitchen", "lights", "off", "kälter", "🙂", "日本語", "play", "jazz"]
SHORT, LONG = "lights off", "turn the kitchen lights off please " * 3


class Recorded:
    """A model whose batches are noted down."""

    def __init__(self, name: str) -> None:
        self.predictor: Predictor[Prediction] = Predictor.open(TINY / name, threads=1)
        self.model = TextModel(
            spec=self.predictor.manifest.model,
            tokenizer=self.predictor.tokenizer,
            engine=self.predictor.engine,
        )
        self.options = self.model.task.settle(PredictOptions())
        self.batches: list[list[int]] = []
        """The lengths of the rows of each."""

    def run(self, rows: Sequence[Encoded]) -> list[Floats]:
        self.batches.append([len(row.ids) for row in rows])
        return list(self.model.infer(rows, keep=self.model.keep(rows)))

    def queue(self, **settings: Any) -> TokenQueue:
        return TokenQueue(self.model, self.run, **settings)


@pytest.fixture(scope="module", params=["text-classification", "token-classification"])
def opened(request: pytest.FixtureRequest) -> Recorded:
    return Recorded(request.param)


@pytest.fixture
def recorded(opened: Recorded) -> Recorded:
    opened.batches.clear()
    return opened


@pytest.fixture
def classifier() -> Recorded:
    return Recorded("text-classification")


def plain(predictions: Sequence[Prediction]) -> list[str]:
    """Predictions as JSON, with one digit less than a batch may move a float32 by."""

    def rounded(value: Any) -> Any:
        if isinstance(value, float):
            return round(value, 4) + 0.0
        if isinstance(value, dict):
            return {key: rounded(each) for key, each in value.items()}
        return [rounded(each) for each in value] if isinstance(value, list) else value

    return [json.dumps(rounded(each.to_dict())) for each in predictions]


def texts(rng: random.Random, count: int) -> list[str]:
    return [" ".join(rng.choices(WORDS, k=rng.choice((0, 2, 5, 12, 200)))) for _ in range(count)]


@pytest.mark.parametrize("seed", range(3))
def test_every_request_of_any_thread_gets_its_own_answers_in_order(
    recorded: Recorded, seed: int
) -> None:
    rng = random.Random(seed)
    asked = [texts(rng, rng.choice((1, 1, 1, 2, 7, 20))) for _ in range(18)]
    expected = [plain(recorded.predictor.predict(each)) for each in asked]
    queue = recorded.queue(workers=2)
    queue.start()
    answers: dict[int, list[str]] = {}

    def ask(own: range) -> None:
        futures = {i: queue.submit(asked[i], recorded.options) for i in own}
        for i, future in futures.items():
            answers[i] = plain(future.result(60).value)

    threads = [threading.Thread(target=ask, args=(range(i, 18, 6),)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queue.close()
    queue.join()
    assert [answers[i] for i in range(18)] == expected
    ran = Counter(length for batch in recorded.batches for length in batch)
    rows = [len(row.ids) for each in asked for row in recorded.model.encode(each)]
    assert ran == Counter(rows), "a row was lost, or ran twice"
    assert queue.queued_tokens == 0


def test_a_batch_holds_no_more_tokens_than_the_predictors_do(recorded: Recorded) -> None:
    queue = recorded.queue()
    future = queue.submit(texts(random.Random(7), 200), recorded.options)
    while queue.step():
        pass
    assert len(future.result(0).value) == 200
    budget = recorded.model.token_budget
    assert all(len(batch) * max(batch) <= budget or len(batch) == 1 for batch in recorded.batches)
    padding = sum(len(batch) * max(batch) - sum(batch) for batch in recorded.batches)
    tokens = sum(map(sum, recorded.batches))
    assert padding < tokens / 4, "rows of a batch are alike in length"


def test_rows_of_a_batch_are_those_of_the_window_nearest_in_length(classifier: Recorded) -> None:
    queue = classifier.queue()
    queue.submit([LONG, f"{LONG} turn the lights off"] * 100, classifier.options)
    for _ in range(4):
        queue.step()
    assert [len(set(batch)) for batch in classifier.batches] == [1] * 4


@pytest.mark.parametrize("alike", [True, False])
def test_a_thousand_rows_delay_a_single_one_by_two_batches(
    classifier: Recorded, alike: bool
) -> None:
    queue = classifier.queue()
    many = queue.submit([LONG] * 1000, classifier.options)
    for _ in range(5):
        queue.step()
    one = queue.submit([LONG if alike else SHORT], classifier.options)
    for _ in range(3):
        queue.step()
    assert one.done()
    assert not many.done()
    assert len(classifier.batches) == 8


def test_requests_take_turns_whatever_their_size(classifier: Recorded) -> None:
    queue = classifier.queue()
    big = [queue.submit([LONG] * 300, classifier.options) for _ in range(3)]
    queue.step()
    small = [queue.submit([SHORT], classifier.options) for _ in range(20)]
    steps = 0
    while not all(each.done() for each in small):
        assert queue.step()
        steps += 1
    assert steps <= 6  # three turns of the big ones, one to see the small ones, and these at once
    assert not any(each.done() for each in big)


def test_all_requests_go_forward_alike(classifier: Recorded) -> None:
    queue = classifier.queue()
    lengths = {}
    for text in (SHORT, LONG, f"{LONG} {LONG}"):
        lengths[text] = len(classifier.model.encode([text])[0].ids)
        queue.submit([text] * 300, classifier.options)
    for _ in range(9):
        queue.step()
    assert Counter(batch[0] for batch in classifier.batches) == dict.fromkeys(lengths.values(), 3)


def test_a_row_is_not_passed_over_for_rows_of_other_lengths(classifier: Recorded) -> None:
    queue = classifier.queue()
    odd = queue.submit([LONG, SHORT], classifier.options)
    steps = 0
    while not odd.done():
        queue.submit([SHORT] * 60, classifier.options)  # more than a batch comes all the time
        queue.step()
        steps += 1
        assert steps < 30


def test_what_nobody_waits_for_is_neither_tokenized_nor_run(
    classifier: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = classifier.queue()
    read: list[str] = []
    encode = classifier.model.tokenizer.encode
    monkeypatch.setattr(
        classifier.model.tokenizer, "encode", lambda own: (read.extend(own), encode(own))[1]
    )
    gone = queue.submit([SHORT] * 50, classifier.options)
    late = queue.submit([SHORT], classifier.options, deadline=time.monotonic() - 1)
    stays = queue.submit([LONG], classifier.options)
    assert gone.cancel()
    assert queue.queued_tokens == estimate_tokens(SHORT) + estimate_tokens(LONG)
    assert queue.step() == 1
    assert len(stays.result(0).value) == 1
    with pytest.raises(DeadlineError):
        late.result(0)
    assert queue.step() == 0
    assert len(classifier.batches) == 1
    assert read == [LONG]


def test_a_request_whose_client_goes_away_half_way_is_dropped(classifier: Recorded) -> None:
    queue = classifier.queue()
    gone = queue.submit([LONG] * 100, classifier.options)
    queue.step()
    before = len(classifier.batches)
    assert gone.cancel()
    assert queue.queued_tokens == 0
    assert queue.step() == 0
    assert len(classifier.batches) == before


def test_a_full_queue_refuses_and_says_when_to_come_back(classifier: Recorded) -> None:
    queue = classifier.queue(most_tokens=40)
    alone = queue.submit([LONG] * 40, classifier.options)  # larger, but nothing waits behind it
    with pytest.raises(QueueFullError) as refused:
        queue.submit([SHORT], classifier.options)
    assert refused.value.retry_after_s >= 1
    queue.step()
    rate, queued = queue.tokens_per_second, queue.queued_tokens
    with pytest.raises(QueueFullError) as refused:
        queue.submit([SHORT], classifier.options)
    assert refused.value.retry_after_s == max(math.ceil(queued / rate), 1)
    while queue.step():
        pass
    assert alone.done()
    assert not queue.submit([SHORT], classifier.options).done()


def test_a_queue_that_is_all_but_full_says_so_before_a_request_is_read(
    classifier: Recorded,
) -> None:
    queue = classifier.queue(most_tokens=160)
    queue.check_room()
    size = estimate_tokens(SHORT)
    while queue.queued_tokens + size <= 140:  # an eighth is kept
        queue.check_room()
        queue.submit([SHORT], classifier.options)
    queue.submit([SHORT], classifier.options)
    with pytest.raises(QueueFullError):
        queue.check_room()
    queue.step()
    queue.check_room()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("limit", [2048, 4096])
def test_who_is_let_in_waits_for_no_more_tokens_than_the_limit(
    classifier: Recorded, limit: int, seed: int
) -> None:
    """In an overload: the queue is filled before each batch. Rows overtake each other by length."""
    rng = random.Random(seed)
    ran = 0

    def run(rows: Sequence[Encoded]) -> list[Floats]:
        nonlocal ran
        ran += sum(len(row.ids) for row in rows)
        return [np.zeros(len(classifier.model.spec.labels), np.float32) for _ in rows]

    queue = TokenQueue(replace(classifier.model, token_budget=64), run, most_tokens=limit)
    waited: list[int] = []
    for _ in range(250):
        with contextlib.suppress(QueueFullError):
            while True:
                queue.check_room()
                text = "off " * min(1 + round(rng.expovariate(1 / 12)), 60)  # 4 bytes a token
                before = ran
                queue.submit([text], classifier.options).add_done_callback(
                    lambda _, before=before: waited.append(ran - before)  # type: ignore[misc]
                )
        queue.step()
    full = sorted(waited[len(waited) // 2 :])
    assert full[len(full) // 2] > 0.7 * limit, "there is no overload"
    assert full[math.ceil(0.99 * len(full)) - 1] <= limit


def test_a_fault_of_the_input_or_the_model_is_its_own_requests_alone(
    classifier: Recorded,
) -> None:
    def run(rows: Sequence[Encoded]) -> list[Floats]:
        if len(rows) == 2:
            raise RuntimeError("no memory")
        return classifier.run(rows)

    queue = TokenQueue(classifier.model, run)
    wrong = queue.submit([("a", "pair")], classifier.options)
    fails = queue.submit([LONG, LONG], classifier.options)
    works = queue.submit([SHORT], classifier.options)
    while queue.step():
        pass
    assert plain(works.result(0).value) == plain(classifier.predictor.predict([SHORT]))
    with pytest.raises(DataError, match="text 0 is a pair"):
        wrong.result(0)
    with pytest.raises(RuntimeError, match="no memory"):
        fails.result(0)
    assert queue.queued_tokens == 0


def test_a_closed_queue_answers_what_it_has_and_takes_no_more(classifier: Recorded) -> None:
    queue = classifier.queue(workers=2)
    futures = [queue.submit([SHORT] * 40, classifier.options) for _ in range(4)]
    queue.close()
    with pytest.raises(QueueClosedError):
        queue.submit([SHORT], classifier.options)
    queue.start()
    queue.join()
    assert [len(each.result(0).value) for each in futures] == [40] * 4


def test_what_ran_and_where_the_time_went_is_told(classifier: Recorded) -> None:
    seen: list[BatchRun] = []
    queue = classifier.queue(observe=seen.append)
    found = queue.submit([SHORT, "off", LONG * 40], classifier.options, render=len)
    while queue.step():
        pass
    answer = found.result(0)
    assert answer.value == 3
    assert answer.tokenize_s > 0
    assert answer.infer_s == pytest.approx(sum(each.seconds for each in seen))
    assert answer.queue_s >= 0
    assert answer.total_s >= answer.infer_s
    assert sum(each.rows for each in seen) == 3
    assert sum(each.truncated for each in seen) == 1
    assert sum(each.tokens for each in seen) == sum(map(sum, classifier.batches))
    assert all(each.padded_tokens >= each.tokens for each in seen)


def test_batches_that_run_at_the_same_time_count_once(classifier: Recorded) -> None:
    both, seen = threading.Barrier(2), list[BatchRun]()

    def run(rows: Sequence[Encoded]) -> list[Floats]:
        both.wait(60)
        time.sleep(0.05)
        return classifier.run(rows)

    queue = TokenQueue(classifier.model, run, workers=2, observe=seen.append)
    queue.start()
    answer = queue.submit([SHORT, LONG], classifier.options, render=len).result(60)
    queue.close()
    queue.join()
    assert len(seen) == 2
    assert max(each.seconds for each in seen) <= answer.infer_s + 1e-9
    assert answer.tokenize_s + answer.infer_s + answer.decode_s <= answer.total_s
    assert answer.infer_s < sum(each.seconds for each in seen)


def test_a_long_row_leaves_cores_to_others_that_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs on all cores where none has come within as long as such a run takes."""
    now, took, alone = 0.0, 0.05, []

    def start(self: Scheduler, rows: Any, *given: Any, **settings: Any) -> Any:
        nonlocal now
        now += took
        alone.append(settings["alone"])
        return begin(self, rows, *given, **settings)

    begin = Scheduler.start
    monkeypatch.setattr(Scheduler, "start", start)
    monkeypatch.setattr("bertedge.serve.models.time.monotonic", lambda: now)
    with Predictor.open(TINY / "text-classification", threads=2) as predictor:
        long, short = predictor.model.encode([LONG, SHORT])
        live = SimpleNamespace(
            model=replace(predictor.model, token_budget=len(short.ids)),
            scheduler=predictor.scheduler,
        )
        run = run_by_scheduler(live)  # type: ignore[arg-type]
        expected = predictor.model.infer([long])[0]
        for _ in range(2):
            assert np.allclose(run([long])[0], expected, atol=1e-5)
        with predictor.scheduler.call():  # as of another batch
            run([short])
        now -= took / 2
        run([long])
        run([short])
        now += took
        run([long])
    assert alone == [True, True, False, False, True, True]


def test_an_answered_request_is_freed_at_once(classifier: Recorded) -> None:
    """Not with the next collection of garbage, which stops all threads."""
    queue = classifier.queue()
    answered = queue.submit([SHORT, LONG], classifier.options)
    dropped = queue.submit([SHORT], classifier.options)
    dropped.cancel()
    while queue.step():
        pass
    kept = [weakref.ref(answered), weakref.ref(dropped)]
    gc.disable()
    try:
        del answered, dropped
        assert [each() for each in kept] == [None, None]
    finally:
        gc.enable()


def test_no_input_is_answered_at_once(classifier: Recorded) -> None:
    assert classifier.queue().submit([], classifier.options).result(0).value == []


def test_the_largest_share_of_the_answers_is_bit_equal_to_the_predictors(
    classifier: Recorded,
) -> None:
    """Of one text a batch, all of them: it runs as the predictor runs it."""
    queue = classifier.queue()
    for text in texts(random.Random(3), 10):
        future = queue.submit([text], classifier.options)
        queue.step()
        (found,) = future.result(0).value
        expected = classifier.predictor.predict_one(text)
        assert np.array_equal(list(found.scores.values()), list(expected.scores.values()))
