"""What an engineer writes with the setfit package: the peer of `finetune` for few examples.

usage: python benchmarks/peers/setfit_model.py SETTINGS.json    (prints one JSON line)

The package's own defaults: pairs of texts, one epoch, then logistic regression; but 500 steps at
most, since all pairs of 150 labels would take days.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from setfit import SetFitModel, Trainer, TrainingArguments

from bertedge.data import Columns, open_examples
from bertedge.spec import Task

MOST_STEPS = 500


def main(settings: dict[str, Any]) -> None:
    transformers.set_seed(settings["seed"])
    torch.set_num_threads(settings["threads"])
    columns = Columns(**settings["columns"])
    train, test = (
        list(open_examples(Path(settings[split]), Task.TEXT_CLASSIFICATION, columns))
        for split in ("train", "test")
    )
    model = SetFitModel.from_pretrained(settings["model"], labels=sorted({x.label for x in train}))
    rows = {"text": [x.text for x in train], "label": [x.label for x in train]}
    rows_each = len(train) / len({x.label for x in train})
    pairs = len(train) ** 2 * (1 - rows_each / len(train))  # about: as many unlike ones, twice
    arguments = TrainingArguments(
        output_dir=settings["output"],
        seed=settings["seed"],
        max_steps=MOST_STEPS if pairs / 16 > MOST_STEPS else -1,
    )
    arguments.report_to = []
    trainer = Trainer(model=model, args=arguments, train_dataset=datasets.Dataset.from_dict(rows))
    trainer.train()
    seconds = time.process_time()
    found = model.predict([x.text for x in test])
    right = sum(str(one) == x.label for one, x in zip(found, test, strict=True))
    print(json.dumps({"seconds": round(seconds, 1), "value": round(right / len(test), 4)}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
