"""Measure every technique of `finetune` on three sets, beside the plain defaults.

usage: python benchmarks/techniques.py MINILM SHARED_DATA WORK [TECHNIQUE …] [--sets SET …]
    [--seeds S …]

1,000 rows of each set, the same for all; each run is a process of its own, in one thread. A
technique that a task refuses has no figure there. Time is that of the processor, of the whole
command: so several of these programs may run at a time, of other sets each. What the record has
already is not run again. Writes benchmarks/techniques.json, which docs/techniques/index.md shows.
"""

import argparse
import json
from pathlib import Path

from data_sets import HERE, SETS, find_files, take_rows
from finetune_bars import METRICS
from steps import BERTEDGE, add_run, columns_of, read_rows, run_in_one_thread, training_of, value_of

RESULT = HERE / "techniques.json"
ROWS = 1000
UNLABELLED = 4000
MEASURED = ("sst2", "banking77", "conll2003_en")
TECHNIQUES: dict[str, str] = {
    "plain defaults": "",
    "[CLS] head": "--pooling cls",
    "contrastive": "--few-shot contrastive",
    "logistic regression": "--few-shot head",
    "layer decay": "--layer-decay 0.9",
    "dropout 0": "--dropout 0",
    "dropout 0.1, of attention too": "--dropout 0.1",
    "dropout 0.2": "--dropout 0.2",
    "label smoothing": "--label-smoothing 0.1",
    "R-Drop": "--rdrop-alpha 1",
    "focal loss": "--focal-gamma 2",
    "class weights": "--class-weights balanced",
    "FGM": "--adversarial fgm",
    "PGD": "--adversarial pgd",
    "FreeLB": "--adversarial freelb",
    "mixup": "--mixup-alpha 0.4",
    "mixout": "--mixout 0.7 --dropout 0",
    "top layer made new": "--reinit-layers 1",
    "EMA": "--ema-decay 0.99",
    "SWA": "--swa-start 0.5",
    "head alone": "--train-layers 0 --learning-rate 1e-3",
    "top 2 layers": "--train-layers 2",
    "BitFit": "--bitfit --learning-rate 1e-3",
    "gradual unfreezing": "--gradual-unfreezing 0.5",
    "lower half frozen": "--freeze 3",
    "freeze auto": "--freeze auto",
    "LoRA": "--peft lora",
    "LoRA, all linear": "--peft lora --lora-target-modules all-linear",
    "DoRA": "--peft dora",
    "IA3": "--peft ia3",
    "adapter": "--peft adapter",
    "prompt tuning": "--peft prompt",
    "P-tuning": "--peft p-tuning",
    "SGD": "--optimizer sgd",
    "Muon": "--optimizer muon",
    "cosine": "--lr-scheduler cosine",
    "constant": "--lr-scheduler constant",
    "one-cycle": "--lr-scheduler one-cycle",
    "gradient checkpointing": "--gradient-checkpointing",
    "deletion and swap": "--augment deletion --augment swap",
    "words of the label": "--augment label-words",
    "mentions": "--augment mention",
    "self-training": "--unlabelled {unlabelled}",
}
"""The flags of each; {unlabelled} is a file of more rows, whose labels are not read."""


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("minilm", "shared", "work"):
        parser.add_argument(name, type=lambda told: Path(told).absolute())
    parser.add_argument("techniques", nargs="*", default=list(TECHNIQUES))
    parser.add_argument("--sets", nargs="*", default=MEASURED, choices=MEASURED)
    parser.add_argument("--seeds", nargs="*", type=int, default=[42])
    told = parser.parse_args()
    told.work.mkdir(parents=True, exist_ok=True)
    for technique in told.techniques:
        for name in told.sets:
            prefix = told.work / name
            whole = find_files(SETS[name], told.shared, prefix)
            files = take_rows(whole, SETS[name], prefix, ROWS, seed=0)
            more = take_rows(whole, SETS[name], prefix, UNLABELLED, seed=0)
            files["unlabelled"] = more["train"]
            for seed in told.seeds:
                key = f"{name}-{seed}"
                if key in read_rows(RESULT).get(technique, {}):
                    continue
                found = measure(
                    name, files, told.minilm, told.work / f"{name}-run", technique, seed
                )
                print(technique, name, seed, json.dumps(found), flush=True)
                row = {"flags": TECHNIQUES[technique], key: found}
                add_run(
                    RESULT, __file__, technique, row, "torch", "transformers", rows_of_a_set=ROWS
                )


def measure(
    name: str, files: dict[str, Path], base: Path, output: Path, technique: str, seed: int
) -> dict[str, object] | None:
    """Train by a technique, in a process whose memory is its own; None where it is refused."""
    data = SETS[name]
    flags = TECHNIQUES[technique].format(**files).split()
    command = [*BERTEDGE, "finetune", "--overwrite", *columns_of(data.columns), f"--seed={seed}"]
    command += [f"--task={data.task}", f"--train={files['train']}", f"--dev={files['dev']}"]
    command += [f"--model={base}", f"--output={output}", *flags]
    run = run_in_one_thread(command, check=False)
    if run.status:
        line = run.errors.strip().splitlines()[-1]
        assert line.startswith("Error: "), run.errors
        print(f"{technique} {name}: {line}", flush=True)
        return None
    training = training_of(output)
    return {
        "metric": METRICS[data.task, data.problem_type],
        "value": value_of(output, files["test"], data.columns),
        "processor_seconds": round(run.seconds),
        "trained_parameters": training.trained_parameters,
        "peak_mib": run.peak_mib,
    }


if __name__ == "__main__":
    main()
