"""A table of a million rows: its rate beside the predictor's own, its memory, and ten kills.

usage: python benchmarks/tables.py BUNDLE DATA [--rows N] [--rows-per-shard N] [--work DIR]

Repeats the texts of DATA (any file that `predict` reads) to a Parquet file of N rows (a million) in
DIR, and measures, each step once and kept in DIR, so that the same command goes on:

- the predictor's own texts/s: `predict_iter` over a tenth of the texts, before and after the rest
- `bertedge predict` of the table, local and `--engine ray`: rate, and the memory of its processes
- the local command again where all is there: what a start costs
- the local command killed ten times and started again: its files beside the undisturbed run's

Writes benchmarks/tables.json; the exit code is 1 where a rate a core is below 90 % of the
predictor's own, memory passed a bound, or files differ.
"""

import argparse
import filecmp
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from provenance import provenance

import bertedge
from bertedge.data import Columns, open_examples
from bertedge.runtime.machine import cores
from bertedge.spec import Task

RESULT = Path(__file__).with_suffix(".json")
EVERY_S = 0.25
KILLS = 10
LEAST_SHARE = 0.9
"""Of the predictor's own rate."""
BOUND_MIB = 700
ROW_GROUP = 50_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rows-per-shard", type=int, default=20_000)
    parser.add_argument("--work", type=Path, default=Path("runs/tables"))
    parser.add_argument("--output", type=Path, default=RESULT)
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    steps = Steps(told.work / "steps.json", f"{told.bundle} {told.data} {told.rows}")
    table = told.work / "table.parquet"
    command = [sys.executable, "-m", "bertedge", "predict", str(told.bundle)]
    command += ["--input", str(table), "--rows-per-shard", str(told.rows_per_shard)]
    whole, by_ray, killed = (told.work / name for name in ("whole", "ray", "killed"))
    ray = [*command, "--engine", "ray", "--actors", str(cores()), "--output", str(by_ray)]
    local = [*command, "--output", str(whole)]

    steps.run("table", lambda: write_table(table, told.data, told.rows))
    steps.run("before", lambda: own_rate(told.bundle, table, told.rows // 10))
    steps.run("local", lambda: measure(local, whole, told.rows))
    steps.run("again", lambda: measure(local, None, told.rows))
    steps.run("ray", lambda: measure(ray, by_ray, told.rows))
    steps.run("after", lambda: own_rate(told.bundle, table, told.rows // 10))
    steps.run("killed", lambda: kill(command, killed, whole))

    done = steps.done
    own = statistics.mean(done[name]["texts_per_second"] for name in ("before", "after"))
    for engine in ("local", "ray"):
        done[engine]["of_predictor"] = round(done[engine]["texts_per_second"] / own, 3)
    record = provenance(__file__, "onnxruntime", "tokenizers", "pyarrow", "ray") | {
        "rows": told.rows,
        "rows_per_shard": told.rows_per_shard,
        "predictor": {"texts_per_second": round(own), "per_core": round(own / cores())},
        **{name: done[name] for name in ("table", "local", "again", "ray", "killed")},
    }
    told.output.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))
    good = done["killed"]["same_files"] and done["killed"]["kills"] == KILLS
    good &= done["local"]["of_predictor"] >= LEAST_SHARE
    good &= max(done[name]["process_mib"] for name in ("local", "ray")) < BOUND_MIB
    return 0 if good else 1


class Steps:
    """What was measured so far, of one bundle, file and number of rows."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        held = json.loads(path.read_text()) if path.exists() else {"what": what, "done": {}}
        if held["what"] != what:
            sys.exit(f"{path} is of {held['what']}; give another --work, or delete the folder")
        self.what, self.done = what, held["done"]

    def run(self, name: str, step: Callable[[], dict[str, float]]) -> None:
        if name not in self.done:
            print(f"{name} …", file=sys.stderr, flush=True)
            self.done[name] = step()
            self.path.write_text(json.dumps({"what": self.what, "done": self.done}, indent=2))
        print(f"{name}: {self.done[name]}", file=sys.stderr, flush=True)


def write_table(path: Path, data: Path, rows: int) -> dict[str, float]:
    examples = open_examples(data, Task.TEXT_CLASSIFICATION, Columns())
    texts = itertools.cycle([example.text for example in examples])
    schema = pa.schema({"id": pa.int64(), "text": pa.string()})
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, rows, ROW_GROUP):
            ids = range(first, min(first + ROW_GROUP, rows))
            part = {"id": ids, "text": list(itertools.islice(texts, len(ids)))}
            writer.write_table(pa.table(part, schema))
    return {"rows": rows, "bytes": path.stat().st_size}


def own_rate(bundle: Path, table: Path, rows: int) -> dict[str, float]:
    """Return the texts/s of `predict_iter`, opened and warm, from texts in memory."""
    texts = pq.read_table(table, columns=["text"])["text"][:rows].to_pylist()
    with bertedge.load(bundle) as model:
        model.predict(texts[:2_000])
        began = time.perf_counter()
        count = sum(1 for _ in model.predict_iter(texts))
        seconds = time.perf_counter() - began
    return {"texts_per_second": round(count / seconds, 1)}


def measure(command: list[str], output: Path | None, rows: int) -> dict[str, float]:
    """Run a command to its end, from start to exit, beginning anew where `output` is given."""
    if output is not None:
        shutil.rmtree(output, ignore_errors=True)
    most: dict[str, float] = {"process": 0.0, "together": 0.0}
    began = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            held = memory(watched)
            most["process"] = max(most["process"], *held, 0.0)
            most["together"] = max(most["together"], sum(held))
            time.sleep(EVERY_S)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    seconds = time.perf_counter() - began
    return {
        "seconds": round(seconds, 2),
        "texts_per_second": round(rows / seconds, 1),
        "process_mib": round(most["process"], 1),
        "together_mib": round(most["together"], 1),
    }


def memory(process: psutil.Process) -> list[float]:
    """Return the resident MiB of a process and of those below it that predict."""
    found = [0.0, 0.0]
    try:
        for each in (process, *process.children(recursive=True)):
            if each == process or "_Scorer" in " ".join(each.cmdline()):
                found.append(each.memory_info().rss / 2**20)
    except psutil.NoSuchProcess:
        pass
    return found


def kill(command: list[str], output: Path, whole: Path) -> dict[str, float]:
    """Kill the command ten times on its way, let it end, and compare its files."""
    shutil.rmtree(output, ignore_errors=True)
    command = [*command, "--output", str(output)]
    shards, kills = len(list(whole.glob("part-*"))), 0
    for number in range(1, KILLS + 1):
        wanted = number * shards // (KILLS + 1)
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and len(list(output.glob("part-*"))) < wanted:
                time.sleep(0.02)
            time.sleep(0.3)  # into a shard
            process.kill()
        kills += process.returncode < 0
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    names = sorted(path.name for path in whole.iterdir())
    same, other, lost = filecmp.cmpfiles(whole, output, names, shallow=False)
    more = {path.name for path in output.iterdir()} - set(names)
    ids = pq.read_table(output, columns=["id"])["id"]
    in_order = ids.equals(pa.chunked_array([range(len(ids))], ids.type))
    equal = len(same) == len(names) and not (other or lost or more) and in_order
    return {"kills": kills, "files": len(names), "same_files": equal}


if __name__ == "__main__":
    sys.exit(main())
