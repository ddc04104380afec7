"""Compare `bertedge serve` with other servers of one model, under an open-loop Poisson load.

Each server runs one after the other on the same cores, with one thread a core, and this program on
others. For each kind of texts it finds the highest rate at which 99 of 100 requests are answered
within the limit, counted from the time at which they were to be sent, all answered, none refused.

The rule: the rate at which 16 clients in a closed loop are answered is the first guess, times 0.7;
rates go up by 1.25 or down by 0.75 until one passes and one fails, then between them until they are
within 5 %. A rate fails that fails twice, with other times of the same seed. The seed is that of
the rate's number, the same for all servers.

What the record has already is not measured again, so that a run that was stopped goes on.
Writes benchmarks/serve_load.json.
"""

import argparse
import asyncio
import json
import math
import multiprocessing
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from open_loop import HOST, Load, Outcome, milliseconds, percentile, poisson, run
from provenance import provenance
from served import HERE, Running, Server, ours, rivals, running

import bertedge
from bertedge.bundle import open_bundle

RESULT = HERE / "serve_load.json"
KINDS = ("short", "mixed")
LONG_SHARE = 0.05
"""Of the mixed texts, those of as many tokens as the model reads."""
CLIENTS = 16
FIRST, UP, DOWN = 0.7, 1.25, 0.75
CLOSE = 1.05
"""Ratio of the lowest rate that fails to the highest that passes, where the search ends."""
LEAST_RATE = 1.0
GIVE_UP_S = 2.0
ALONE = 400
"""Requests of the one client."""
ROUNDS = 3


def main() -> None:
    told = parse_arguments()
    from engines import export_by_optimum  # here, as it takes seconds

    origin = provenance(__file__, "onnxruntime", "torch", "transformers", "optimum-onnx")
    os.sched_setaffinity(0, told.own_cores)
    bundle = open_bundle(told.bundle)
    short = read_texts(told.shared)
    long = long_text(short, told.bundle)
    work = told.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    int8 = Path(export_by_optimum(str(told.checkpoint), bundle, work / "optimum").int8).parent
    servers = [ours(told.bundle.absolute()), *rivals(told.checkpoint.absolute(), int8)]
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {"sets": {}}
    record |= origin
    record |= {
        "server_cores": told.server_cores,
        "generator_cores": told.own_cores,
        "limit_ms": told.limit_ms,
        "step_s": told.seconds,
    }
    if told.note:
        record["note"] = told.note
    for kind in told.texts:
        texts = draw_texts(short, long if kind == "mixed" else None)
        for server in servers:
            rows = record["sets"].setdefault(kind, {})
            if server.name not in told.servers or (server.name in rows and not told.again):
                continue
            if server.needs and not server.needs.exists():
                say(f"{server.name}: left out, {server.needs} is not there")
                continue
            say(f"{kind}, {server.name}")
            rows[server.name] = measure(server, texts, told)
            RESULT.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(summary(record), indent=2))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("checkpoint", type=Path, help="A checkpoint that labels texts, of 512 tokens at most.")
    add("bundle", type=Path, help="What bertedge export --quantize made of it.")
    add("shared", type=Path, help="The folder that has sst2/dev.tsv.gz.")
    add("work", type=Path, help="Where Optimum's graph is put.")
    names = [server.name for server in (ours(Path()), *rivals(Path(), Path()))]
    add("--servers", nargs="*", default=names, choices=names)
    add("--texts", nargs="*", default=list(KINDS), choices=KINDS)
    add("--seconds", type=float, default=10.0, help="Of a step, 10 by default.")
    add("--limit-ms", type=float, default=50.0, help="Of the 99th percentile, 50 by default.")
    add("--server-cores", nargs="*", type=int, default=[0])
    add("--own-cores", nargs="*", type=int, default=[1])
    add("--again", action="store_true", help="Measure what the record has already, too.")
    add("--note", help="Written into the record, as: not on a quiet machine.")
    return parser.parse_args()


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def read_texts(shared: Path) -> list[str]:
    """Return the whole sentences of SST-2's test data."""
    lines = (shared / "sst2" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]
    return [line.rsplit("\t", 1)[0] for line in lines]


def long_text(texts: Sequence[str], bundle: Path) -> str:
    """Join words until they fill what the model reads, and no more: not all servers cut texts."""
    with bertedge.load(bundle, device="cpu") as predictor:
        joined = ""
        for word in " ".join(texts).split():
            (found,) = predictor.tokenizer.encode([f"{joined} {word}"])
            if found.truncated:
                break
            joined, tokens = f"{joined} {word}".strip(), len(found.ids)
    say(f"a long text has {tokens} tokens")
    return joined


def draw_texts(short: Sequence[str], long: str | None) -> list[str]:
    """Draw 2,000 texts."""
    draw = random.Random(0)
    return [
        long if long is not None and draw.random() < LONG_SHARE else draw.choice(short)
        for _ in range(2000)
    ]


def measure(server: Server, texts: Sequence[str], told: argparse.Namespace) -> dict[str, object]:
    """Return all figures of one server on one kind of texts."""
    in_process: list[float] = []
    with running(server, told.server_cores, texts[0]) as found:
        requests = [server.request(text) for text in texts]
        asyncio.run(closed_loop(found, requests[:CLIENTS], CLIENTS))
        alone = []
        for _ in range(ROUNDS):
            alone += one_client(found, requests[: ALONE // ROUNDS])
            if server.name == "bertedge":
                in_process += time_predictor(
                    told.bundle, texts[: ALONE // ROUNDS], told.server_cores
                )
        rate = asyncio.run(capacity(found, requests, statistics.median(alone)))
        row: dict[str, object] = {
            "settings": server.settings,
            "versions": versions_of(server),
            "start_s": round(found.started_s, 2),
            "alone": milliseconds(sorted(alone)),
            "closed_loop_rate": round(rate, 1),
        }
        if in_process:
            row["in_process"] = milliseconds(sorted(in_process))
        say(f"  {json.dumps(row)}")
        row |= search(found, requests, FIRST * rate, told)
        row["memory_mib"] = round(found.memory_mib())
    return row


def one_client(found: Running, requests: Iterable[bytes]) -> list[float]:
    """Return how long each request takes that is sent when the one before is answered."""
    taken = []
    with socket.create_connection((HOST, found.port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            began = time.perf_counter()
            sock.sendall(request)
            received = b""
            while not complete(received):
                more = sock.recv(65536)
                if not more:
                    raise ConnectionError(f"{found.server.name} closed the connection")
                received += more
            taken.append(time.perf_counter() - began)
    return taken


def complete(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        raise ValueError(f"no answer: {received[:300]!r}")
    return len(body) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])


def time_predictor(bundle: Path, texts: Sequence[str], cores: Sequence[int]) -> list[float]:
    """Return how long the predictor takes for each text, in a process on the server's cores."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, os.sched_setaffinity, (0, cores)) as pool:
        return pool.submit(predict_each, bundle, texts, len(cores)).result()


def predict_each(bundle: Path, texts: Sequence[str], threads: int) -> list[float]:
    taken = []
    with bertedge.load(bundle, device="cpu", threads=threads) as predictor:
        for text in [*texts[:20], *texts]:
            began = time.perf_counter()
            predictor.predict_one(text)
            taken.append(time.perf_counter() - began)
    return taken[20:]


async def closed_loop(found: Running, requests: Sequence[bytes], clients: int) -> float:
    """Return the requests a second that so many clients get answered."""
    load = Load(times=[0.0] * len(requests), requests=requests, most_connections=clients,
                patience_s=120.0)  # fmt: skip
    outcome = await run(load, found.port)
    if set(outcome.statuses) != {200}:
        raise RuntimeError(f"{found.server.name}: {outcome.counts()}")
    return len(requests) / max(outcome.latencies)


async def capacity(found: Running, requests: Sequence[bytes], alone: float) -> float:
    """Return the rate of a closed loop of some seconds."""
    count = max(round(2.0 / alone), 2 * CLIENTS)
    return await closed_loop(found, cycle(requests, count), CLIENTS)


def cycle(requests: Sequence[bytes], count: int) -> list[bytes]:
    return [requests[n % len(requests)] for n in range(count)]


def search(
    found: Running, requests: Sequence[bytes], rate: float, told: argparse.Namespace
) -> dict[str, object]:
    """Find the highest rate that passes, by the rule above."""
    steps: list[dict[str, object]] = []
    passed, failed = 0.0, math.inf
    while failed > CLOSE * passed and rate >= LEAST_RATE:
        if step_passes(found, requests, rate, told, steps):
            passed = rate
        else:
            failed = rate
        if math.isinf(failed):
            rate *= UP
        elif not passed:
            rate *= DOWN
        else:
            rate = math.sqrt(passed * failed)
    best = max(
        (step for step in steps if step["passed"]), key=lambda step: step["rate"], default=None
    )
    return {"rate": round(passed, 2), "at_rate": best, "steps": steps}


def step_passes(
    found: Running,
    requests: Sequence[bytes],
    rate: float,
    told: argparse.Namespace,
    steps: list[dict[str, object]],
) -> bool:
    """Try a rate, and where it fails once more."""
    for attempt in range(2):
        seed = 1000 * attempt + round(100 * math.log(rate))
        times = poisson(rate, told.seconds, seed)
        load = Load(times=times, requests=cycle(requests, len(times)), give_up_s=GIVE_UP_S)
        outcome = asyncio.run(run(load, found.port))
        step = {"rate": round(rate, 2), **describe(outcome)}
        p99 = step["p99_ms"]
        step["passed"] = bool(
            not outcome.given_up and outcome.counts().keys() == {200} and p99 <= told.limit_ms
        )
        steps.append(step)
        say(f"  {json.dumps(step)}")
        wait_idle(found, requests[0])
        if step["passed"]:
            return True
    return False


def describe(outcome: Outcome) -> dict[str, object]:
    return {
        "seconds": round(outcome.seconds, 2),
        "requests": len(outcome.statuses),
        "statuses": {str(status): count for status, count in outcome.counts().items()},
        **milliseconds(outcome.of()),
        "generator_late_p99_ms": round(1000 * percentile(sorted(outcome.late), 0.99), 3),
    }


def wait_idle(found: Running, request: bytes) -> None:
    """Wait until the server has done with what is left of a load that was given up."""
    time.sleep(0.2)
    one_client(found, [request] * 3)


def versions_of(server: Server) -> dict[str, str]:
    """Return the versions of what makes a server, as its own environment has them."""
    known = ("bertedge", "uvicorn", "starlette", "fastapi", "litserve", "infinity-emb")
    known += ("transformers", "torch", "optimum", "onnxruntime", "httptools", "uvloop")
    program = (
        "import importlib.metadata as m, json; "
        "found = {d.name: d.version for d in reversed(list(m.distributions()))}; "
        "found = {n.lower().replace('_', '-'): v for n, v in found.items()}; "
        f"print(json.dumps({{n: found[n] for n in {known!r} if n in found}}))"
    )
    path = os.pathsep.join(map(str, server.paths))
    output = subprocess.run(
        [server.command[0], "-c", program],
        env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=True,
    ).stdout  # fmt: skip
    return json.loads(output)


def summary(record: dict[str, object]) -> dict[str, object]:
    """Return the highest rates, and how many times the others' ours is."""
    found: dict[str, object] = {}
    for kind, rows in record["sets"].items():
        own = rows.get("bertedge", {})
        found[kind] = {
            name: {
                "rate": row["rate"],
                "alone_p50_ms": row["alone"]["p50_ms"],
                "ours_to": round(own["rate"] / row["rate"], 2) if own and row["rate"] else None,
            }
            for name, row in rows.items()
        }
    return found


if __name__ == "__main__":
    main()
