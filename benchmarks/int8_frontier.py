"""Every recipe of int8: agreement with the checkpoint and metric on test data, against time.

usage: python benchmarks/int8_frontier.py CHECKPOINTS SHARED_DATA WORK [SET …]

CHECKPOINTS holds the folders that benchmarks/finetune_bars.py leaves, one a set. The recipe that
`export --quantize` would choose is chosen on the dev file; all figures are of the test file.
Times are ratios to plain dynamic int8: one process an engine, taking turns, medians of rounds.
Adds the sets to benchmarks/int8.json.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RESULT = HERE / "int8.json"
GRID = ((1, 16), (1, 128), (8, 128))
ROUNDS = 7
TURN_S = 0.5
FP32 = "fp32"


def child(path: str) -> None:
    """Answer each line "BATCH LENGTH" with the median milliseconds of the runs of a turn."""
    import numpy as np

    from bertedge.runtime.batching import Batch
    from bertedge.runtime.session import Session

    engine = Session.open(Path(path), optimized=True)
    print("ready", flush=True)
    for line in sys.stdin:
        ids = np.random.default_rng(0).integers(1000, 20000, tuple(map(int, line.split())))
        batch = Batch(
            input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=np.zeros_like(ids)
        )
        engine.logits(batch)
        samples = []
        end = time.perf_counter() + TURN_S
        while len(samples) < 3 or time.perf_counter() < end:
            began = time.perf_counter()
            engine.logits(batch)
            samples.append((time.perf_counter() - began) * 1000)
        print(statistics.median(samples), flush=True)


def make_graphs(checkpoint, examples, folder: Path):
    """Make what every recipe ships in `folder`."""
    from transformers import AutoConfig

    from bertedge.export import ExportConfig, export
    from bertedge.export.calibration import gather
    from bertedge.export.final import Candidate, finish
    from bertedge.export.recipes import RECIPES, Workshop
    from bertedge.export.target import this_machine

    bundle = folder / FP32
    export(ExportConfig(checkpoint=str(checkpoint.folder), output=bundle, max_drop=100.0))
    candidate = Candidate(path=bundle / "cpu-fp32.onnx", precision="fp32", passes=())
    floats = finish(candidate, folder / "finished")
    shop = Workshop(
        floats,
        AutoConfig.from_pretrained(checkpoint.folder),
        lambda: gather(checkpoint, examples, pair=checkpoint.pair),
        this_machine(),
        folder,
    )
    return {name: shop.make(name).shipped for name in (*RECIPES, FP32)}


def measure_times(graphs) -> dict[str, dict[str, float]]:
    """Give the time of each graph as a multiple of plain dynamic's, for each shape."""
    workers = {name: start(each.folder / each.unpadded.file) for name, each in graphs.items()}
    times: dict[str, dict[str, float]] = {name: {} for name in graphs}
    order = list(graphs)
    for shape in GRID:
        rounds: dict[str, list[float]] = {name: [] for name in graphs}
        for _ in range(ROUNDS):
            for name in order:
                rounds[name].append(ask(workers[name], shape))
            order.append(order.pop(0))
        for name, taken in rounds.items():
            ratios = [t / base for t, base in zip(taken, rounds["dynamic"], strict=True)]
            times[name]["{}x{}".format(*shape)] = round(statistics.median(ratios), 3)
    for worker in workers.values():
        worker.communicate()
    return times


def start(path: Path) -> subprocess.Popen:
    command = [sys.executable, str(Path(__file__)), "child", str(path)]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if worker.stdout.readline() != "ready\n":
        sys.exit(f"{path} did not open")
    return worker


def ask(worker: subprocess.Popen, shape: tuple[int, int]) -> float:
    worker.stdin.write("{} {}\n".format(*shape))
    worker.stdin.flush()
    return float(worker.stdout.readline())


def measure_set(name: str, folder: Path, shared: Path, work: Path) -> dict:
    """Make, label and time every recipe of one set's checkpoint."""
    from finetune_bars import SETS

    from bertedge import evaluation
    from bertedge.bundle import Rung
    from bertedge.checkpoint import open_checkpoint
    from bertedge.evaluation import Labeller
    from bertedge.examples import Columns, open_examples
    from bertedge.export.config import ExportConfig
    from bertedge.export.ladder import LADDER, LEAST_AGREEMENT, choose

    checkpoint = open_checkpoint(str(folder))
    columns = Columns(**SETS[name].columns)
    files = {}
    for split in ("dev", "test"):
        path = shared / getattr(SETS[name], split)
        path = path if path.exists() else path.with_name(path.name + ".gz")
        files[split] = open_examples(path, checkpoint.task, columns, pair=checkpoint.pair)
    work.mkdir(parents=True)
    graphs = make_graphs(checkpoint, files["dev"], work)
    results: dict[str, dict] = {}
    for split, examples in files.items():
        labellings = {}
        for recipe in (FP32, *(each for each in graphs if each != FP32)):
            engine = graphs[recipe].open()
            labeller = Labeller.of(checkpoint, checkpoint.tokenizer_json, engine)
            labellings[recipe] = evaluation.run(labeller, examples)
            found = labellings[recipe]
            results.setdefault(recipe, {})[split] = {
                "metric": round(found.scores.value, 5),
                "agreement": round(evaluation.agreement(labellings[FP32], found), 5),
            }
            print(name, split, recipe, results[recipe][split], flush=True)
    budget = ExportConfig(checkpoint=str(folder), output=work)
    best = results[FP32]["dev"]["metric"]
    rungs: list[Rung] = []
    for recipe in LADDER:
        dev = results[recipe]["dev"]
        kept = 100 * (best - dev["metric"]) <= budget.max_drop
        rungs.append(
            Rung(
                recipe=recipe,
                relative_time=1.0,
                max_difference=0.0,
                rms_difference=0.0,
                metric=dev["metric"],
                agreement=dev["agreement"],
                invariance=None,
                passed=kept and dev["agreement"] >= LEAST_AGREEMENT,
            )
        )
        taken = choose(budget, rungs)
        if taken is not None:
            break
    chosen = LADDER[taken]
    times = measure_times(graphs)
    for recipe, row in results.items():
        row["times"] = times[recipe]
    print(name, "chosen:", chosen, json.dumps(times), flush=True)
    return {"metric": found.scores.metric, "chosen": chosen, "recipes": results}


def summarize(sets: dict[str, dict]) -> dict[str, dict]:
    """Average each recipe, and what was chosen, over the sets."""
    recipes = [*next(iter(sets.values()))["recipes"], "chosen"]
    summary = {}
    for recipe in recipes:
        rows = [s["recipes"][s["chosen"] if recipe == "chosen" else recipe] for s in sets.values()]
        floats = [s["recipes"][FP32] for s in sets.values()]
        drops = [
            100 * (f["test"]["metric"] - r["test"]["metric"])
            for f, r in zip(floats, rows, strict=True)
        ]
        summary[recipe] = {
            "agreement_mean": round(statistics.mean(r["test"]["agreement"] for r in rows), 5),
            "agreement_least": min(r["test"]["agreement"] for r in rows),
            "points_lost_mean": round(statistics.mean(drops), 3),
            "times_worst": {
                shape: max(r["times"][shape] for r in rows) for shape in rows[0]["times"]
            },
        }
    return summary


def main(checkpoints: str, shared: str, work: str, *names: str) -> None:

    from provenance import provenance

    record = json.loads(RESULT.read_text()) if RESULT.exists() else {"sets": {}}
    for name in names or ("sst2", "banking77", "mrpc", "conll2003_en"):
        record["sets"][name] = measure_set(
            name, Path(checkpoints) / name, Path(shared), Path(work) / name
        )
        record |= {
            **provenance(__file__, "onnxruntime", "optimum-onnx"),
            "summary": summarize(record["sets"]),
        }
        RESULT.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record["summary"], indent=2))


if __name__ == "__main__":
    if sys.argv[1] == "child":
        child(sys.argv[2])
    else:
        main(*sys.argv[1:])
