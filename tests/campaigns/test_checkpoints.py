"""Hostile checkpoints by the dozen: one line or an answer, in bounded time and memory.

A fixed sample by default; `BERTEDGE_CAMPAIGN=full` takes twenty times as many. They run in
processes of their own, so that a crash of native code is seen.
"""

import importlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bertedge import serialization
from bertedge.checkpoint import DataFile, Training
from bertedge.data import Columns
from bertedge.spec import ModelSpec, Task

PROGRAM = Path(__file__).with_name("hostile_checkpoints.py")
FULL = os.environ.get("BERTEDGE_CAMPAIGN") == "full"
CASES = 1000 if FULL else 50
BATCH = CASES // 2
TYPED = range(20 if FULL else 3)
"""Cases that are given to the command line too."""
LONGEST = 10.0
"""Seconds of the processor that one way to a model may take, imports apart."""
MOST_CHARACTERS = 300
MOST_MEMORY = 2**30
"""Bytes that a process may take at its peak; PyTorch and transformers are a third of it."""


@pytest.fixture(scope="module")
def template(
    base: Path, training_record: Callable[..., Training], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A checkpoint with every file that is read of one."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("campaign") / "template"
    shutil.copytree(base, folder)
    labels = ("bad", "fair", "good")
    config = transformers.AutoConfig.from_pretrained(
        base, id2label=dict(enumerate(labels)), label2id={n: i for i, n in enumerate(labels)}
    )
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    file = DataFile(path="train.csv", sha256="0" * 64, rows=3, columns=Columns())
    model = ModelSpec(
        task=Task.TEXT_CLASSIFICATION, labels=labels, pair=False, max_length=32, pad_token_id=0
    )
    training = training_record(model, file, dev=file, settings={"seed": 1}, best_epoch=1.0)
    (folder / "training.json").write_text(serialization.to_json(training))
    (folder / "modules.json").write_text(
        json.dumps(
            [
                {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                {"idx": 2, "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
            ]
        )
    )
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 16}')
    (folder / "1_Pooling").mkdir()
    pooling = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def run_batch(template: Path, folder: Path, first: int, count: int) -> list[dict[str, Any]]:
    """Run cases in a process of their own; one that dies counts against its case."""
    found: list[dict[str, Any]] = []
    number, last = first, first + count
    while number < last:
        results = folder / f"{number}.jsonl"
        places = [template, folder / f"case-{first}", results]
        command = [sys.executable, PROGRAM, *places, number, last - number]
        run = subprocess.run(
            [str(each) for each in command],
            capture_output=True,
            text=True,
            timeout=600 + 20 * count,
            check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        found += [line for line in lines if "ways" in line]
        if run.returncode == 0:
            break
        number = max((line["case"] for line in lines), default=last)
        end = {"error": f"not ours: it ended with {run.returncode}", "message": run.stderr[-400:]}
        found.append({"case": number, "file": "?", "ways": {"all": end | {"seconds": 0}}})
        number += 1
    return found


def complaints(case: dict[str, Any]) -> list[str]:
    """Say what is wrong with the outcome of a case."""
    found = []
    for way, outcome in case["ways"].items():
        error, message = outcome["error"] or "", outcome["message"]
        where = f"case {case['case']}, {case['file']}, {way}: {error}"
        if error.startswith("not ours"):
            found.append(f"{where}: {message[-300:]}")
        elif error and (len(message) > MOST_CHARACTERS or not message.isprintable()):
            found.append(f"{where}, {len(message)} characters: {message[:400]!r}")
        if outcome["seconds"] > LONGEST:
            found.append(f"{where}: took {outcome['seconds']} s")
    return found


def test_hostile_checkpoints_are_refused_in_one_line_or_label_texts(
    template: Path, tmp_path: Path
) -> None:
    starts = range(0, CASES, BATCH)
    with ThreadPoolExecutor(2) as pool:
        take = partial(run_batch, template, tmp_path)
        cases = [case for batch in pool.map(lambda at: take(at, BATCH), starts) for case in batch]
    assert len(cases) == CASES
    assert [line for case in cases for line in complaints(case)] == []
    assert max(case["peak"] for case in cases) < MOST_MEMORY
    refused = sum(case["ways"]["label"]["error"] is not None for case in cases)
    assert CASES / 4 < refused < CASES  # the cases are hostile, and not all alike


@pytest.mark.parametrize("number", TYPED)
def test_the_command_line_shows_one_line(
    template: Path,
    tmp_path: Path,
    texts: dict[str, Path],
    number: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(PROGRAM.parent)
    folder, output = tmp_path / "model", tmp_path / "output"
    shutil.copytree(template, folder)
    importlib.import_module(PROGRAM.stem).spoil(random.Random(number), folder)
    verb: list[str] = [
        ["evaluate", str(folder), "--data", str(texts["dev"])],
        ["export", str(folder), "--output", str(output)],
        ["finetune", "--model", str(folder), "--output", str(output), "--epochs", "0.1"],
    ][number % 3]
    if verb[0] == "finetune":
        verb += ["--task", "text-classification", "--train", str(texts["train"])]
    run = subprocess.run(
        [sys.executable, "-m", "bertedge", *verb],
        input="y\n" * 9,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode in (0, 1), run.stderr
    assert "Traceback" not in run.stderr
    if run.returncode == 1:
        last = run.stderr.splitlines()[-1]
        assert last.startswith("Error: ")
        assert len(last) <= MOST_CHARACTERS
        assert not output.exists()
