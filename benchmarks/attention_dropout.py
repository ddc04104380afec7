"""How long a training step takes with dropout of attention and without, by the length of texts.

usage: python benchmarks/attention_dropout.py MINILM

A batch of 16 texts of one length, forward, backward and AdamW, in turns; medians. Writes
benchmarks/attention_dropout.json, which docs/techniques/regularization.md shows.
"""

import statistics
import sys
import time

import torch
import transformers
from data_sets import HERE
from steps import write_rows

from bertedge.training.dropout import keep_attention_whole, set_dropout

RESULT = HERE / "attention_dropout.json"
LENGTHS = (32, 64, 128, 256)
ROWS = 16
ROUNDS = 9


def main(base: str) -> None:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5, fused=True)
    rows: dict[str, dict[str, object]] = {}
    for length in LENGTHS:
        seconds: dict[str, list[float]] = {"with": [], "without": []}
        for _ in range(ROUNDS):
            set_dropout(model, 0.1)
            seconds["with"].append(step(model, optimizer, length))
            keep_attention_whole(model)
            seconds["without"].append(step(model, optimizer, length))
        medians = {name: statistics.median(each) for name, each in seconds.items()}
        ratio = medians["without"] / medians["with"]
        row = {name: round(each, 3) for name, each in medians.items()}
        rows[str(length)] = {**row, "ratio": round(ratio, 3)}
        print(length, rows[str(length)], flush=True)
    write_rows(RESULT, __file__, rows, threads=torch.get_num_threads(), rows_of_a_batch=ROWS)


def step(
    model: transformers.PreTrainedModel, optimizer: torch.optim.Optimizer, length: int
) -> float:
    """Return the seconds of one step."""
    ids = torch.randint(1000, 20000, (ROWS, length))
    mask = torch.ones_like(ids)
    mask[:, -3:] = 0  # as batches have it, which decides what PyTorch runs
    labels = torch.zeros(ROWS, dtype=torch.int64)
    began = time.perf_counter()
    model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - began


if __name__ == "__main__":
    main(sys.argv[1])
