"""How many tokens a batch should hold on this machine: measured once, remembered by file.

Large batches leave the caches, small ones leave cores idle; where the best lies depends on model,
processor and threads. The first long input of a model is preceded by a short measurement, whose
outcome lies in the user's cache folder for the next process.
"""

import hashlib
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bertedge import records
from bertedge.runtime import machine
from bertedge.runtime.batching import TOKEN_BUDGET, Batch
from bertedge.runtime.session import Engine

BUDGETS = (256, 512, 1024, 2048)
RUNS = 3
WORTH_IT = 1.05
"""A budget must beat the default by this factor: less is noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBudget:
    """Padded tokens in a batch, and how that came to be chosen."""

    tokens: int
    why: str
    rates: dict[str, float]
    """Tokens a second by budget, as measured; empty where nothing was."""


DEFAULT = TokenBudget(tokens=TOKEN_BUDGET, why="the default, not measured here yet", rates={})


def measure(engine: Engine, lengths: list[int], pad_token_id: int) -> TokenBudget:
    """Time batches of each budget, made of rows of the median of `lengths` tokens."""
    length = max(1, round(statistics.median(lengths)))
    rates: dict[str, float] = {}
    for budget in BUDGETS:
        rows = max(1, budget // length)
        shape = (rows, length)
        ones = np.ones(shape, np.int64)
        # Any known token will do: time does not depend on which.
        batch = Batch(
            input_ids=ones * pad_token_id, attention_mask=ones, token_type_ids=np.zeros_like(ones)
        )
        engine.logits(batch)
        seconds = min(_time(engine, batch) for _ in range(RUNS))
        rates[str(budget)] = round(rows * length / seconds, 1)
    best = max(BUDGETS, key=lambda budget: rates[str(budget)])
    if rates[str(best)] < WORTH_IT * rates[str(TOKEN_BUDGET)]:
        best = TOKEN_BUDGET
    why = f"measured on rows of {length} tokens, {machine.cpu_model()}"
    return TokenBudget(tokens=best, why=why, rates=rates)


def cache_file(model_sha256: str, threads: int) -> Path:
    """Name the file that remembers the budget of a model on this machine."""
    place = f"{model_sha256} {machine.cpu_model()} {threads}"
    key = hashlib.sha256(place.encode()).hexdigest()[:16]
    return _cache_folder() / f"token-budget-{key}.json"


def recall(file: Path) -> TokenBudget | None:
    """Read what was remembered; None where nothing (readable) was."""
    try:
        return records.from_plain(TokenBudget, json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def remember(file: Path, budget: TokenBudget) -> bool:
    """Write the budget down; False where the cache cannot be written, which costs only time."""
    part = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(records.to_json(budget), encoding="utf-8")
        os.replace(part, file)
    except OSError:
        return False
    return True


def _time(engine: Engine, batch: Batch) -> float:
    began = time.perf_counter()
    engine.logits(batch)
    return time.perf_counter() - began


def _cache_folder() -> Path:
    if folder := os.environ.get("BERTEDGE_CACHE"):
        return Path(folder)
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "bertedge"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bertedge"
