"""The models that are served: opened, warmed up, replaced while requests go on."""

import ctypes
import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertedge.errors import BertedgeError
from bertedge.predictor import Predictor
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.logits import Floats
from bertedge.serve.config import ServeConfig
from bertedge.serve.queue import TokenQueue
from bertedge.serve.request import BatchRun

Observe = Callable[[BatchRun], object]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServedModel:
    """A bundle that is open, and its queue."""

    predictor: Predictor[Any]
    queue: TokenQueue

    @property
    def sha256(self) -> str:
        """Of the bundle's manifest, which has those of all files."""
        return self.predictor.manifest.manifest_sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What became of reloading one bundle."""

    names: tuple[str, ...]
    error: str | None
    """Why the one before was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """What became of opening all bundles anew, and of reading the API keys."""

    bundles: Sequence[Reloaded]
    keys_error: str | None
    """Why those before are kept."""


class Models:
    """The models by name; bundles of one content are opened once. Thread-safe."""

    def __init__(self, config: ServeConfig, observe: Callable[[str], Observe]) -> None:
        """Open nothing yet; `observe` returns what is told of the batches of a name."""
        self._config = config
        self._observe = observe
        self._models: dict[str, ServedModel] = {}
        self._opening = threading.Lock()
        self._retiring: list[threading.Thread] = []

    def get(self, name: str | None) -> ServedModel | None:
        """Return the model of a name; without one the first."""
        name = self._config.bundles[0].name if name is None else name
        return self._models.get(name)

    @property
    def by_name(self) -> dict[str, ServedModel]:
        """All of them, in the order of the command line."""
        return dict(self._models)

    def open(self) -> None:
        """Open all bundles; BertedgeError for the first that cannot be."""
        with self._opening:
            for path, names in self._places().items():
                self._put(names, self._open(path, names[0]))

    def reload(self) -> list[Reloaded]:
        """Open all bundles anew and put them in place of those before; a bad one changes nothing.

        Requests that the one before has taken are answered by it.
        """
        with self._opening:
            return [self._reload(path, names) for path, names in self._places().items()]

    def close(self) -> None:
        """Answer what is queued, then close all."""
        with self._opening:
            open_models = set(self._models.values())
            self._models = {}
            for model in open_models:
                self._retire(model)
            for thread in self._retiring:
                thread.join()

    def _places(self) -> dict[Path, tuple[str, ...]]:
        places: dict[Path, tuple[str, ...]] = {}
        for each in self._config.bundles:
            path = each.path.resolve()
            places[path] = (*places.get(path, ()), each.name)
        return places

    def _reload(self, path: Path, names: tuple[str, ...]) -> Reloaded:
        try:
            self._put(names, self._open(path, names[0]))
        except BertedgeError as error:
            return Reloaded(names=names, error=str(error))
        return Reloaded(names=names, error=None)

    def _open(self, path: Path, name: str) -> ServedModel:
        """Open a bundle, which verifies it, and run its golden inputs by all ways there are."""
        config = self._config
        predictor: Predictor[Any] = Predictor.open(
            path, device=config.device, threads=config.threads, variant=config.variant
        )
        golden = [
            text[0] if len(text) == 1 else tuple(text) for text in predictor.manifest.golden.texts
        ]
        predictor.model.infer(predictor.tokenizer.encode(golden))  # in batches, with padding
        predictor.scheduler.open_all()
        queue = TokenQueue(
            predictor.model,
            run_by_scheduler(predictor),
            workers=predictor.scheduler.workers,
            most_tokens=config.max_queue,
            observe=self._observe(name),
        )
        queue.start()
        return ServedModel(predictor=predictor, queue=queue)

    def _put(self, names: tuple[str, ...], model: ServedModel) -> None:
        """Switch names to a model, or to one of the same content that other names have."""
        others = {name: each for name, each in self._models.items() if name not in names}
        same = next((each for each in others.values() if each.sha256 == model.sha256), None)
        if same is not None:
            self._retire(model)
            model = same
        before = {self._models[name] for name in names if name in self._models}
        models = {**self._models, **dict.fromkeys(names, model)}
        order = [each.name for each in self._config.bundles if each.name in models]
        self._models = {name: models[name] for name in order}
        for old in before - set(models.values()):
            self._retire(old)

    def _retire(self, model: ServedModel) -> None:
        """Close a model when its queue is empty."""

        leaving = [model]

        def end() -> None:
            last = leaving.pop()
            last.queue.join()
            last.predictor.close()
            del last  # and with it, where nobody else has it, what it keeps open
            trim_memory()

        model.queue.close()
        self._retiring = [each for each in self._retiring if each.is_alive()]
        self._retiring.append(threading.Thread(target=end, daemon=True))
        self._retiring[-1].start()


def trim_memory() -> None:
    """Return freed memory to the system.

    glibc keeps the pieces that closed sessions leave: a hundred reloads under load took 631 MiB
    instead of 96 (`benchmarks/serve_stress.py`).
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def run_by_scheduler(predictor: Predictor[Any]) -> Callable[[Sequence[Encoded]], list[Floats]]:
    """Return what runs rows as the predictor itself does, but for long rows beside others.

    On all cores a row that is a batch by itself leaves no core to those that come meanwhile, and
    threads that wait for each other waste what they share: two of them took 60 ms of processor
    time where one took 38. So it keeps to one core where others came within as long as the latest
    such run took.
    """
    model, scheduler = predictor.model, predictor.scheduler
    met, took = -math.inf, 0.0

    def run(rows: Sequence[Encoded]) -> list[Floats]:
        nonlocal met, took
        with scheduler.call() as alone:
            began = time.monotonic()
            if not alone:
                met = began
            long = len(rows[0].ids) > model.token_budget
            all_cores = alone and not (long and began - met < took)
            keep = model.keep(rows)
            pending = scheduler.start(
                rows, keep, alone=all_cores, long=False, token_budget=None, pool=None
            )
            if long and all_cores:
                took = time.monotonic() - began
        return pending.logits()

    return run
