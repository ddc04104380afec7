"""Every recipe of int8: agreement with the checkpoint and metric on test data, against time.

usage: python benchmarks/int8_frontier.py label CHECKPOINTS SHARED_DATA WORK [SET …]
       python benchmarks/int8_frontier.py time WORK [SET]

CHECKPOINTS holds the folders that benchmarks/finetune_bars.py leaves, one a set, and those trained
with `--quantization-aware` as SET-aware. `label` needs no quiet machine: it leaves the graphs in
WORK, one folder a set, tells which recipe `export --quantize` takes by the dev file, and reports
every recipe on the test file. `time` compares the graphs that it left of one set (the recipes are
alike in all of them): one process an engine, taking turns, medians of rounds, ratios to plain
dynamic int8. Both write benchmarks/int8.json.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
RESULT = HERE / "int8.json"
NAMES = ("sst2", "banking77", "mrpc", "conll2003_en")
GRID = ((1, 16), (1, 128), (8, 128))
ROUNDS = 9
TURN_S = 0.3
FP32 = "fp32"
CHOSEN, INVARIANT = "chosen", "chosen, --invariant"


def label_set(name: str, folder: Path, shared: Path, work: Path) -> dict:
    """Make every recipe of a set's checkpoint, and label the dev and the test file with each."""
    from data_sets import SETS, find_files

    from bertedge.checkpoint import open_checkpoint
    from bertedge.examples import Columns, open_examples
    from bertedge.export.texts import parity_batches

    checkpoint = open_checkpoint(str(folder))
    data = SETS[name.removesuffix("-aware")]
    found = find_files(data, shared, work)
    columns = Columns(**data.columns)
    files = {
        split: open_examples(found[split], checkpoint.task, columns, pair=checkpoint.pair)
        for split in ("dev", "test")
    }
    graphs = make_graphs(checkpoint, files["dev"], work)
    batches = parity_batches(checkpoint, files["dev"], pair=checkpoint.pair)
    recipes: dict[str, dict] = {
        recipe: {"moves": move(graphs[recipe].open(), batches)} for recipe in graphs
    }
    for split, examples in files.items():
        exact = None
        for recipe, shipped in graphs.items():
            labelling, logits = label(checkpoint, examples, shipped.open())
            if exact is None:
                exact = labelling, logits
            recipes[recipe][split] = compare(labelling, logits, *exact)
            print(name, split, recipe, recipes[recipe][split], flush=True)
    rows = sum(1 for _ in files["dev"])
    row = {"metric": labelling.scores.metric, "dev_rows": rows, "recipes": recipes}
    row[CHOSEN] = choose_from(recipes, rows, invariant=False)
    row[INVARIANT] = choose_from(recipes, rows, invariant=True)
    print(name, row[CHOSEN], row[INVARIANT], flush=True)
    return row


def make_graphs(checkpoint, examples, work: Path):
    """Make what every recipe ships in `work`, the float graph first."""
    import onnx

    from bertedge.checkpoint import load_model
    from bertedge.export.calibration import gather
    from bertedge.export.config import OPSETS
    from bertedge.export.final import Candidate, finish
    from bertedge.export.fuse import fuse, infer_shapes
    from bertedge.export.graph import export_graph
    from bertedge.export.passes import run_passes
    from bertedge.export.recipes import RECIPES, Workshop
    from bertedge.export.target import this_machine

    fused = work / FP32
    fused.mkdir(parents=True)
    model = load_model(checkpoint)
    exported = export_graph(model, work / "exported", task=checkpoint.task, opset=OPSETS[0])
    graph = fuse(exported, model.config, work / "fused")
    run_passes(graph.model, pair=checkpoint.pair)
    path = fused / "cpu-fp32.onnx"
    onnx.save(infer_shapes(graph.model, work), path)
    floats = finish(Candidate(path=path, precision="fp32", passes=()), fused / "shipped")
    shop = Workshop(
        floats,
        model.config,
        lambda: gather(checkpoint, examples, pair=checkpoint.pair),
        this_machine(),
        work,
    )
    return {name: shop.make(name).shipped for name in (FP32, *RECIPES)}


def move(engine, batches) -> float:
    """Tell how far a text's logits move with its batch, as a share of their spread."""
    from bertedge.export.verify import ask, variance

    return float(f"{variance(ask(engine, batches), engine):.2g}")


def label(checkpoint, examples, engine):
    from bertedge import evaluation
    from bertedge.export.accuracy import Recorder

    recorder = Recorder(engine)
    labeller = evaluation.Labeller.of(checkpoint, checkpoint.tokenizer_json, recorder)
    return evaluation.run(labeller, examples), recorder.all()


def compare(labelling, logits, exact_labelling, exact_logits) -> dict[str, float]:
    from bertedge import evaluation
    from bertedge.export.accuracy import rms

    return {
        "metric": round(labelling.scores.value, 5),
        "agreement": round(evaluation.agreement(exact_labelling, labelling), 5),
        "labels": len(labelling.predicted),
        "rms": round(rms(exact_logits, logits), 5),
    }


def choose_from(recipes: dict[str, dict], rows: int, *, invariant: bool) -> str:
    """Walk the ladder as `export --quantize` does, on the figures of the dev file."""
    from bertedge.bundle import Rung
    from bertedge.export.config import ExportConfig
    from bertedge.export.ladder import INVARIANCE, agrees, choose, plan

    budget = ExportConfig(checkpoint="", output=Path(), quantize=True, invariant=invariant)
    rungs: list[Rung] = []
    for recipe in plan(budget, labelled=True):
        dev, moves = recipes[recipe]["dev"], recipes[recipe]["moves"]
        lost = 100 * (recipes[FP32]["dev"]["metric"] - dev["metric"])
        kept = lost <= budget.max_drop and agrees(budget, dev["agreement"], rows)
        rungs.append(
            Rung(
                recipe=recipe,
                relative_time=1.0,
                max_difference=dev["rms"],
                rms_difference=dev["rms"],
                metric=dev["metric"],
                agreement=dev["agreement"],
                invariance=moves if invariant else None,
                passed=kept and (not invariant or moves <= INVARIANCE),
            )
        )
        taken = choose(budget, rungs, rows=rows)
        if taken is not None:
            return rungs[taken].recipe
    sys.exit("no rung passes")


def measure_times(work: Path) -> dict[str, dict[str, float]]:
    """Give the time of each graph as a multiple of plain dynamic's, for each shape."""
    files = sorted(work.glob("*/shipped/cpu-*-unpadded.onnx"))
    graphs = {path.parents[1].name: path for path in files}
    workers = {name: start(path) for name, path in graphs.items()}
    times: dict[str, dict[str, float]] = {name: {} for name in graphs}
    order = list(graphs)
    for shape in GRID:
        rounds: dict[str, list[float]] = {name: [] for name in graphs}
        for _ in range(ROUNDS):
            for name in order:
                rounds[name].append(ask_worker(workers[name], shape))
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


def ask_worker(worker: subprocess.Popen, shape: tuple[int, int]) -> float:
    worker.stdin.write("{} {}\n".format(*shape))
    worker.stdin.flush()
    return float(worker.stdout.readline())


def child(path: str) -> None:
    """Answer each line "BATCH LENGTH" with the median milliseconds of the runs of a turn."""
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


def summarize(sets: dict[str, dict]) -> dict[str, dict]:
    """Average each recipe, and what was chosen, over the sets."""
    summary = {}
    for recipe in (*next(iter(sets.values()))["recipes"], CHOSEN, INVARIANT):
        rows = [row["recipes"][row.get(recipe, recipe)] for row in sets.values()]
        floats = [row["recipes"][FP32]["test"]["metric"] for row in sets.values()]
        drops = [
            100 * (exact - row["test"]["metric"]) for exact, row in zip(floats, rows, strict=True)
        ]
        summary[recipe] = {
            "agreement_mean": round(statistics.mean(r["test"]["agreement"] for r in rows), 5),
            "agreement_least": min(r["test"]["agreement"] for r in rows),
            "points_lost_mean": round(statistics.mean(drops), 3),
            "moves_most": max(r["moves"] for r in rows),
        }
    return summary


def main(what: str, *arguments: str) -> None:
    from provenance import provenance

    if what == "time":
        work, name = Path(arguments[0]), (*arguments[1:], "banking77")[0]
        times = {"set": name, "ratios": measure_times(work / name)}
        write(read() | {"times": times} | provenance(__file__, "onnxruntime", "optimum-onnx"))
        return
    checkpoints, shared, work = (Path(argument).absolute() for argument in arguments[:3])
    for name in arguments[3:] or NAMES:
        row = label_set(name, checkpoints / name, shared, work / name)
        record = read()
        record["aware" if name.endswith("-aware") else "sets"][name] = row
        record["summary"] = {k: summarize(record[k]) for k in ("sets", "aware") if record[k]}
        write(record | provenance(__file__, "onnxruntime", "optimum-onnx"))


def read() -> dict:
    return json.loads(RESULT.read_text()) if RESULT.exists() else {"sets": {}, "aware": {}}


def write(record: dict) -> None:
    RESULT.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    child(sys.argv[2]) if sys.argv[1] == "child" else main(*sys.argv[1:])
