"""What an engineer writes with transformers' Trainer and nothing else: the peer of `finetune`.

usage: python benchmarks/peers/plain_trainer.py SETTINGS.json    (prints one JSON line)

Reads the same rows and counts the same metrics through bertedge, so that only training differs.
Settings are the defaults of TrainingArguments (batches of 8, 5e-5, linear decay, no warm-up) but
for what makes it faster and changes no score: bf16, and batches of similar length. Labels go to
first pieces. Where a text may have several labels, those of a score of one half are given; where
none may fit, the rows out of scope are a class like the others. Intents and slots are two linear
layers on one encoder, of which the losses are summed. Questions are answered by transformers' own
pipeline.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers

from bertedge.data import (
    Columns,
    QuestionExample,
    TextExample,
    TokenExample,
    open_examples,
)
from bertedge.metrics import (
    classification_scores,
    entity_scores,
    multi_label_scores,
    value_scores,
)
from bertedge.metrics.squad import f1
from bertedge.spec import ProblemType, Task

IGNORED = -100
STRIDE = 128
"""Tokens that two windows of a context share, in the examples of transformers."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What Trainer needs of a task, and how its model is scored."""

    model: transformers.PreTrainedModel
    train: datasets.Dataset
    collate: Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]
    score: Callable[[transformers.Trainer, Any], float]
    label_names: list[str] | None = None
    """Of the inputs, where Trainer cannot tell."""


def main(settings: dict[str, Any]) -> None:
    transformers.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    torch.set_num_threads(settings["threads"])
    transformers.set_seed(settings["seed"])
    task = Task(settings["task"])
    problem = ProblemType(settings["problem_type"])
    columns = Columns(**settings["columns"])
    train, dev, test = (
        list(open_examples(Path(settings[split]), task, columns, problem_type=problem))
        for split in ("train", "dev", "test")
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(settings["model"])
    if settings["max_length"]:
        tokenizer.model_max_length = settings["max_length"]
    make = MAKERS[task]
    more = (problem,) if task is Task.TEXT_CLASSIFICATION else ()
    plan = make(settings["model"], tokenizer, train, *more)
    arguments = transformers.TrainingArguments(
        output_dir=settings["output"],
        num_train_epochs=settings["epochs"],
        per_device_eval_batch_size=64,
        learning_rate=settings["learning_rate"],
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        group_by_length=True,
        save_strategy="no",
        seed=settings["seed"],
        label_names=plan.label_names,
        report_to=[],
        disable_tqdm=True,
    )
    trainer = transformers.Trainer(
        model=plan.model,
        args=arguments,
        train_dataset=plan.train,
        data_collator=plan.collate,
        processing_class=tokenizer,
    )
    trainer.train()
    seconds = time.process_time()
    found = {"value": plan.score(trainer, test), "dev": plan.score(trainer, dev)}
    rounded = {name: round(value, 4) for name, value in found.items()}
    print(json.dumps({"seconds": round(seconds, 1), **rounded}))


def classify_texts(
    base: str,
    tokenizer: Any,
    train: Sequence[TextExample],
    problem: ProblemType,
) -> Plan:
    names = sorted({name for row in train for name in row.names}) or ["value"]
    ids = {name: i for i, name in enumerate(names)}

    def rows(examples: Sequence[TextExample]) -> datasets.Dataset:
        pairs = [row.pair for row in examples] if examples[0].pair is not None else None
        features = tokenizer([row.text for row in examples], pairs, truncation=True)
        if problem is ProblemType.REGRESSION:
            labels: list[Any] = [row.value for row in examples]
        elif problem is ProblemType.MULTI_LABEL:
            labels = [[float(name in row.names) for name in names] for row in examples]
        else:
            labels = [ids.get(row.label, 0) for row in examples]
        return datasets.Dataset.from_dict({**features, "labels": labels})

    def score(trainer: transformers.Trainer, test: Any) -> float:
        found = trainer.predict(rows(test))
        gold, logits = found.label_ids, found.predictions
        if problem is ProblemType.REGRESSION:
            return value_scores(gold, logits.reshape(-1)).value
        if problem is ProblemType.MULTI_LABEL:
            return multi_label_scores(gold > 0, logits > 0, names).value
        return classification_scores(gold, logits.argmax(-1), names).value

    auto = transformers.AutoModelForSequenceClassification
    return Plan(
        model=auto.from_pretrained(base, num_labels=len(names), problem_type=problem.value),
        train=rows(train),
        collate=transformers.DataCollatorWithPadding(tokenizer),
        score=score,
    )


def first_pieces(tokenizer: Any, examples: Sequence[TokenExample], ids: dict[str, int]) -> Any:
    """Tokenize words; the tag of each is on its first piece."""
    words = [list(row.tokens) for row in examples]
    features = tokenizer(words, is_split_into_words=True, truncation=True)
    labels = []
    for i, row in enumerate(examples):
        places = features.word_ids(i)
        labels.append(
            [
                IGNORED if word is None or word == before else ids.get(row.tags[word], 0)
                for word, before in zip(places, [None, *places], strict=False)
            ]
        )
    return {**features, "labels": labels}


def tag_tokens(base: str, tokenizer: Any, train: Sequence[TokenExample]) -> Plan:
    names = sorted({tag for row in train for tag in row.tags})
    ids = {name: i for i, name in enumerate(names)}

    def rows(examples: Sequence[TokenExample]) -> datasets.Dataset:
        return datasets.Dataset.from_dict(first_pieces(tokenizer, examples, ids))

    def score(trainer: transformers.Trainer, test: Any) -> float:
        found = trainer.predict(rows(test))
        predicted, table, kept = found.predictions.argmax(-1), np.array(names), found.label_ids >= 0
        return entity_scores(
            [table[row[mask]].tolist() for row, mask in zip(found.label_ids, kept, strict=True)],
            [table[row[mask]].tolist() for row, mask in zip(predicted, kept, strict=True)],
        ).value

    auto = transformers.AutoModelForTokenClassification
    return Plan(
        model=auto.from_pretrained(base, num_labels=len(names)),
        train=rows(train),
        collate=transformers.DataCollatorForTokenClassification(tokenizer),
        score=score,
    )


class IntentSlots(transformers.BertPreTrainedModel):
    """Two linear layers on one encoder."""

    def __init__(self, config: transformers.BertConfig) -> None:
        super().__init__(config)
        self.bert = transformers.BertModel(config)
        self.dropout = torch.nn.Dropout(config.hidden_dropout_prob)
        self.intent = torch.nn.Linear(config.hidden_size, config.intents)
        self.slots = torch.nn.Linear(config.hidden_size, config.slots)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor,
        intent: torch.Tensor,
        labels: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        states = self.bert(input_ids, attention_mask, token_type_ids)
        intents = self.intent(self.dropout(states.pooler_output))
        slots = self.slots(self.dropout(states.last_hidden_state))
        own = torch.nn.functional.cross_entropy
        loss = own(intents, intent) + own(slots.flatten(0, 1), labels.flatten())
        return {"loss": loss, "intents": intents, "slots": slots}


def frame_texts(base: str, tokenizer: Any, train: Sequence[TokenExample]) -> Plan:
    tags = sorted({tag for row in train for tag in row.tags})
    intents = sorted({row.intent for row in train})
    ids = {name: i for i, name in enumerate(tags)}

    def rows(examples: Sequence[TokenExample]) -> datasets.Dataset:
        which = [intents.index(row.intent) for row in examples]
        features = first_pieces(tokenizer, examples, ids)
        return datasets.Dataset.from_dict({**features, "intent": which})

    def score(trainer: transformers.Trainer, test: Any) -> float:
        found = trainer.predict(rows(test))
        logits, (intent, labels) = found.predictions, found.label_ids
        right = logits[0].argmax(-1) == intent
        right &= ((logits[1].argmax(-1) == labels) | (labels < 0)).all(-1)
        return float(right.mean())

    config = transformers.AutoConfig.from_pretrained(base)
    config.update({"intents": len(intents), "slots": len(tags)})
    return Plan(
        model=IntentSlots.from_pretrained(base, config=config),
        train=rows(train),
        collate=transformers.DataCollatorForTokenClassification(tokenizer),
        score=score,
        label_names=["intent", "labels"],
    )


def answer_questions(base: str, tokenizer: Any, train: Sequence[QuestionExample]) -> Plan:
    features = tokenizer(
        [row.question for row in train],
        [row.context for row in train],
        truncation="only_second",
        stride=STRIDE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    places: dict[str, list[int]] = {"start_positions": [], "end_positions": []}
    for i, row in enumerate(features.pop("overflow_to_sample_mapping")):
        inside = [side == 1 for side in features.sequence_ids(i)]
        answer = train[row].answers[0]
        first = last = 0
        for place, (begin, end) in enumerate(features["offset_mapping"][i]):
            if inside[place] and begin <= answer.start < end:
                first = place
            if inside[place] and begin < answer.start + len(answer.text) <= end:
                last = place
        whole = first and last
        places["start_positions"].append(first if whole else 0)
        places["end_positions"].append(last if whole else 0)
    features.pop("offset_mapping")

    def score(trainer: transformers.Trainer, test: Any) -> float:
        pipeline = transformers.pipeline(
            "question-answering", model=trainer.model.eval(), tokenizer=tokenizer, device="cpu"
        )
        settings = {"max_seq_len": tokenizer.model_max_length, "doc_stride": STRIDE}
        found = [pipeline(question=q.question, context=q.context, **settings) for q in test]
        return float(
            np.mean([f1(one["answer"], row.gold) for one, row in zip(found, test, strict=True)])
        )

    return Plan(
        model=transformers.AutoModelForQuestionAnswering.from_pretrained(base),
        train=datasets.Dataset.from_dict({**features, **places}),
        collate=transformers.DataCollatorWithPadding(tokenizer),
        score=score,
    )


MAKERS: dict[Task, Callable[..., Plan]] = {
    Task.TEXT_CLASSIFICATION: classify_texts,
    Task.TOKEN_CLASSIFICATION: tag_tokens,
    Task.INTENT_SLOTS: frame_texts,
    Task.QUESTION_ANSWERING: answer_questions,
}


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
