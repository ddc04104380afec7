"""Every recipe of int8: agreement with the checkpoint and metric on test data, against time.

usage: python benchmarks/int8_frontier.py label CHECKPOINTS SHARED_DATA WORK [SET …]
       python benchmarks/int8_frontier.py batches CHECKPOINTS SHARED_DATA WORK [SET …]
       python benchmarks/int8_frontier.py choose
       python benchmarks/int8_frontier.py time WORK BUNDLE [SET]

CHECKPOINTS holds the folders that benchmarks/finetune_bars.py leaves, one a set, and those trained
with `--quantization-aware` as SET-aware. `label` needs no quiet machine: it leaves the graphs in
WORK, one folder a set, tells which recipe `export --quantize` takes by the dev file, and reports
every recipe on the test file. `batches` counts the test texts whose answer changes between one by
one and batches of several token budgets, with the recipe that is taken by default, with the one
that `--batch-effects allow` takes and with plain `dynamic`; it needs no quiet machine either.
`choose` repeats the choice on the recorded figures. `time` compares the graphs that `label` left of
one set (the recipes are alike in all of them), ratios to plain dynamic int8; BUNDLE, of the same
checkpoint, gives the tokens. All write benchmarks/int8.json.
"""

import dataclasses
import itertools
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from engines import GRAPH, engine, grid, ratios_to, take_turns

from bertedge.bundle import open_bundle
from bertedge.export import BatchEffects
from bertedge.export.config import INDEPENDENT_RECIPES, RECIPES

HERE = Path(__file__).parent
RESULT = HERE / "int8.json"
NAMES = ("sst2", "banking77", "mrpc", "conll2003_en")
GRID = ((1, 16), (1, 128), (8, 128))
ROUNDS = 9
TURN_S = 0.3
FP32, DYNAMIC = "fp32", "dynamic"
CHOSEN, ALLOWED = "chosen", "chosen, batch effects allowed"
TOKEN_BUDGETS = (128, 512, 2048)
MOST_TEXTS = 500
"""Of a test file, that `batches` answers."""


def label_set(name: str, folder: Path, shared: Path, work: Path) -> dict:
    """Make every recipe of a set's checkpoint, and label the dev and the test file with each."""
    from data_sets import SETS, find_files

    from bertedge.checkpoint import open_checkpoint
    from bertedge.data import Columns, open_examples
    from bertedge.export.parity_inputs import parity_batches

    checkpoint = open_checkpoint(str(folder))
    data = SETS[name.removesuffix("-aware")]
    found = find_files(data, shared, work)
    columns = Columns(**data.columns)
    files = {
        split: open_examples(
            found[split], checkpoint.model.task, columns, pair=checkpoint.model.pair
        )
        for split in ("dev", "test")
    }
    graphs = make_graphs(checkpoint, files["dev"], work, RECIPES)
    batches = parity_batches(checkpoint, files["dev"], pair=checkpoint.model.pair)
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
    row |= choose_both(row)
    print(name, row[CHOSEN], row[ALLOWED], flush=True)
    return row


def choose_both(row: dict) -> dict[str, str]:
    return {
        name: choose_from(row, effects)
        for name, effects in ((CHOSEN, BatchEffects.AVOID), (ALLOWED, BatchEffects.ALLOW))
    }


def count_changes(
    name: str, folder: Path, shared: Path, work: Path, recipes: Sequence[str]
) -> dict:
    """Count the test texts whose answer is another one in batches than alone, by recipe."""
    from data_sets import SETS, find_files

    from bertedge import evaluation
    from bertedge.checkpoint import open_checkpoint
    from bertedge.data import Columns, open_examples

    checkpoint = open_checkpoint(str(folder))
    found = find_files(SETS[name], shared, work)
    dev, test = (
        open_examples(
            found[split],
            checkpoint.model.task,
            Columns(**SETS[name].columns),
            pair=checkpoint.model.pair,
        )
        for split in ("dev", "test")
    )
    texts = list(itertools.islice(test, MOST_TEXTS))
    graphs = make_graphs(checkpoint, dev, work, recipes)

    def answer(recipe: str, budget: int) -> list[np.ndarray]:
        engine = graphs[recipe].open()
        labeller = evaluation.TextModel.of(checkpoint.model, checkpoint.tokenizer_json, engine)
        labeller = dataclasses.replace(labeller, token_budget=budget)
        return evaluation.predict_each(labeller, texts, test.path)

    exact = answer(FP32, 1)
    rows = {}
    for recipe in recipes:
        alone = answer(recipe, 1)
        changed = {budget: differ(alone, answer(recipe, budget)) for budget in TOKEN_BUDGETS}
        rows[recipe] = {
            "texts": len(texts),
            "trained_epochs": epochs_of(folder),
            "changed": {str(budget): int(each.sum()) for budget, each in changed.items()},
            "changed_in_any": int(np.any(list(changed.values()), axis=0).sum()),
            "differ_from_fp32": int(differ(exact, alone).sum()),
        }
        print(name, recipe, rows[recipe], flush=True)
    return rows


def epochs_of(folder: Path) -> float:
    """Return how long a checkpoint was trained, which may be one that its run saved on the way."""
    name = "training.json" if (folder / "training.json").exists() else "trainer_state.json"
    record = json.loads((folder / name).read_text())
    return float(record["epochs" if "epochs" in record else "epoch"])


def differ(one: list[np.ndarray], other: list[np.ndarray]) -> np.ndarray:
    return np.array([not np.array_equal(*pair) for pair in zip(one, other, strict=True)])


def make_graphs(checkpoint, examples, work: Path, recipes: Sequence[str]):
    """Make what recipes ship in `work`, the float graph first."""
    from bertedge.checkpoint import load_model
    from bertedge.export.config import OPSETS, this_machine
    from bertedge.export.graph.fusion import fuse, infer_shapes
    from bertedge.export.graph.passes import run_passes
    from bertedge.export.graph.serialize import SavedGraph, finish
    from bertedge.export.graph.torch_export import export_graph
    from bertedge.export.graph.values import save
    from bertedge.export.quantization.calibration import gather
    from bertedge.export.quantization.recipes import QuantizationContext

    fused = work / FP32
    fused.mkdir(parents=True)
    model = load_model(checkpoint)
    exported = export_graph(model, work / "exported", task=checkpoint.model.task, opset=OPSETS[0])
    graph = fuse(exported, model.config, work / "fused")
    run_passes(graph.model, pair=checkpoint.model.pair)
    path = fused / "cpu-fp32.onnx"
    save(infer_shapes(graph.model, work), path)
    floats = finish(SavedGraph(path=path, precision="fp32", passes=()), fused / "shipped")
    context = QuantizationContext(
        floats,
        model.config,
        lambda: gather(checkpoint, examples, pair=checkpoint.model.pair),
        this_machine(),
        work,
    )
    return {name: context.make(name) for name in (FP32, *recipes)}


def move(engine, batches) -> float:
    """Tell how far a text's logits move with its batch, as a share of their spread."""
    from bertedge.export.verify import batch_variation, record_logits

    return float(f"{batch_variation(record_logits(engine, batches), engine):.2g}")


def label(checkpoint, examples, engine):
    from bertedge import evaluation
    from bertedge.export.accuracy import Recorder

    recorder = Recorder(engine)
    labeller = evaluation.TextModel.of(checkpoint.model, checkpoint.tokenizer_json, recorder)
    return evaluation.evaluate(labeller, examples), recorder.all()


def compare(labelling, logits, exact_labelling, exact_logits) -> dict[str, float]:
    from bertedge import evaluation
    from bertedge.export.verify import rms

    same = evaluation.compare_predictions(exact_labelling, labelling)
    return {
        "metric": round(labelling.scores.value, 5),
        "agreement": round(same.value, 5),
        "count": same.count,
        "texts_agree": None if same.texts is None else round(same.texts, 5),
        "words_agree": None if same.words is None else round(same.words, 5),
        "labels": len(labelling.predicted),
        "rms": round(rms(exact_logits, logits), 5),
    }


def choose_from(row: dict, effects: BatchEffects) -> str:
    """Search the recipes as `export --quantize` does, by the figures of the dev file."""
    from bertedge.bundle import Trial
    from bertedge.export import ExportConfig
    from bertedge.export.bounds import agrees
    from bertedge.export.config import BATCH_TOLERANCE
    from bertedge.export.search import choose_recipe, recipe_order
    from bertedge.tasks import text_classification, token_classification

    recipes = row["recipes"]
    task = token_classification if row["metric"] == "entity_f1" else text_classification
    bounds = task.BOUNDS
    rows = recipes[FP32]["dev"].get("count", row["dev_rows"])
    config = ExportConfig(checkpoint="", output=Path(), quantize=True, batch_effects=effects)

    def attempt(recipe: str) -> Trial | None:
        if recipe not in recipes:
            return None
        dev, moves = recipes[recipe]["dev"], recipes[recipe]["moves"]
        lost = 100 * (recipes[FP32]["dev"]["metric"] - dev["metric"])
        kept = lost <= config.max_drop and agrees(config, dev["agreement"], rows, bounds)
        return Trial(
            recipe=recipe,
            relative_time=None,
            max_difference=dev["rms"],
            rms_difference=dev["rms"],
            metric=dev["metric"],
            agreement=dev["agreement"],
            batch_difference=moves,
            passed=kept and (recipe not in INDEPENDENT_RECIPES or moves <= BATCH_TOLERANCE),
        )

    taken = choose_recipe(
        config, recipe_order(config, labelled=True), attempt, rows=rows, bounds=bounds
    )
    return taken or sys.exit("no recipe passes")


def measure_times(work: Path, bundle: Path) -> dict[str, dict[str, float]]:
    """Return the time of each graph as a multiple of plain dynamic's, for each shape."""
    opened = open_bundle(bundle)
    specs = [
        engine(
            path.parents[1].name, "graph", path, opened,
            command=GRAPH, takes=("tokens",), variant="optimized",
        )
        for path in sorted(work.glob("*/shipped/cpu-*-unpadded.onnx"))
    ]  # fmt: skip
    workloads = grid(GRID, opened)
    runners = take_turns(specs, workloads, rounds=ROUNDS, turn_s=TURN_S)
    times: dict[str, dict[str, float]] = {name: {} for name in runners}
    for workload in workloads:
        for name, row in ratios_to(runners, DYNAMIC, workload.name).items():
            times[name][workload.name] = row["times_of_ours"]
    return times


def summarize(sets: dict[str, dict]) -> dict[str, dict]:
    """Average each recipe, and what was chosen, over the sets."""
    summary = {}
    names = [
        n
        for n in next(iter(sets.values()))["recipes"]
        if all(n in r["recipes"] for r in sets.values())
    ]
    for recipe in (*names, CHOSEN, ALLOWED):
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
        work, bundle, name = *map(Path, arguments[:2]), (*arguments[2:], "banking77")[0]
        times = {"set": name, "ratios": measure_times(work / name, bundle)}
        write(read() | {"times": times} | provenance(__file__, "onnxruntime", "optimum-onnx"))
        return
    if what == "choose":
        record = read()
        for row in (*record["sets"].values(), *record["aware"].values()):
            row.update(choose_both(row))
        write(record | summaries(record))
        return
    checkpoints, shared, work = (Path(argument).absolute() for argument in arguments[:3])
    for name in arguments[3:] or NAMES:
        record = read()
        rows = record["aware" if name.endswith("-aware") else "sets"]
        if what == "batches":
            recipes = sorted({rows[name][CHOSEN], rows[name][ALLOWED], DYNAMIC})
            rows[name]["batches"] = count_changes(
                name, checkpoints / name, shared, work / f"{name}-batches", recipes
            )
        else:
            rows[name] = label_set(name, checkpoints / name, shared, work / name)
        write(record | summaries(record) | provenance(__file__, "onnxruntime", "optimum-onnx"))


def summaries(record: dict) -> dict:
    return {"summary": {k: summarize(record[k]) for k in ("sets", "aware") if record[k]}}


def read() -> dict:
    return json.loads(RESULT.read_text()) if RESULT.exists() else {"sets": {}, "aware": {}}


def write(record: dict) -> None:
    RESULT.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
