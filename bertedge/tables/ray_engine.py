"""Predict a table on Ray, on one machine or on a cluster.

A shard is the work of one call of an actor, which reads its rows and writes its file as the local
engine does. Nothing goes from one actor to another but the numbers of shards, so plain actors
suffice. The shards are the checkpoint: Ray Data's own is a list of the ids of finished rows, held
in memory at a restart, that knows nothing of the bundle and the settings they were predicted with.
"""

import contextlib
import logging
import os
import pickle
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from bertedge import errors
from bertedge.errors import (
    BertedgeError,
    BundleError,
    MissingExtraError,
    OutputError,
    SettingError,
    StoppedError,
    first_line,
    shorten,
)
from bertedge.predictor import Predictor
from bertedge.progress import SILENT, Progress
from bertedge.runtime.machine import cores
from bertedge.runtime.providers import CPU
from bertedge.tables.config import Cluster, TableConfig
from bertedge.tables.job import Job, write_shard
from bertedge.tables.parts import ShardReader
from bertedge.tables.run import PredictedTable, run
from bertedge.tables.shards import Shard, check_same, read_shard, shard_path

TRIES = 3
"""How often a shard is given to an actor that dies of it."""
_OBJECT_STORE_BYTES = 80_000_000
"""On one machine: about the least that Ray takes; only numbers of shards go through it."""
_ANSWER_S, _PATIENCE_S = 10.0, 60.0
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """An error of ours in an actor: Ray cannot bring back exceptions of every signature."""

    kind: str
    message: str

    def error(self) -> BertedgeError:
        kind = getattr(errors, self.kind)
        single = kind not in (errors.FaultsError, MissingExtraError)
        return kind(self.message) if single else BertedgeError(self.message)


def predict_table_on_ray(
    bundle: str | os.PathLike[str],
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    config: TableConfig | None = None,
    cluster: Cluster | None = None,
    progress: Progress = SILENT,
) -> PredictedTable:
    """Predict a table as `predict_table` does, by actors of Ray that each write whole shards.

    `bundle`, `source` and `output` lie where every node of a cluster has them under the same
    path. What one engine began the other can finish. A program that has called `ray.init` itself
    stays connected; else Ray is started, or connected to, and left at the end.

    Raises what `predict_table` raises, SettingError for a cluster that does not answer or has no
    node with enough cores, StoppedError where actors die of a shard again and again.
    """
    if find_spec("ray") is None:
        raise MissingExtraError("ray", "ray")
    config, cluster = config or TableConfig(), cluster or Cluster()
    # The program's directory is not the actors'.
    source, output = Path(source).absolute(), Path(output).absolute()
    with Predictor.open(
        bundle, device=CPU.name, threads=cluster.threads, variant=cluster.variant
    ) as predictor:
        write = partial(_write_on_ray, cluster=cluster)
        return run(predictor, source, output, config, progress, write)


class _Scorer:
    """An actor: a predictor of its own, and where it is in the table."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def open(self) -> _Fault | None:
        """Open the bundle, and check that it is the same one."""
        return _told(self._open)

    def write(self, number: int) -> Shard | _Fault:
        """Write a shard, unless it has appeared in the meantime."""
        return _told(partial(self._write, number))

    def _open(self) -> None:
        self._job: Job = pickle.loads(self._packed)
        predictor, origin = self._job.predictor, self._job.origin
        found = predictor.manifest.manifest_sha256, predictor.variant.name
        if found != (origin.bundle, origin.variant):
            raise BundleError(
                f"{predictor} on {socket.gethostname()} is not what the driver opened "
                f"({origin.variant} of {origin.bundle[:12]}…); put the same bundle there, and say "
                "--variant"
            )
        self._reader = ShardReader(
            self._job.table, self._job.config, predictor.manifest.model.input_shape
        )

    def _write(self, number: int) -> Shard:
        job = self._job
        path = shard_path(job.output, number)
        if path.exists():  # an actor that was thought dead wrote it, or one of a killed program
            shard = read_shard(path)
            check_same(path, shard.origin, job.origin)
            return shard
        return write_shard(job, number, self._reader.read(number, job.rows_of(number)), _nothing)


def _told(work: Callable[[], _Found]) -> _Found | _Fault:
    try:
        return work()
    except BertedgeError as error:
        return _Fault(kind=type(error).__name__, message=str(error))


def _nothing(_: int) -> None:
    """Take the rows that are done: an actor shows no bar."""


def _write_on_ray(
    job: Job, done: Mapping[int, Shard], progress: Progress, cluster: Cluster
) -> Iterator[Shard]:
    missing = deque(number for number in range(job.shards) if number not in done)
    if not missing:
        return
    with _connected(cluster):
        actors = min(cluster.actors or _room(cluster), len(missing))
        progress.say(
            f"Ray: {actors} actor{'' if actors == 1 else 's'}, threads each: {cluster.threads}; "
            f"{len(missing):,} shards to write"
        )
        for shard in _share_out(job, missing, cluster.threads, actors, progress):
            path = shard_path(job.output, shard.number)
            if not path.exists():
                raise OutputError(
                    f"{path} was written by another machine and is not here; choose an output on a "
                    "disk that all nodes share"
                )
            progress.advance(shard.rows)
            yield shard


def _share_out(
    job: Job, missing: deque[int], threads: int, count: int, progress: Progress
) -> Iterator[Shard]:
    """Yield shards as free actors write them; another actor takes the place of one that died.

    An actor that waits for a free core holds up none: it is given a shard when it is open.
    """
    import ray

    scorer = ray.remote(_Scorer).options(num_cpus=threads)
    packed = pickle.dumps(job)
    busy: dict[Any, tuple[Any, int | None]] = {}
    """What is under way: an actor, and the number of its shard; None: it opens the bundle."""
    died: Counter[int | None] = Counter()

    def add_actor() -> None:
        actor = scorer.remote(packed)
        busy[actor.open.remote()] = (actor, None)

    for _ in range(count):
        add_actor()
    waited = False
    while missing or any(number is not None for _, number in busy.values()):
        ready, _ = ray.wait(list(busy), num_returns=1, timeout=_PATIENCE_S)
        if not ready:
            if not waited and all(number is None for _, number in busy.values()):
                progress.say("no actor has opened the bundle yet; Ray may wait for free cores")
                waited = True
            continue
        actor, number = busy.pop(ready[0])
        try:
            found = ray.get(ready[0])
        except ray.exceptions.RayActorError as error:
            died[number] += 1
            if number is not None:
                missing.appendleft(number)
            what = "at its start" if number is None else f"in shard {number}"
            if died[number] == TRIES:
                raise StoppedError(
                    f"an actor of Ray died {what} {TRIES} times: {_reason(error)}; the same "
                    "command goes on with what is missing"
                ) from error
            progress.say(f"an actor of Ray died {what}; another takes its place")
            add_actor()
            continue
        if isinstance(found, _Fault):
            raise found.error()
        if found is None:
            died[None] = 0
        if missing:
            number = missing.popleft()
            busy[actor.write.remote(number)] = (actor, number)
        if found is not None:
            yield found


def _reason(error: Exception) -> str:
    """Return the line of Ray's many that says of what an actor died."""
    lines = str(error).splitlines()
    told = [line for line in lines if line.startswith(("The actor is dead", "The actor died"))]
    return first_line(told[-1] if told else error, 100)


@contextlib.contextmanager
def _connected(cluster: Cluster) -> Iterator[None]:
    import ray

    address = cluster.address or os.environ.get("RAY_ADDRESS")
    if address is not None:
        _check_answers(address)
    if ray.is_initialized():
        if cluster.address is not None:
            raise SettingError(
                f"--address {shorten(cluster.address, 60)}: this program is connected to a Ray "
                "already; leave the address out, or call ray.shutdown() before"
            )
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing goes to the network
        os.environ.setdefault("RAY_worker_niceness", "0")  # as this process; Ray adds 15
        ray.init(
            address="local",
            num_cpus=max(cores(), (cluster.actors or 1) * cluster.threads),
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            **quiet,
        )
    else:
        try:
            ray.init(address=address, **quiet)
        except (OSError, RuntimeError, ValueError) as error:
            raise SettingError(
                f"--address {shorten(address, 60)}: {first_line(error)}; start Ray there with "
                "'ray start --head', or leave --address out"
            ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise SettingError where nothing listens: Ray would wait for minutes, and end the program."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():  # "auto", or a name that Ray knows
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise SettingError(
            f"--address {shorten(address, 60)}: no Ray cluster answers there "
            f"({first_line(error)}); start one with 'ray start --head', or leave --address out"
        ) from None


def _room(cluster: Cluster) -> int:
    """Return how many actors all nodes have cores for."""
    import ray

    nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    actors = sum(int(cpus // cluster.threads) for cpus in nodes)
    if not actors:
        raise SettingError(
            f"--threads {cluster.threads}: the largest node of the cluster has "
            f"{max(nodes, default=0):g} cores; give fewer threads"
        )
    return actors
