"""Text to label, end to end: bertedge against the pipelines an engineer would pick.

usage: python benchmarks/predictor_bars.py NAME CHECKPOINT BUNDLE DATA [ROWS]

Engines: transformers' pipeline (torch fp32), Optimum's ORTModel int8 in transformers' pipeline,
bertedge. Some texts one by one, then all texts at once. Adds the set NAME to
benchmarks/predictor.json: cold start, p50 of one text, texts/s, agreement, memory, and bertedge's
ratios to the others.
"""

import itertools
import json
import statistics
import sys
import tempfile
from pathlib import Path

from engines import HERE, engine, export_by_optimum, take_turns
from provenance import provenance

from bertedge.bench.protocol import TextWorkload
from bertedge.bench.runner import EngineRunner
from bertedge.bench.scoring import compare
from bertedge.bundle import open_bundle
from bertedge.data import Columns, open_examples
from bertedge.spec import Task

RESULT = HERE / "predictor.json"
ROUNDS = 2
ONES = 100
"""Texts labelled one at a time in a round."""
STARTS = 3
BASELINE, OURS = "transformers", "bertedge"


def main(name: str, checkpoint: str, folder: str, data: str, rows: str = "1000000") -> None:
    bundle = open_bundle(Path(folder))
    examples = open_examples(Path(data), Task.TEXT_CLASSIFICATION, Columns())
    texts = [(example.text,) for example in itertools.islice(examples, int(rows))]
    ones = TextWorkload(name="ones", texts=tuple(texts[: ROUNDS * ONES]), at_once=False)
    whole = TextWorkload(name="all", texts=tuple(texts), at_once=True)
    with tempfile.TemporaryDirectory() as work:
        graph = Path(export_by_optimum(checkpoint, bundle, Path(work)).int8)
        pipeline = {"takes": ("texts",), "precision": "int8", "variant": graph.name}
        specs = [
            engine(BASELINE, "pipeline", checkpoint, bundle, takes=("texts",)),
            engine("optimum", "optimum", graph.parent, bundle, **pipeline),
            engine(OURS, "bundle", folder, bundle, variant=bundle.manifest.variants[0].name),
        ]
        settings = {"rounds": ROUNDS, "starts": STARTS, "repeats": ONES, "turn_s": 60.0}
        runners = take_turns(specs, [ones], **settings)
        wholes = take_turns(specs, [whole], **settings | {"starts": 1, "repeats": 1})
    theirs = wholes[BASELINE].ready["all"].outputs
    table = {each: row(runners[each], wholes[each], theirs, len(texts)) for each in runners}
    ours = table[OURS]
    ratios = {
        each: {
            "cold_start": round(ours["cold_start_s"] / found["cold_start_s"], 4),
            "p50": round(ours["p50_ms"] / found["p50_ms"], 3),
            "texts_per_second": round(ours["texts_per_second"] / found["texts_per_second"], 2),
            "rounds": [
                round(other / own, 2)
                for other, own in zip(
                    *(wholes[one].samples_of("all") for one in (each, OURS)), strict=True
                )
            ],
        }
        for each, found in table.items()
        if each != OURS
    }
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {"sets": {}}
    record |= provenance(__file__, "torch", "transformers", "onnxruntime", "optimum-onnx")
    record["sets"][name] = {"texts": len(texts), "engines": table, "ours_to": ratios}
    RESULT.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps({"engines": table, "ours_to": ratios}, indent=2))


def row(ones: EngineRunner, whole: EngineRunner, theirs, count: int) -> dict[str, float]:
    """Return the figures of one engine, beside the predictions of the baseline."""
    same = compare(whole.ready["all"].outputs, theirs).agreement()
    seconds = statistics.median(whole.samples_of("all")) / 1000
    return {
        "cold_start_s": round(statistics.median(each.total_s for each in ones.cold_starts), 3),
        "p50_ms": round(statistics.median(ones.samples_of("ones")), 3),
        "texts_per_second": round(count / seconds, 1),
        "agreement": round(same.share, 4) if same else 0.0,
        "peak_mib": round((whole.peak_memory_bytes or 0) / 2**20),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
