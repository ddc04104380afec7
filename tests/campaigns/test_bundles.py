"""Thousands of hostile bundles: one line or an answer, in bounded time and memory.

A fixed sample by default; `BERTEDGE_CAMPAIGN=full` runs 2,000 manifests, 600 graphs and 400
tokenizers. They run in processes of their own, so that a crash of native code is seen.
"""

import json
import os
import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("hostile_bundles.py")
FULL = os.environ.get("BERTEDGE_CAMPAIGN") == "full"
CASES = {"manifest": 2000, "graph": 600, "tokenizer": 400}
SAMPLE = {"manifest": 120, "graph": 40, "tokenizer": 40}
BATCH = 40
LONGEST = 10.0
"""Seconds of the processor that a case may take."""
MOST_CHARACTERS = 300
MOST_MEMORY = 2**30
"""Bytes that a process may take at its peak."""


def run_batch(folder: Path, kind: str, first: int, count: int) -> list[dict[str, Any]]:
    """Run cases in a process of their own; one that dies or hangs counts against its case."""
    found: list[dict[str, Any]] = []
    number, last = first, first + count
    while number < last:
        results = folder / f"{kind}-{number}.jsonl"
        arguments = [folder / f"b{kind[0]}{first}", results, kind, number, last - number]
        command = [sys.executable, PROGRAM, *arguments]
        try:
            run = subprocess.run(
                [str(each) for each in command],
                capture_output=True,
                text=True,
                timeout=60 + 2 * count,
                check=False,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
            )
            end, noise = run.returncode, run.stdout + run.stderr
        except subprocess.TimeoutExpired:
            end, noise = "it hung", ""
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        found += [line | {"noise": ""} for line in lines if "error" in line]
        begun = max((line["case"] for line in lines), default=number)
        if end == 0:
            found += [{"case": begun, "noise": noise}] if noise else []
            return found
        found.append({"case": begun, "error": f"not ours: it ended with {end}", "message": noise})
        number = begun + 1
    return found


def complaints(kind: str, line: dict[str, Any]) -> list[str]:
    """Say what is wrong with the outcome of a case."""
    where = f"{kind} {line['case']}"
    if line.get("noise"):
        return [f"{where} and neighbours: {line['noise'][:400]!r} was printed"]
    message = line["message"]
    found = []
    if (line["error"] or "").startswith("not ours"):
        found.append(f"{where}: {line['error']}: {message[-400:]}")
    elif line["error"]:
        # What the user typed is theirs to keep short.
        rest = message.replace(next((w for w in message.split() if "/b" in w), ""), "")
        if len(rest) > MOST_CHARACTERS or not message.isprintable():
            found.append(f"{where}: {len(rest)} characters: {message[:400]!r}")
    if line.get("seconds", 0) > LONGEST:
        found.append(f"{where}: took {line['seconds']:.1f} s")
    return found


@pytest.mark.parametrize("kind", CASES)
def test_hostile_bundles_give_one_line_or_an_answer(kind: str, tmp_path: Path) -> None:
    if kind == "graph":
        pytest.importorskip("onnx")
    total = (CASES if FULL else SAMPLE)[kind]
    starts = range(0, total, BATCH)
    with ThreadPoolExecutor(2) as pool:
        batches = pool.map(
            lambda first: run_batch(tmp_path, kind, first, min(BATCH, total - first)), starts
        )
        lines = [line for batch in batches for line in batch]
    wrong = [each for line in lines for each in complaints(kind, line)]
    assert not wrong, "\n".join([f"{len(wrong)} of {total}:", *wrong[:40]])
    ended = [line for line in lines if "error" in line]
    assert len(ended) == total
    refused = sum(line["error"] is not None for line in ended)
    assert refused > total / 3, "the changes hardly do harm"
    peak = max(line["peak"] for line in ended if "peak" in line)
    assert peak < MOST_MEMORY, f"{peak:,} bytes at the peak"
    print(f"{kind}: {refused} of {total} refused, peak {peak / 2**20:.0f} MiB")
