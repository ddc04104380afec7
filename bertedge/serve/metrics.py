"""What Prometheus reads at `/metrics`."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from bertedge.serve.models import ServedModel
from bertedge.serve.recent import Recent
from bertedge.serve.request import Answer, BatchRun
from bertedge.version import __version__

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = tuple(round(0.0001 * 1.5**step, 7) for step in range(32))
"""Upper bounds of buckets: from 0.1 ms to 29 s."""
COUNTS = tuple(2**step for step in range(15))
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
REASONS = {
    400: "input",
    401: "key",
    403: "key",
    408: "slow",
    413: "size",
    415: "input",
    422: "input",
    424: "input",
    429: "queue",
    499: "gone",
    503: "unready",
    504: "deadline",
}
"""Statuses of requests that were not answered."""

ByName = Callable[[], Mapping[str, ServedModel]]


class Metrics:
    """Counters and histograms of one server. Thread-safe."""

    def __init__(self, models: ByName) -> None:
        """Take what returns the models that are served at the time."""
        self.recent = Recent()
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(_Now(models))
        self._requests = self._counter("requests", "Requests by status.", "model", "code")
        self._rejected = self._counter("rejected", "Requests without an answer.", "reason")
        self._reloads = self._counter("reloads", "Bundles opened anew.", "result")
        self._rows = self._counter("rows", "Inputs answered.", "model")
        self._tokens = self._counter("tokens", "Tokens run, without padding.", "model")
        self._truncated = self._counter("truncated", "Rows whose end was cut.", "model")
        self._total = self._histogram("request_seconds", "From the queue to the answer.", SECONDS)
        self._queue = self._histogram("queue_seconds", "Of it waiting.", SECONDS)
        self._tokenize = self._histogram("tokenize_seconds", "Of it tokenizing.", SECONDS)
        self._infer = self._histogram("infer_seconds", "Of it in the model.", SECONDS)
        self._batch_rows = self._histogram("batch_rows", "Rows in a batch.", COUNTS)
        self._batch_tokens = self._histogram("batch_tokens", "Tokens in a batch, padded.", COUNTS)
        self._padding = self._histogram("batch_padding", "Share of a batch's padding.", SHARES)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"bertedge_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(
            f"bertedge_{name}", text, ["model"], registry=self._registry, buckets=buckets
        )

    def render(self) -> bytes:
        """Return all of them in Prometheus' text format."""
        return generate_latest(self._registry)

    def count_request(self, model: str, status: int) -> None:
        """Count a request that has ended."""
        self._requests.labels(model, status).inc()
        if reason := REASONS.get(status):
            self._rejected.labels(reason).inc()
        if model and status >= 400:
            self.recent.failed(model)

    def count_answer(self, model: str, rows: int, answer: Answer) -> None:
        """Count an answer, and where its time went."""
        self.recent.answered(model, rows, answer.total_s)
        self._rows.labels(model).inc(rows)
        self._total.labels(model).observe(answer.total_s)
        self._queue.labels(model).observe(answer.queue_s)
        self._tokenize.labels(model).observe(answer.tokenize_s)
        self._infer.labels(model).observe(answer.infer_s)

    def count_reload(self, ok: bool) -> None:
        """Count a bundle that was opened anew, or not."""
        self._reloads.labels("ok" if ok else "failed").inc()

    def batch_counter(self, model: str) -> Callable[[BatchRun], None]:
        """Return what counts the batches of a model."""

        def count(run: BatchRun) -> None:
            self._tokens.labels(model).inc(run.tokens)
            self._truncated.labels(model).inc(run.truncated)
            self._batch_rows.labels(model).observe(run.rows)
            self._batch_tokens.labels(model).observe(run.padded_tokens)
            self._padding.labels(model).observe(1 - run.tokens / run.padded_tokens)

        return count


class _Now(Collector):
    """What is read when it is asked for."""

    def __init__(self, models: ByName) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """Yield the state of each model."""
        queued = _gauge("queue_tokens", "Tokens that wait.")
        rate = _gauge("tokens_per_second", "Of the latest batches.")
        info = _gauge("model_info", "What is served.", "sha256", "variant", "version")
        for name, model in self._models().items():
            queued.add_metric([name], model.queue.queued_tokens)
            rate.add_metric([name], model.queue.tokens_per_second)
            variant = model.predictor.variant.name
            info.add_metric([name, model.sha256, variant, __version__], 1)
        yield from (queued, rate, info)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"bertedge_{name}", text, labels=["model", *labels])
