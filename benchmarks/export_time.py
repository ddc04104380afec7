"""How long `export` takes in fp32, against Optimum's way and against the least it could take.

usage: python benchmarks/export_time.py SHARED_DATA MINILM WORK [--before TREE] [--rounds N]

MiniLM (a checkpoint for its embeddings) by the builder, and by Optimum: of this tree, or of TREE, a
checkout of an earlier state. A BERT-base of random weights by the builder, and the least that any
export does with it: its weights read and written, and the parity check, in PyTorch and in the
graph, from the same imports. Processor seconds of whole processes, in one thread, taking turns in
rounds; medians, and medians of the rounds' ratios, of wall-clock too, which wants a quiet machine.
Writes benchmarks/export_time.json.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from data_sets import HERE
from steps import BERTEDGE, run_in_one_thread, write_rows

RESULT = HERE / "export_time.json"
ROUNDS = 5
BARS = {"minilm": 0.5, "bert-base": 1.2}
"""Of the builder's time to the other one."""


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("shared", "minilm", "work"):
        parser.add_argument(name, type=lambda told: Path(told).absolute())
    parser.add_argument("--before", type=lambda told: Path(told).absolute(), default=HERE.parent)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    base, bundle = told.work / "bert-base", told.work / "bert-base.bundle"
    if not base.exists():
        from random_base import main as make_base

        vocabulary = told.shared / "vocab" / "bert-base-uncased" / "vocab.txt"
        make_base(str(vocabulary), str(base), 12, 768, 2)
    embeddings = (told.minilm, "--task=feature-extraction")
    output = told.work / "bundle"
    pairs = {
        "minilm": {
            "direct": export(output, "direct", *embeddings),
            "optimum": export(output, "optimum", *embeddings),
        },
        "bert-base": {
            "direct": export(bundle, "direct", base),
            "least": [sys.executable, __file__, "least", base, bundle],
        },
    }
    rows: dict[str, dict[str, object]] = {}
    for name, commands in pairs.items():
        turns = [take_turns(commands, told.before) for _ in range(told.rounds)]
        rows[name] = {"bar": BARS[name], "rounds": told.rounds}
        for place, clock in enumerate(("processor", "wall")):
            times = {kind: [turn[kind][place] for turn in turns] for kind in commands}
            direct, other = times.values()
            ratios = [one / two for one, two in zip(direct, other, strict=True)]
            rows[name][clock] = {
                **{kind: round(statistics.median(each), 2) for kind, each in times.items()},
                "ratio": round(statistics.median(ratios), 3),
            }
        print(name, rows[name], flush=True)
    write_rows(RESULT, __file__, rows, earlier_tree=told.before != HERE.parent)


def export(output: Path, exporter: str, *given: str | Path) -> list[str | Path]:
    flags = (f"--exporter={exporter}", f"--output={output}", "--overwrite")
    return [*BERTEDGE, "export", *given, *flags]


def take_turns(
    commands: Mapping[str, list[str | Path]], before: Path
) -> dict[str, tuple[float, float]]:
    """Run each once, Optimum's in the tree `before`; return their processor and wall seconds."""
    found = {}
    for kind, command in commands.items():
        tree = before if kind == "optimum" else HERE.parent
        start = time.perf_counter()
        run = run_in_one_thread(command, PYTHONPATH=str(tree))
        found[kind] = run.seconds, time.perf_counter() - start
    return found


def least(folder: str, made: str) -> None:
    """Read the weights of a checkpoint, write them, and compare it with the bundle's graphs."""
    import bertedge
    from bertedge.checkpoint import TorchEngine, load_model, open_checkpoint
    from bertedge.checkpoint.tensors import read_tensors
    from bertedge.export.parity_inputs import golden_batch, parity_batches
    from bertedge.export.verify import answer, check_answers, float_bound, record_logits

    checkpoint = open_checkpoint(folder)
    with (Path(made).parent / "weights").open("wb") as file:
        for tensor in read_tensors(checkpoint.folder):
            if tensor.is_float:
                file.write(tensor.read().data)
    torch_engine = TorchEngine(load_model(checkpoint))
    engine = bertedge.load(made, device="cpu").engine
    for batches in (
        parity_batches(checkpoint, None, pair=False),
        [golden_batch(checkpoint, pair=False)],
    ):
        probe = record_logits(torch_engine, batches, padded=False)
        check_answers("cpu-fp32", probe, answer(probe, engine), float_bound(1e-4))


if __name__ == "__main__":
    if sys.argv[1] == "least":
        least(*sys.argv[2:])
    else:
        main()
