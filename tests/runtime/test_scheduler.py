import gc
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import bertedge
from bertedge.bundle import open_bundle
from bertedge.errors import BundleError, DataError
from bertedge.predictions import Classification, Prediction
from bertedge.predictor import LONG_INPUT, Predictor
from bertedge.runtime import machine, scheduler
from bertedge.runtime.encoding import Batch
from bertedge.runtime.session import Session
from bertedge.runtime.variants import OpenVariant

WatchBatches = Callable[[Callable[[Session, Batch], None]], None]
WORDS = ("turn", "the", "kitchen", "lights", "off", "unbelievable", "jazz")
LONG = [" ".join(WORDS[: 1 + i % 7]) for i in range(3000)]


@pytest.fixture(scope="module")
def labels(text_bundle: Path) -> list[str]:
    """The label of each of LONG, found one text at a time."""
    predictor = bertedge.load(text_bundle, threads=1)
    each = {text: only_label(predictor.predict_one(text)) for text in set(LONG)}
    return [each[text] for text in LONG]


@pytest.fixture
def predictor(text_bundle: Path) -> Predictor:
    """A predictor of two threads that no other test has used."""
    return bertedge.load(text_bundle, threads=2)


@pytest.fixture
def before_each_batch(monkeypatch: pytest.MonkeyPatch) -> WatchBatches:
    """What sets a function that is called before each batch runs."""
    logits = Session.logits

    def watch(called: Callable[[Session, Batch], None]) -> None:
        def watched(session: Session, batch: Batch) -> np.ndarray:
            called(session, batch)
            return logits(session, batch)

        monkeypatch.setattr(Session, "logits", watched)

    return watch


def only_label(prediction: Prediction) -> str:
    assert isinstance(prediction, Classification)
    return prediction.label


def found(predictor: Predictor) -> list[str]:
    return [only_label(prediction) for prediction in predictor.predict(LONG)]


def at_once(count: int, work: object) -> None:
    """Call `work(place)` in as many threads; fail where one is not done in a minute."""
    workers = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(count)]  # type: ignore[arg-type]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert not any(worker.is_alive() for worker in workers), "deadlock"


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_long_inputs_are_answered_in_order_by_any_number_of_threads(
    threads: int, text_bundle: Path, labels: list[str]
) -> None:
    predictor = bertedge.load(text_bundle, threads=threads)
    assert found(predictor) == labels
    assert found(predictor) == labels  # by the session that the first opened


def test_batches_of_a_long_input_run_on_one_core_each(
    text_bundle: Path, before_each_batch: WatchBatches
) -> None:
    predictor = bertedge.load(text_bundle, threads=3)
    used: list[int] = []
    before_each_batch(lambda session, _: used.append(session.threads))
    predictor.predict(LONG[:100])
    assert set(used) == {3}
    used.clear()
    predictor.predict(LONG)
    assert set(used) == {1}


def test_chunks_of_one_are_each_run_by_all_cores(
    predictor: Predictor, before_each_batch: WatchBatches
) -> None:
    used: list[int] = []
    before_each_batch(lambda session, _: used.append(session.threads))
    long = ["turn " * 400] * 20
    assert sum(map(len, long)) > LONG_INPUT
    list(predictor.predict_iter(long, chunk=1))
    assert used == [2] * len(long)


def test_runs_of_several_threads_take_turns(
    text_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that spin at once, of one predictor or of two, would be slower than one by one."""
    model = text_bundle / open_bundle(text_bundle).manifest.variants[0].model.file
    sessions = [Session.open(model, threads=2) for _ in range(2)]
    ones = np.ones((1, 5), np.int64)
    batch = Batch(input_ids=ones, attention_mask=ones, token_type_ids=ones - 1)
    inside, most = itertools.count(), [0]
    running: set[int] = set()

    class Watched:
        def __init__(self, native: object) -> None:
            self._native = native

        def run(self, *arguments: object) -> object:
            place = next(inside)
            running.add(place)
            most[0] = max(most[0], len(running))
            time.sleep(0.001)
            answer = self._native.run(*arguments)  # type: ignore[attr-defined]
            running.remove(place)
            return answer

    for session in sessions:
        monkeypatch.setattr(session, "_native", Watched(session._native))
    at_once(6, lambda place: [sessions[place % 2].logits(batch) for _ in range(5)])
    assert most[0] == 1
    assert next(inside) == 30


def test_calls_that_keep_overlapping_are_given_a_core_each(
    predictor: Predictor, before_each_batch: WatchBatches
) -> None:
    used: list[int] = []

    def slow(session: Session, batch: Batch) -> None:
        used.append(session.threads)
        time.sleep(0.002)

    before_each_batch(slow)
    for _ in range(30):
        predictor.predict_one("turn it off")
    assert set(used) == {2}
    used.clear()
    at_once(4, lambda _: [predictor.predict_one("turn it off") for _ in range(20)])
    assert used[0] == 2 and used.count(1) > 40
    used.clear()
    predictor.predict_one("turn it off")
    assert used == [2]  # alone again


def test_many_threads_share_a_predictor_and_its_second_session(
    predictor: Predictor, labels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = itertools.count()
    open_again = scheduler.open_again

    def counted(variant: OpenVariant) -> Session | None:
        next(opened)
        return open_again(variant)

    monkeypatch.setattr(scheduler, "open_again", counted)
    answers: list[list[str]] = [[]] * 6

    def work(place: int) -> None:
        answers[place] = found(predictor)
        predictor.predict_one("turn it off")

    at_once(6, work)
    assert all(each == labels for each in answers)
    assert next(opened) == 1


def test_several_predictors_work_at_once(text_bundle: Path, labels: list[str]) -> None:
    predictors = [bertedge.load(text_bundle, threads=2) for _ in range(3)]
    answers: list[list[str]] = [[]] * 3

    def work(place: int) -> None:
        answers[place] = found(predictors[place])

    at_once(3, work)
    assert all(each == labels for each in answers)


def test_no_more_batches_run_at_a_time_than_there_are_cores_to_use(
    text_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many callers with long inputs there are, each with workers of its own."""
    monkeypatch.setenv(machine.THREADS, "2")
    scheduler._cores.cache_clear()
    predictor = bertedge.load(text_bundle)
    running: set[object] = set()
    most: list[int] = []
    logits = Session.logits

    def watched(session: Session, batch: Batch) -> np.ndarray:
        running.add(batch_key := object())
        most.append(len(running))
        time.sleep(0.001)
        answer = logits(session, batch)
        running.remove(batch_key)
        return answer

    monkeypatch.setattr(Session, "logits", watched)
    try:
        at_once(4, lambda _: predictor.predict(["turn " * 400] * 100))
    finally:
        scheduler._cores.cache_clear()
    assert max(most) == 2


def test_after_the_last_call_the_process_is_idle(text_bundle: Path) -> None:
    program = (
        "import sys, time, threading, bertedge\n"
        "predictors = [bertedge.load(sys.argv[1], threads=2) for _ in range(2)]\n"
        "texts = ['turn the kitchen lights off'] * 2000\n"
        "def work(predictor):\n"
        "    predictor.predict(texts); predictor.predict_one('off')\n"
        "workers = [threading.Thread(target=work, args=(p,)) for p in predictors * 2]\n"
        "[worker.start() for worker in workers]; [worker.join() for worker in workers]\n"
        "threads, before = threading.active_count(), time.process_time()\n"
        "time.sleep(1)\n"
        "print(threads, time.process_time() - before)"
    )
    run = [sys.executable, "-c", program, str(text_bundle)]
    said = subprocess.run(run, capture_output=True, text=True, check=True, timeout=300)
    threads, busy = said.stdout.split()
    assert (threads, said.stderr) == ("1", "")
    assert float(busy) < 0.01


def test_a_stream_that_is_left_early_drops_what_was_waiting(
    predictor: Predictor, before_each_batch: WatchBatches
) -> None:
    ran: list[int] = []

    def slow(session: Session, batch: Batch) -> None:
        ran.append(len(batch.input_ids))
        time.sleep(0.01)

    before_each_batch(slow)
    threads = threading.active_count()  # other tests' libraries may have left some
    stream = predictor.predict_iter(iter(LONG), token_budget=32, chunk=300)
    next(stream)
    before = len(ran)
    del stream
    gc.collect()
    ours = sum(ran[before:])
    assert ours < 100  # of the 300 texts of the chunk ahead
    assert threading.active_count() == threads


def test_a_text_that_is_none_is_named_after_the_chunks_before_it(classifier: Predictor) -> None:
    def texts() -> Iterator[object]:
        yield from LONG[:1500]
        yield 5

    stream = classifier.predict_iter(texts(), chunk=600)  # type: ignore[arg-type]
    assert len(list(itertools.islice(stream, 1200))) == 1200
    with pytest.raises(DataError, match="text 1500 is of type int"):
        next(stream)


def test_a_batch_that_fails_ends_the_stream_with_its_error(
    predictor: Predictor, before_each_batch: WatchBatches
) -> None:
    calls = itertools.count()

    def failing(session: Session, batch: Batch) -> None:
        if next(calls) == 7:
            raise BundleError("the model failed")

    threads = threading.active_count()
    before_each_batch(failing)
    with pytest.raises(BundleError, match="the model failed"):
        predictor.predict(LONG)
    assert threading.active_count() == threads


@pytest.mark.parametrize("damage", ["gone", "other"])
def test_a_bundle_replaced_under_a_running_predictor_changes_nothing(
    damage: str, text_bundle: Path, altered: object, labels: list[str]
) -> None:
    folder = altered(text_bundle)  # type: ignore[operator]
    predictor = bertedge.load(folder, threads=2)
    model = folder / open_bundle(folder).manifest.variants[0].model.file
    model.unlink() if damage == "gone" else model.write_bytes(b"another model")
    assert found(predictor) == labels


def test_truncated_texts_say_so_in_long_inputs_too(predictor: Predictor) -> None:
    rows = predictor.predict(["turn " * (200 if i % 10 == 0 else 2) for i in range(700)])
    assert [row.truncated for row in rows if isinstance(row, Classification)] == [
        i % 10 == 0 for i in range(700)
    ]
