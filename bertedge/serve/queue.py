"""The queue of one model: requests are cut into rows, which are taken in turns and batched.

A request waits until it is its turn, and then has one of its inputs tokenized: so inputs of all
requests come in turns into a window of some batches, and a request of a thousand inputs delays one
of a single input by two batches at most. The first row of a batch is that of the request whose turn
it is, and no row is passed over for ever; the rest are the rows of the window nearest to it in
length. Nobody waits for a batch to fill: while one runs the next one fills by itself.
"""

import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

from bertedge.model import TextModel
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.logits import Floats
from bertedge.serve.request import (
    Answer,
    BatchRun,
    DeadlineError,
    Part,
    QueueClosedError,
    QueueFullError,
    Render,
    Request,
    Row,
    estimate_tokens,
)
from bertedge.spec import Text
from bertedge.tasks.contract import PredictOptions

WINDOW_BATCHES = 8
"""Batches a worker whose rows are tokenized ahead, to be put together by length."""
SPREAD = 2
"""A row joins a batch whose first row is at most so many times longer or shorter."""
MOST_OF_LIMIT = 1 / 8
"""The window is at most such a share of the limit, and so much is kept free, as rows overtake.

Who is let in then waits no longer than the limit's tokens take; one in a hundred took 15 % more."""
_MEMORY = 0.95
"""Weight of all earlier batches in the measured rate, beside the latest one."""

RunRows = Callable[[Sequence[Encoded]], Sequence[Floats]]


class TokenQueue:
    """Answers requests with one model, by `workers` threads. Thread-safe."""

    def __init__(
        self,
        model: TextModel,
        run: RunRows,
        *,
        workers: int = 1,
        most_tokens: int = 2**18,
        observe: Callable[[BatchRun], object] = lambda _: None,
    ) -> None:
        """Start no thread yet: `start` does, and without it `step` runs a batch.

        `run` gives the logits of rows, which are at most `model.token_budget` tokens with their
        padding, or one row. Above `most_tokens` queued tokens requests are refused.
        """
        self._model = model
        self._run = run
        self._workers = workers
        self._most_tokens = most_tokens
        self._observe = observe
        self._margin = min(
            WINDOW_BATCHES * workers * model.token_budget, int(MOST_OF_LIMIT * most_tokens)
        )
        self._window_size = max(self._margin, model.token_budget)
        self._changed = threading.Condition()  # guards all below; its lock is re-entrant
        self._waiting: deque[Request] = deque()
        """Requests with inputs that are not tokenized, in turns."""
        self._ready: deque[Request] = deque()
        """Requests with rows that are, in turns."""
        self._window = 0
        """Tokens that are tokenized, or being."""
        self._queued = 0
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._rate_tokens = self._rate_seconds = self._last_end = 0.0

    def check_room(self) -> None:
        """Raise QueueFullError where a window of tokens more would be too many.

        For a server to ask before it reads a request: refusals are many when there is no time.
        """
        with self._changed:
            if self._queued > self._most_tokens - self._margin:
                raise QueueFullError(self._queued, self._retry_after_s())

    @property
    def queued_tokens(self) -> int:
        """Tokens of rows that no batch has taken."""
        return self._queued

    @property
    def tokens_per_second(self) -> float:
        """The measured rate of the latest batches; 0 before the first."""
        with self._changed:
            return self._rate_tokens / self._rate_seconds if self._rate_seconds else 0.0

    def start(self) -> None:
        """Start the threads that run batches."""
        for number in range(self._workers):
            name = f"bertedge-serve-{number}"
            self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
            self._threads[-1].start()

    def submit(
        self,
        inputs: Sequence[Text],
        options: PredictOptions,
        *,
        render: Render = list,
        deadline: float = math.inf,
    ) -> "Future[Answer]":
        """Queue inputs, to be answered by `deadline`, a time of `time.monotonic`.

        `render` is called in a worker's thread. Cancelling the future drops what has not run.
        Raises QueueFullError and QueueClosedError.
        """
        sizes = [estimate_tokens(text) for text in inputs]
        request = Request(
            inputs=inputs,
            options=options,
            render=render,
            deadline=deadline,
            sizes=sizes,
            parts=[None] * len(inputs),
            missing=len(inputs),
            queued_tokens=sum(sizes),
        )
        if not inputs:
            self._answer(request)
            return request.future
        with self._changed:
            if self._closed:
                raise QueueClosedError
            # Alone, any request is let in: it is bounded already, and nothing waits behind it.
            if self._queued and self._queued + request.queued_tokens > self._most_tokens:
                raise QueueFullError(self._queued, self._retry_after_s())
            self._queued += request.queued_tokens
            self._waiting.append(request)
            self._changed.notify()
        # Not `request` itself: a future keeps its callbacks, and both would be a cycle of garbage.
        found = weakref.ref(request)
        request.future.add_done_callback(lambda _: self._forget(found()))
        return request.future

    def close(self) -> None:
        """Take no more requests; the threads end when all are answered."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the threads to end."""
        for thread in self._threads:
            thread.join()

    def step(self) -> int:
        """Run one batch, in this thread, and return its number of rows; 0 where there is none."""
        with self._changed:
            picked = self._pick()
        for request, first, end in picked:
            self._tokenize(request, first, end)
        with self._changed:
            batch = self._gather()
        if batch:
            self._run_batch(batch)
        return len(batch)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._has_work or self._is_over)
                if self._is_over:
                    return
            self.step()

    @property
    def _has_work(self) -> bool:
        return bool(self._ready or (self._waiting and self._has_room))

    @property
    def _has_room(self) -> bool:
        return self._window < self._window_size

    @property
    def _is_over(self) -> bool:
        return self._closed and not self._waiting and not self._ready

    def _pick(self) -> list[tuple[Request, int, int]]:
        """Take inputs in turns, one a request, until the window is full; expired ones are dropped.

        Return the numbers of each request's inputs: the first, and one past the last.
        """
        now = time.monotonic()
        picked: dict[Request, int] = {}
        while self._waiting and self._has_room:
            request = self._waiting.popleft()
            if request.deadline <= now:
                self._fail(request, DeadlineError())
                continue
            picked.setdefault(request, request.started)
            size = request.sizes[request.started]
            request.started += 1
            request.window_tokens += size
            self._window += size
            if request.started < len(request.inputs):
                self._waiting.append(request)
        return [(request, first, request.started) for request, first in picked.items()]

    def _tokenize(self, request: Request, first: int, end: int) -> None:
        """Tokenize some inputs; their estimated tokens become counted ones."""
        if request.over:
            return
        began = time.monotonic()
        try:
            encoded = self._model.encode(request.inputs[first:end], first)
        except Exception as error:  # whatever it is: the request's future carries it
            self._fail(request, error)
            return
        with self._changed:
            request.tokenize_s += time.monotonic() - began
            if request.over:
                return
            if not request.ready:
                self._ready.append(request)
            for row in encoded:
                part = request.parts[first + row.text]
                if part is None:
                    part = request.parts[first + row.text] = Part(rows=[], logits=[])
                part.rows.append(row)
                part.logits.append(None)
                request.ready.append(Row(request=request, part=part, number=len(part.rows) - 1))
            counted = sum(len(row.ids) for row in encoded)
            self._count(request, counted - sum(request.sizes[first:end]))
            self._changed.notify()

    def _gather(self) -> list[Row]:
        """Take a batch: the first row of the request whose turn it is, and those like it."""
        now = time.monotonic()
        for request in [each for each in self._ready if each.deadline <= now]:
            self._fail(request, DeadlineError())
        if not self._ready:
            return []
        turn = self._ready[0]
        first = turn.ready[0]
        length = first.length
        like = [
            row
            for request in self._ready
            for row in request.ready
            if length <= SPREAD * row.length and row.length <= SPREAD * length
        ]
        like.sort(key=lambda row: (row is not first, abs(row.length - length)))
        batch: list[Row] = []
        longest = 0
        for row in like:
            longest = max(longest, row.length)
            if batch and (len(batch) + 1) * longest > self._model.token_budget:
                break
            batch.append(row)
        taken = set(batch)
        for request in {row.request: None for row in batch}:
            request.ready = [row for row in request.ready if row not in taken]
            if not request.ready:
                self._ready.remove(request)
        for row in batch:
            self._count(row.request, -row.length)
        if turn.ready:
            self._ready.rotate(-1)
        self._changed.notify()  # there is room in the window
        return batch

    def _run_batch(self, batch: list[Row]) -> None:
        requests = list({row.request: None for row in batch})
        with self._changed:
            began = time.monotonic()
            for request in requests:
                if not request.running:
                    request.running_since = began
                request.running += 1
        try:
            logits = self._run([row.encoded for row in batch])
        except Exception as error:  # whatever it is: the requests' futures carry it
            for request in requests:
                self._fail(request, error)
            return
        end = time.monotonic()
        lengths = [row.length for row in batch]
        complete = []
        with self._changed:
            self._measure(sum(lengths), began, end)
            for request in requests:
                request.running -= 1
                if not request.running:  # batches that ran at the same time count once
                    request.infer_s += end - request.running_since
            for row, own in zip(batch, logits, strict=True):
                row.part.logits[row.number] = own
                if all(each is not None for each in row.part.logits):
                    row.request.missing -= 1
                    if not row.request.missing and not row.request.over:
                        complete.append(row.request)
        self._observe(
            BatchRun(
                rows=len(batch),
                tokens=sum(lengths),
                padded_tokens=len(batch) * max(lengths),
                truncated=sum(row.encoded.truncated for row in batch),
                seconds=end - began,
            )
        )
        for request in complete:
            self._answer(request)

    def _answer(self, request: Request) -> None:
        """Decode and render what is complete."""
        began = time.monotonic()
        parts = [part for part in request.parts if part is not None]
        rows = [_of_text(row, text) for text, part in enumerate(parts) for row in part.rows]
        logits = [each for part in parts for each in part.logits if each is not None]
        try:
            found = self._model.decode(request.inputs, rows, logits, request.options)
            value = request.render(list(found) if rows else [])
        except Exception as error:  # whatever it is: the request's future carries it
            self._fail(request, error)
            return
        if request.future.set_running_or_notify_cancel():
            end = time.monotonic()
            answer = Answer(
                value=value,
                tokens=sum(len(row.ids) for row in rows),
                total_s=end - request.submitted,
                tokenize_s=request.tokenize_s,
                infer_s=request.infer_s,
                decode_s=end - began,
            )
            request.future.set_result(answer)

    def _fail(self, request: Request, error: Exception) -> None:
        with self._changed:
            if request.over:
                return
            self._forget(request)
        if request.future.set_running_or_notify_cancel():
            request.future.set_exception(error)

    def _forget(self, request: Request | None) -> None:
        """Drop what is left of a request that is answered, failed or cancelled."""
        with self._changed:
            if request is None or request.over:
                return
            request.over = True
            self._queued -= request.queued_tokens
            self._window -= request.window_tokens
            request.ready = []
            for turns in (self._waiting, self._ready):
                if request in turns:
                    turns.remove(request)
            self._changed.notify_all()

    def _count(self, request: Request, tokens: int) -> None:
        """Add tokens to those that wait in the window."""
        request.queued_tokens += tokens
        request.window_tokens += tokens
        self._queued += tokens
        self._window += tokens

    def _measure(self, tokens: int, began: float, end: float) -> None:
        """Follow the rate of all workers together: the time since any of them ended a batch."""
        seconds = end - max(began, self._last_end)
        self._rate_tokens = _MEMORY * self._rate_tokens + tokens
        self._rate_seconds = _MEMORY * self._rate_seconds + seconds
        self._last_end = end

    def _retry_after_s(self) -> int:
        rate = self.tokens_per_second
        return max(math.ceil(self._queued / rate), 1) if rate else 1


def _of_text(row: Encoded, text: int) -> Encoded:
    return row if row.text == text else replace(row, text=text)
