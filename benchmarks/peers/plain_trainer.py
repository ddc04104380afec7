"""What an engineer writes with transformers' Trainer and nothing else: the peer of `finetune`.

usage: python benchmarks/peers/plain_trainer.py SETTINGS.json    (prints one JSON line)

Reads the same rows through bertedge's reader, so that only training differs: bf16, length-grouped,
AdamW, linear decay with 10 % warm-up, as finetune's bar states. Labels go to first pieces. Where a
text may have several labels, those of a score of one half are given; where none may fit, the rows
out of scope are a class like the others.
"""

import json
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import torch
import transformers

from bertedge.examples import Columns, TextExample, open_examples
from bertedge.metrics import (
    classification_scores,
    entity_scores,
    multi_label_scores,
    value_scores,
)
from bertedge.tasks import ProblemType, Task


def main(settings: dict) -> None:
    transformers.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    torch.set_num_threads(settings["threads"])
    transformers.set_seed(settings["seed"])
    task = Task(settings["task"])
    problem = ProblemType(settings.get("problem_type", "single_label_classification"))
    columns = Columns(**settings["columns"])
    rows = {
        split: list(open_examples(Path(settings[split]), task, columns, problem_type=problem))
        for split in ("train", "test")
    }
    tokenizer = transformers.AutoTokenizer.from_pretrained(settings["model"])
    if settings["max_length"]:
        tokenizer.model_max_length = settings["max_length"]
    if task is Task.TEXT_CLASSIFICATION:
        names = sorted({name for row in rows["train"] for name in row.names}) or ["value"]
        auto = transformers.AutoModelForSequenceClassification
        collate = transformers.DataCollatorWithPadding(tokenizer)
    else:
        names = sorted({tag for row in rows["train"] for tag in row.tags})
        auto = transformers.AutoModelForTokenClassification
        collate = transformers.DataCollatorForTokenClassification(tokenizer)
    data = {split: tokenize(rows[split], tokenizer, names, problem) for split in rows}
    more = {"problem_type": problem.value} if task is Task.TEXT_CLASSIFICATION else {}
    model = auto.from_pretrained(settings["model"], num_labels=len(names), **more)
    arguments = transformers.TrainingArguments(
        output_dir=settings["output"],
        num_train_epochs=settings["epochs"],
        per_device_train_batch_size=32,
        per_device_eval_batch_size=64,
        learning_rate=settings["learning_rate"],
        warmup_ratio=0.1,
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        group_by_length=True,
        save_strategy="no",
        seed=settings["seed"],
        report_to=[],
        disable_tqdm=True,
    )
    trainer = transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=data["train"],
        data_collator=collate,
        processing_class=tokenizer,
    )
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    prediction = trainer.predict(data["test"])
    value = score(task, problem, prediction.label_ids, prediction.predictions, names)
    print(json.dumps({"seconds": round(seconds, 1), "value": round(value, 4)}))


def tokenize(
    rows: list, tokenizer: object, names: list[str], problem: ProblemType
) -> datasets.Dataset:
    ids = {name: i for i, name in enumerate(names)}
    if isinstance(rows[0], TextExample):
        pairs = [row.pair for row in rows] if rows[0].pair is not None else None
        features = tokenizer([row.text for row in rows], pairs, truncation=True)
        if problem is ProblemType.REGRESSION:
            labels = [row.value for row in rows]
        elif problem is ProblemType.MULTI_LABEL:
            labels = [[float(name in row.names) for name in names] for row in rows]
        else:
            labels = [ids.get(row.label, 0) for row in rows]
    else:
        words = [list(row.tokens) for row in rows]
        features = tokenizer(words, is_split_into_words=True, truncation=True)
        labels = []
        for i, row in enumerate(rows):
            places = features.word_ids(i)
            labels.append(
                [
                    -100 if word is None or word == before else ids.get(row.tags[word], 0)
                    for word, before in zip(places, [None, *places], strict=False)
                ]
            )
    return datasets.Dataset.from_dict({**features, "labels": labels})


def score(
    task: Task, problem: ProblemType, gold: np.ndarray, logits: np.ndarray, names: list[str]
) -> float:
    if problem is ProblemType.REGRESSION:
        return value_scores(gold, logits.reshape(-1)).value
    if problem is ProblemType.MULTI_LABEL:
        return multi_label_scores(gold > 0, logits > 0, names).value
    predicted = logits.argmax(-1)
    if task is Task.TEXT_CLASSIFICATION:
        return classification_scores(gold, predicted, names).value
    table = np.array(names)
    kept = gold != -100
    return entity_scores(
        [table[row[mask]].tolist() for row, mask in zip(gold, kept, strict=True)],
        [table[row[mask]].tolist() for row, mask in zip(predicted, kept, strict=True)],
    ).value


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
