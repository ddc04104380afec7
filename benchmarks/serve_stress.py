"""Try `bertedge serve` where it hurts: each part says what must hold, and whether it did.

overload  Three times the knee for a minute: every request is answered, 200 or 429, the 99th
          percentile of those let in is within what the queue's limit allows, memory stays flat.
long      One client that sends texts of 4,096 tokens, one after the other: the 99th percentile of
          the others is at most doubled. (On all cores: on one a text runs to its end.)
reload    Reloads under load, of two bundles in turns that answer each text differently: no error,
          and each answer is that of the bundle whose version it names.
sigterm   SIGTERM under load: what was let in is answered, what was not is refused, exit code 0.
wrk       wrk of Debian as another load generator.
soak      A million requests: resident memory grows by less than 5 % after the first tenth.

The knee is that of short texts in benchmarks/serve_load.json, or --knee. A part that the record
has already is not run again without --again. Writes benchmarks/serve_stress.json.
"""

import argparse
import asyncio
import bisect
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import serve_load
from open_loop import LOST, Load, Outcome, milliseconds, percentile, poisson, pooled, post, run
from provenance import provenance
from serve_load import cycle, one_client, read_texts, say
from served import HERE, Running, ask, ours, running

import bertedge
from bertedge.bundle import open_bundle

RESULT = HERE / "serve_stress.json"
TIMES = 3.0
MOST_TOKENS = 16_384
"""--max-queue of the overload: some half a second."""
LONG_TOKENS = 4096
FLAT = 1.05
CLIENTS = 16
TERM_AFTER_S = 3.0


def main() -> None:
    told = parse_arguments()
    if not told.knee:
        found = json.loads(serve_load.RESULT.read_text())["sets"]
        told.knee = found["short"]["bertedge"]["rate"]
    origin = provenance(__file__, "onnxruntime", "uvicorn", "starlette")
    os.sched_setaffinity(0, told.own_cores)
    told.bundle, told.work = told.bundle.absolute(), told.work.absolute()
    told.work.mkdir(parents=True, exist_ok=True)
    told.sentences = read_texts(told.shared)
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {"parts": {}}
    for name in told.parts:
        if name in record["parts"] and not told.again:
            continue
        say(name)
        began = time.perf_counter()
        row = PARTS[name](told)
        row["took_s"] = round(time.perf_counter() - began, 1)
        record |= origin
        record |= {"server_cores": told.server_cores, "generator_cores": told.own_cores}
        if told.note:
            record["note"] = told.note
        record["parts"][name] = row
        RESULT.write_text(json.dumps(record, indent=2) + "\n")
        print(json.dumps({name: row}), flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("checkpoint", type=Path, help="What the bundle was exported from.")
    add("bundle", type=Path, help="Of a model that labels texts, of 512 tokens at most.")
    add("shared", type=Path, help="The folder that has sst2/test.tsv.")
    add("work", type=Path, help="Where the second bundle of `reload` is put.")
    add("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    add("--knee", type=float, help="Requests a second.")
    add("--seconds", type=float, default=60.0, help="Of overload, 60 by default.")
    add("--reloads", type=int, default=100)
    add("--requests", type=int, default=1_000_000, help="Of soak, a million by default.")
    add("--server-cores", nargs="*", type=int, default=[0])
    add("--own-cores", nargs="*", type=int, default=[1])
    add("--again", action="store_true", help="Run what the record has already, too.")
    add("--note", help="Written into the record, as: not on a quiet machine.")
    return parser.parse_args()


def overload(told: argparse.Namespace) -> dict[str, object]:
    texts = told.sentences
    rate = TIMES * told.knee
    server = ours(told.bundle, "--max-queue", str(MOST_TOKENS))
    with running(server, told.server_cores, texts[0]) as found:
        requests = [server.request(text) for text in texts]
        before = metric(found, "bertedge_tokens_total")
        times = poisson(rate, told.seconds, 0)
        load = Load(times=times, requests=cycle(requests, len(times)), patience_s=30.0)
        with watched_memory(found) as memory:
            outcome = asyncio.run(run(load, found.port))
        per_second = (metric(found, "bertedge_tokens_total") - before) / outcome.seconds
    bound = MOST_TOKENS / per_second
    admitted = outcome.of()
    waited = percentile(answers_before(times, outcome), 0.99)
    fits = MOST_TOKENS * len(admitted) / (per_second * outcome.seconds)
    grew = growth(memory)
    row = {
        "rate": round(rate, 1),
        "seconds": told.seconds,
        "requests": len(times),
        "statuses": statuses_of(outcome),
        "admitted": milliseconds(admitted),
        "refused": milliseconds(outcome.of(429)),
        "answers_per_second": round(len(admitted) / outcome.seconds, 1),
        "max_queue_tokens": MOST_TOKENS,
        "bound_ms": round(1000 * bound, 1),
        "answers_before": {"p99": waited, "bound": round(fits)},
        "memory_growth": round(grew, 4),
        "memory_mib": round(memory[-1], 1),
        "generator_late_p99_ms": round(1000 * percentile(sorted(outcome.late), 0.99), 3),
    }
    row["ok"] = {
        "every request is answered": set(outcome.statuses) <= {200, 429},
        "p99 within the bound": percentile(admitted, 0.99) <= bound,
        "p99 within the bound, at the server's rate of the moment": waited <= fits,
        "memory flat": grew <= FLAT,
    }
    return row


def answers_before(times: Sequence[float], outcome: Outcome) -> list[int]:
    """Count the answers between each admitted request and its own, sorted.

    A queue of so many tokens bounds them; in seconds it does so only while the machine is as fast
    as on average.
    """
    zipped = zip(times, outcome.latencies, outcome.statuses, strict=True)
    spans = [(at, at + latency) for at, latency, status in zipped if status == 200]
    ends = sorted(end for _, end in spans)
    return sorted(bisect.bisect(ends, end) - bisect.bisect_left(ends, at) for at, end in spans)


def long(told: argparse.Namespace) -> dict[str, object]:
    text = make_long(told.bundle, told.sentences, LONG_TOKENS)
    cores = sorted({*told.server_cores, *told.own_cores})
    server = ours(told.bundle, threads=len(cores))
    rate = told.knee / 2
    seconds = max(told.seconds / 3, 2.0)
    without, beside, sent = [], [], []
    with running(server, cores, text) as found:
        requests = [server.request(each) for each in told.sentences]
        one_client(found, [*requests[:100], server.request(text)])
        for turn in range(3):
            for own, into in ((None, without), (text, beside)):
                times = poisson(rate, seconds / 3, turn)
                load = Load(times=times, requests=cycle(requests, len(times)))
                with closed_client(found, own) as count:
                    outcome = asyncio.run(run(load, found.port))
                into.append(outcome)
                sent += [count[0]] if own else []
    ratios = [
        percentile(two.of(), 0.99) / percentile(one.of(), 0.99)
        for one, two in zip(without, beside, strict=True)
    ]
    row: dict[str, object] = {
        "rate": round(rate, 1),
        "server_cores": cores,
        "seconds": seconds,
        "without": milliseconds(pooled(without)),
        "beside": milliseconds(pooled(beside)),
        "long_texts": sum(sent),
        "tokens": LONG_TOKENS,
        "p99_ratio": round(statistics.median(ratios), 3),
        "p99_ratios": [round(each, 3) for each in ratios],
    }
    answered = all(set(each.statuses) == {200} for each in (*without, *beside))
    row["ok"] = {
        "every request is answered": answered,
        "p99 at most doubled": statistics.median(ratios) <= 2,
    }
    return row


def reload(told: argparse.Namespace) -> dict[str, object]:
    bundles = [told.bundle, swapped_bundle(told.checkpoint, told.work)]
    texts = told.sentences[:200]
    wanted: dict[str, list[str]] = {}
    for bundle in bundles:
        with bertedge.load(bundle, device="cpu") as predictor:
            labels = [each.label for each in predictor.predict(texts)]
            wanted[predictor.manifest.manifest_sha256[:12]] = labels
    place = told.work / "served"
    point_to(place, bundles[0])
    server = ours(place)
    wrong: list[str] = []
    seen: dict[str, int] = dict.fromkeys(wanted, 0)

    def check(number: int, status: int, body: bytes) -> None:
        if status != 200:
            wrong.append(f"{number}: {status} {body[:200]!r}")
            return
        answer = json.loads(body)
        label = answer["outputs"][0]["data"][0]
        version = answer["model_version"]
        seen[version] = seen.get(version, 0) + 1
        if label != wanted.get(version, {number % len(texts): None})[number % len(texts)]:
            wrong.append(f"{number}: {label} of {version}")

    requests = [
        post(
            "/v2/models/model/infer",
            {
                "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}],
                "outputs": [{"name": "label"}],
            },
        )
        for text in texts
    ]
    rate, done = told.knee / 3, threading.Event()
    counts = {"sent": 0}
    outcomes: list[Outcome] = []
    with running(server, told.server_cores, texts[0]) as found:
        one_client(found, requests[:50])
        with watched_memory(found) as memory:
            switcher = threading.Thread(
                target=switch, args=(found, place, bundles, told.reloads, counts, done), daemon=True
            )
            switcher.start()
            while not done.is_set():
                times = poisson(rate, 5.0, len(outcomes))
                load = Load(times=times, requests=cycle(requests, len(times)), patience_s=30.0)
                outcomes.append(asyncio.run(run(load, found.port, check)))
        reloads = metric(found, "bertedge_reloads_total")
        log = found.log.read_text(errors="replace")
    refused = log.count("not reloaded")
    row: dict[str, object] = {
        "rate": round(rate, 1),
        "reloads": int(reloads),
        "requests": sum(len(each.statuses) for each in outcomes),
        "answers_by_version": seen,
        **milliseconds(pooled(outcomes)),
        "wrong": len(wrong),
        "examples": wrong[:5],
        "memory_mib": {"start": round(memory[0], 1), "end": round(memory[-1], 1)},
    }
    row["ok"] = {
        "all reloads done": reloads >= told.reloads and not refused,
        "no error, no other model's answer": not wrong,
        "both models answered": min(seen.values()) > 0,
    }
    return row


def switch(
    found: Running,
    place: Path,
    bundles: Sequence[Path],
    reloads: int,
    counts: dict[str, int],
    done: threading.Event,
) -> None:
    """Put the bundles in place in turns, and wait until each is served."""
    try:
        for number in range(reloads):
            before = metric(found, "bertedge_reloads_total")
            point_to(place, bundles[(number + 1) % 2])
            found.send_signal(signal.SIGHUP)
            counts["sent"] += 1
            end = time.perf_counter() + 60
            while metric(found, "bertedge_reloads_total") == before and time.perf_counter() < end:
                time.sleep(0.05)
    finally:
        done.set()


def sigterm(told: argparse.Namespace) -> dict[str, object]:
    """Send 1.5 times the knee, so that much is queued when the signal comes, and while it ends."""
    server = ours(told.bundle, "--access-log")
    rate = 1.5 * told.knee
    times = poisson(rate, TERM_AFTER_S + 2.0, 0)
    requests = [
        server.request(told.sentences[n % len(told.sentences)], X_Request_Id=f"n{n}")
        for n in range(len(times))
    ]
    with running(server, told.server_cores, told.sentences[0]) as found:
        timer = threading.Timer(TERM_AFTER_S, found.send_signal, (signal.SIGTERM,))
        timer.start()
        load = Load(times=times, requests=requests, patience_s=60.0)
        outcome = asyncio.run(run(load, found.port))
        code = found.process.wait(60)
        lines = found.log.read_text(errors="replace").splitlines()
    logged = {}
    for line in lines:
        if line.startswith("{"):
            entry = json.loads(line)
            if re.fullmatch(r"n\d+", entry["id"]):
                logged[int(entry["id"][1:])] = entry["status"]
    let_in = [number for number, status in logged.items() if status not in (503, 429)]
    answered = [number for number in let_in if outcome.statuses[number] == 200]
    unlogged = [n for n, status in enumerate(outcome.statuses) if status > 0 and n not in logged]
    waited = [n for n in answered if times[n] < TERM_AFTER_S < times[n] + outcome.latencies[n]]
    early = [
        n for n, status in enumerate(outcome.statuses) if status < 200 and times[n] < TERM_AFTER_S
    ]
    row: dict[str, object] = {
        "rate": round(rate, 1),
        "requests": len(times),
        "statuses": statuses_of(outcome),
        "let_in": len(let_in),
        "let_in_and_answered": len(answered),
        "under_way_at_the_signal": len(waited),
        "refused_before_the_signal": len(early),
        "exit_code": code,
    }
    row["ok"] = {
        "all that was let in is answered": len(let_in) == len(answered) > 0 and not unlogged,
        "nothing is lost half-way": LOST not in outcome.statuses,
        "the rest is refused": set(outcome.statuses) <= {200, 429, 503, -1},
        "exit code 0": code == 0,
    }
    return row


def wrk(told: argparse.Namespace) -> dict[str, object]:
    if not shutil.which("wrk"):
        return {"skipped": "wrk is not installed (apt-get install wrk)", "ok": {}}
    bodies = [json.dumps({"text": text}) for text in told.sentences]
    script = (
        "local bodies = {"
        + ",".join(f"[==[{body}]==]" for body in bodies)
        + "}\nlocal n = 0\nrequest = function()\n  n = n % #bodies + 1\n"
        '  return wrk.format("POST", "/predict", {["Content-Type"]="application/json"}, bodies[n])'
        "\nend\n"
    )
    server = ours(told.bundle)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "post.lua"
        path.write_text(script)
        with running(server, told.server_cores, told.sentences[0]) as found:
            one_client(found, [server.request(text) for text in told.sentences[:100]])
            seconds = max(round(told.seconds / 3), 2)
            cores = ",".join(map(str, told.own_cores))
            command = ["taskset", "-c", cores, "wrk", "-t1", f"-c{CLIENTS}", f"-d{seconds}s"]
            command += ["--latency", "-s", str(path), f"http://127.0.0.1:{found.port}"]
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    number = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert number, output
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    errors = re.search(r"Socket errors: (.*)", output)
    shares = dict(re.findall(r"^\s+(50|90|99)%\s+(\S+)$", output, re.MULTILINE))
    return {
        "clients": CLIENTS,
        "seconds": seconds,
        "answers_per_second": float(number[1]),
        "latency": shares,
        "ok": {"every request is answered with 200": not bad and not errors},
    }


def soak(told: argparse.Namespace) -> dict[str, object]:
    server = ours(told.bundle)
    with running(server, told.server_cores, told.sentences[0]) as found:
        requests = [server.request(text) for text in told.sentences]
        one_client(found, requests[:200])
        memory, failed, part = [found.resident_mib()], 0, max(told.requests // 20, 1)
        began = time.perf_counter()
        for number in range(20):
            load = Load(
                times=[0.0] * part,
                requests=cycle(requests, part),
                most_connections=CLIENTS,
                patience_s=3600.0,
            )
            outcome = asyncio.run(run(load, found.port))
            failed += sum(status != 200 for status in outcome.statuses)
            memory.append(found.resident_mib())
            say(f"  {(number + 1) * part:,} requests, {memory[-1]:.1f} MiB")
        seconds = time.perf_counter() - began
    grew = max(memory[3:]) / memory[2]
    return {
        "requests": 20 * part,
        "answers_per_second": round(20 * part / seconds, 1),
        "memory_mib": [round(each, 1) for each in memory],
        "memory_growth": round(grew, 4),
        "ok": {"every request is answered": failed == 0, "memory flat": grew <= FLAT},
    }


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, object]]] = {
    "overload": overload,
    "long": long,
    "reload": reload,
    "sigterm": sigterm,
    "wrk": wrk,
    "soak": soak,
}


def statuses_of(outcome: Outcome) -> dict[str, int]:
    names = {0: "lost", -1: "connection refused or closed", -2: "not sent"}
    return {names.get(each, str(each)): count for each, count in outcome.counts().items()}


def metric(found: Running, name: str) -> float:
    """Return the sum of a counter of /metrics."""
    lines = found.get("/metrics").splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name}{{"))


@contextlib.contextmanager
def watched_memory(found: Running) -> Iterator[list[float]]:
    """Note the server's resident memory in MiB, twice a second."""
    memory = [found.resident_mib()]

    def watch(over: threading.Event) -> None:
        while not over.wait(0.5):
            memory.append(found.resident_mib())

    with beside(watch):
        yield memory


def growth(memory: Sequence[float]) -> float:
    """Return how many times as large it is at the end as after a sixth, when all is warm."""
    return statistics.median(memory[-5:]) / memory[len(memory) // 6]


@contextlib.contextmanager
def closed_client(found: Running, text: str | None) -> Iterator[list[int]]:
    """Send a text again and again, one at a time; yields how often."""
    count = [0]

    def send(over: threading.Event) -> None:
        while not over.is_set() and text is not None:
            ask(found.port, found.server, text)
            count[0] += 1

    with beside(send):
        yield count


@contextlib.contextmanager
def beside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Do work in a thread for the time of the block, whose end the event tells it."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def make_long(bundle: Path, sentences: Sequence[str], tokens: int) -> str:
    """Join sentences until they have so many tokens."""
    with bertedge.load(bundle, device="cpu") as predictor:
        joined, found = [], 0
        for sentence in cycle(list(sentences), 10 * len(sentences)):
            joined.append(sentence)
            found += len(predictor.tokenizer.encode([sentence])[0].ids) - 2
            if found >= tokens:
                break
    return " ".join(joined)


def swapped_bundle(checkpoint: Path, work: Path) -> Path:
    """Export the same weights with the names of the labels the other way round, once."""
    bundle, copy = work / "swapped-bundle", work / "swapped"
    if bundle.exists():
        return bundle
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(checkpoint, copy, ignore=shutil.ignore_patterns("training*"))
    config = json.loads((copy / "config.json").read_text())
    labels = [config["id2label"][str(number)] for number in range(len(config["id2label"]))][::-1]
    config["id2label"] = {str(number): label for number, label in enumerate(labels)}
    config["label2id"] = {label: number for number, label in enumerate(labels)}
    (copy / "config.json").write_text(json.dumps(config))
    command = [
        sys.executable,
        "-m",
        "bertedge",
        "export",
        str(copy),
        "--output",
        str(bundle),
        "--quantize",
    ]
    subprocess.run(command, check=True, stdout=sys.stderr)
    open_bundle(bundle)
    return bundle


def point_to(place: Path, bundle: Path) -> None:
    """Make a link to a bundle, in one step."""
    made = place.with_name(f"{place.name}-new")
    made.unlink(missing_ok=True)
    made.symlink_to(bundle)
    os.replace(made, place)


if __name__ == "__main__":
    main()
