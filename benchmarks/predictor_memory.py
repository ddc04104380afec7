"""Memory while a file of many texts is labelled: flat after warm-up, and below a bound.

usage: python benchmarks/predictor_memory.py BUNDLE DATA [TEXTS]

Repeats the texts of DATA to TEXTS lines (a million) in a scratch file, runs `bertedge predict
--input --output` on it and samples the process's resident memory (Linux). Adds "memory" to
benchmarks/predictor.json; the exit code is 1 where memory grew or passed the bound.
"""

import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from provenance import provenance

from bertedge.data import Columns, open_examples
from bertedge.spec import Task

RESULT = Path(__file__).parent / "predictor.json"
EVERY_S = 0.25
BOUND_MIB = 700
GROWTH_MIB = 16
"""What the last tenth may lie above the second: allocators settle, leaks go on."""


def main(bundle: str, data: str, count: str = "1000000") -> int:
    examples = open_examples(Path(data), Task.TEXT_CLASSIFICATION, Columns())
    texts = [example.text for example in examples]
    with tempfile.TemporaryDirectory() as scratch:
        source, output = Path(scratch) / "texts.txt", Path(scratch) / "labels.jsonl"
        with source.open("w", encoding="utf-8") as file:
            repeated = itertools.islice(itertools.cycle(texts), int(count))
            file.writelines(text + "\n" for text in repeated)
        command = [sys.executable, "-m", "bertedge", "predict", bundle]
        with subprocess.Popen(
            [*command, "--input", source, "--output", output], stderr=subprocess.DEVNULL
        ) as process:
            samples = list(watch(process))
        if process.returncode:
            sys.exit(f"bertedge predict ended with {process.returncode}")
        with output.open(encoding="utf-8") as file:
            labelled = sum(1 for _ in file)
    tenth = len(samples) // 10
    early, late = (
        statistics.median(part) for part in (samples[tenth : 2 * tenth], samples[-tenth:])
    )
    found = {
        "texts": labelled,
        "peak_mib": round(max(samples), 1),
        "second_tenth_mib": round(early, 1),
        "last_tenth_mib": round(late, 1),
        "samples": len(samples),
    }
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {"sets": {}}
    record["memory"] = found | provenance(__file__, "onnxruntime", "tokenizers")
    RESULT.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(found, indent=2))
    good = labelled == int(count) and max(samples) < BOUND_MIB and late - early < GROWTH_MIB
    return 0 if good else 1


def watch(process: subprocess.Popen) -> Iterator[float]:
    """Yield the resident memory in MiB until the process ends."""
    page = os.sysconf("SC_PAGE_SIZE")
    while process.poll() is None:
        fields = Path(f"/proc/{process.pid}/statm").read_text().split()
        if len(fields) > 1 and int(fields[1]):
            yield int(fields[1]) * page / 2**20
        time.sleep(EVERY_S)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
