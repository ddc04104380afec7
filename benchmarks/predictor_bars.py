"""Text to label, end to end: bertedge against the pipelines an engineer would pick.

usage: python benchmarks/predictor_bars.py NAME CHECKPOINT BUNDLE DATA [ROWS]

Engines: transformers' pipeline (torch fp32), Optimum's ORTModel int8 in transformers' pipeline,
bertedge. Each in a process of its own, taking turns in rounds, one at a time: some texts one by
one, then all texts at once. Adds the set NAME to benchmarks/predictor.json: cold start, p50 of one
text, texts/s, agreement, memory, and bertedge's ratios to the others.
"""

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from provenance import provenance

from bertedge.data import Columns, open_examples
from bertedge.runtime import machine
from bertedge.spec import Task

HERE = Path(__file__).parent
RESULT = HERE / "predictor.json"
ROUNDS = 2
ONES = 100
"""Texts labelled one at a time in a round."""
STARTS = 3


class Engine:
    """A worker process."""

    def __init__(self, kind: str, path: str, texts: Path) -> None:
        script = HERE / "peers" / "text_worker.py"
        command = [sys.executable, str(script), kind, path, str(texts), str(machine.cores())]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.start_s = self.read()["start_s"]

    def ask(self, line: str) -> dict:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def read(self) -> dict:
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        sys.exit(f"{self.process.args} ended")

    def end(self) -> None:
        self.process.communicate()


def main(name: str, checkpoint: str, bundle: str, data: str, rows: str = "1000000") -> None:
    columns = Columns()
    examples = open_examples(Path(data), Task.TEXT_CLASSIFICATION, columns)
    texts = [example.text for example in itertools.islice(examples, int(rows))]
    ones_each = min(ONES, len(texts) // ROUNDS // 3)
    kinds = {"transformers": checkpoint, "optimum": checkpoint, "bertedge": bundle}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps(texts), encoding="utf-8")
        Engine("optimum", checkpoint, file).end()  # exports on its first use
        starts = {kind: [] for kind in kinds}
        for _, (kind, path) in itertools.product(range(STARTS), kinds.items()):
            engine = Engine(kind, path, file)
            starts[kind].append(engine.start_s)
            engine.end()
        engines = {kind: Engine(kind, path, file) for kind, path in kinds.items()}
        ones = {kind: [] for kind in kinds}
        whole = {kind: [] for kind in kinds}
        for number in range(ROUNDS):
            for kind, engine in engines.items():
                engine.ask(f"one {number * ones_each} {ones_each // 5}")  # warm after the others
                found = engine.ask(f"one {number * ones_each} {ones_each}")["ms"]
                ones[kind].append(statistics.median(found))
            for kind, engine in engines.items():
                whole[kind].append(engine.ask("all"))
        memory = {kind: engine.ask("memory")["peak_mib"] for kind, engine in engines.items()}
        for engine in engines.values():
            engine.end()
    seconds = {kind: [each["seconds"] for each in whole[kind]] for kind in kinds}
    labels = {kind: whole[kind][-1]["labels"] for kind in kinds}
    table = {
        kind: {
            "cold_start_s": round(statistics.median(starts[kind]), 3),
            "p50_ms": round(statistics.median(ones[kind]), 3),
            "texts_per_second": round(len(texts) / statistics.median(seconds[kind]), 1),
            "agreement": round(agree(labels[kind], labels["transformers"]), 4),
            "peak_mib": round(memory[kind]),
        }
        for kind in kinds
    }
    ours = table["bertedge"]
    ratios = {
        kind: {
            "cold_start": round(ours["cold_start_s"] / row["cold_start_s"], 4),
            "p50": round(ours["p50_ms"] / row["p50_ms"], 3),
            "texts_per_second": round(ours["texts_per_second"] / row["texts_per_second"], 2),
            "rounds": [
                round(theirs / own, 2)
                for theirs, own in zip(seconds[kind], seconds["bertedge"], strict=True)
            ],
        }
        for kind, row in table.items()
        if kind != "bertedge"
    }
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {"sets": {}}
    record |= {
        **provenance(__file__, "torch", "transformers", "onnxruntime", "optimum-onnx"),
    }
    record["sets"][name] = {"texts": len(texts), "engines": table, "ours_to": ratios}
    RESULT.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps({"engines": table, "ours_to": ratios}, indent=2))


def agree(one: list[str], other: list[str]) -> float:
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(one)


if __name__ == "__main__":
    main(*sys.argv[1:])
