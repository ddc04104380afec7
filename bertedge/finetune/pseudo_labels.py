"""Labels that models give to texts without any: the sure ones, of no label too many.

Pseudo-labels: Scudder 1965, "Probability of error of some adaptive pattern-recognition machines";
Yarowsky 1995 (P95-1026); Lee 2013. Texts with a low confidence are left out and the classes
balanced as in Noisy Student (Xie et al. 2020, arXiv:1911.04252, section 3.1); of each class the
same share is taken, the surest (class-balanced self-training; Zou et al. 2018, arXiv:1810.07911).
"""

import itertools
import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bertedge.data import Columns, Example, ExampleFile, TextExample, TokenExample, open_examples
from bertedge.data.folds import select_rows
from bertedge.data.split import rarest_label
from bertedge.evaluation.run import chunks
from bertedge.finetune.losses import mean_logits
from bertedge.model import TextModel
from bertedge.outputs import remove
from bertedge.progress import Progress
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.logits import sigmoid, softmax
from bertedge.spec import LabelKind, ProblemType
from bertedge.tasks.token_classification import scored_labels, tags_of, words_of
from bertedge.training.seal import fault_of, seal

TEXTS, CHOSEN = "texts.jsonl", "chosen.npy"
CHUNK = 512
"""Texts whose logits are held; those of tags are many."""
MOST = 2.0
"""How many times as many texts a label has, for each labelled row, as those that have few."""
FEW = 0.25
"""Which these are: the first quarter of the labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sureness:
    """Which texts are taken."""

    threshold: float
    """Least probability of a text's label."""
    share: float
    """Of the texts of each label, the surest ones."""


def pseudo_label(
    models: Sequence[TextModel],
    texts: ExampleFile,
    train: ExampleFile,
    sure: Sureness,
    folder: Path,
    progress: Progress,
) -> ExampleFile | None:
    """Write texts with the labels that the mean of the models gives them; None where none is sure.

    What is finished in `folder` is not done again.
    """
    if fault_of(folder) is not None:
        remove(folder)
        folder.mkdir(parents=True)
        scores = array("d")
        with (folder / TEXTS).open("w", encoding="utf-8") as file:
            for chunk in chunks(texts, progress, CHUNK):
                for example, (names, score) in zip(chunk, _answers(models, chunk), strict=True):
                    if score >= sure.threshold:
                        scores.append(score)
                        file.write(json.dumps(_row(example, names, texts.problem_type)) + "\n")
        chosen = np.zeros(0, np.bool_)
        if scores:
            strata = _strata(train, _open(folder, texts))
            chosen = choose_balanced(strata, np.frombuffer(scores, np.float64), sure.share)
        np.save(folder / CHOSEN, chosen)
        seal(folder)
    chosen = np.load(folder / CHOSEN)
    return select_rows(_open(folder, texts), chosen) if len(chosen) else None


def choose_balanced(
    strata: tuple[NDArray[np.int64], NDArray[np.int64]], scores: NDArray[np.float64], share: float
) -> NDArray[np.bool_]:
    """Return which texts `(texts,)` are taken, by the strata of the labelled rows and of them.

    Of each stratum the surest: a share of its texts, and at most MOST times as many as those with
    few have, in proportion to its labelled rows. A stratum without labelled rows has none.
    """
    found = strata[1]
    size = max(int(each.max(initial=0)) for each in strata) + 1
    rows, texts = (np.bincount(each, minlength=size) for each in strata)
    known = rows > 0
    each = np.maximum(texts[known], 1) / rows[known]  # a label that none has is not the end
    few = float(np.quantile(each, FEW, method="lower"))
    most = np.minimum(np.floor(MOST * few * rows + 1e-9), texts)
    most = np.ceil(share * most - 1e-9)
    order = np.lexsort((-scores, found))
    begins = np.searchsorted(found[order], np.arange(size))
    place = np.arange(len(found)) - begins[found[order]]
    chosen = np.zeros(len(found), np.bool_)
    chosen[order] = place < most[found[order]]
    return chosen


def _strata(
    labelled: ExampleFile, found: ExampleFile
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of the rarest label of each row of either file; no label is one, too.

    Of tags it is the rarest type of entity.
    """
    tags = labelled.task.tags_words
    numbers: dict[str, int] = {}
    rows, labels, total = array("q"), array("q"), [0, 0]
    for which, file in enumerate((labelled, found)):
        for example in file:
            assert isinstance(example, TextExample | TokenExample)
            names = {name[2:] if tags else name for name in example.names}
            for name in sorted(names):
                rows.append(sum(total))
                labels.append(numbers.setdefault(name, len(numbers)))
            total[which] += 1
    given = [np.frombuffer(each, np.int64) for each in (rows, labels)]
    first, second = np.split(rarest_label(sum(total), *given), [total[0]])
    return first, second


def _answers(
    models: Sequence[TextModel], chunk: Sequence[Example]
) -> Iterator[tuple[tuple[str, ...], float]]:
    """Yield the labels of each text, or the tags of its words, with the least of their scores."""
    model, spec = models[0], models[0].spec
    if spec.task.labels_are is LabelKind.TAGS:
        texts = words_of(chunk)
        rows = model.tokenizer.encode_words(texts)
        found, scores = scored_labels(texts, rows, _mean(models, rows), spec.labels)
        for tags, own in zip(tags_of(spec.labels, found), scores, strict=True):
            yield tuple(tags), float(own.min(initial=1.0)) if _is_iob2(tags) else 0.0
        return
    inputs = [each.input for each in chunk if isinstance(each, TextExample)]
    logits = np.stack(_mean(models, model.tokenizer.encode(inputs)))
    names = np.array(spec.labels)
    if spec.rule.problem_type is ProblemType.MULTI_LABEL:
        for own in sigmoid(logits):
            yield tuple(names[own >= 0.5].tolist()), float(np.maximum(own, 1 - own).min())
        return
    least = spec.rule.threshold or 0.0  # below, a text is out of scope
    for own in softmax(logits):
        yield (str(names[own.argmax()]),), float(own.max()) if own.max() >= least else 0.0


def _mean(models: Sequence[TextModel], rows: Sequence[Encoded]) -> list[NDArray[np.float32]]:
    """Return the logits of each row, at the models' temperatures, of the mean probabilities."""
    kind = models[0].spec.rule.problem_type
    each = [
        [torch.from_numpy(own / np.float32(model.spec.rule.temperature)) for own in found]
        for model in models
        for found in [model.infer(rows)]
    ]
    return [
        mean_logits(own, temperature=1.0, problem_type=kind).numpy()
        for own in zip(*each, strict=True)
    ]


def _is_iob2(tags: Sequence[str]) -> bool:
    """Return whether every I- goes on with what stands before it."""
    pairs = itertools.pairwise(("O", *tags))
    return all(not tag.startswith("I-") or before[2:] == tag[2:] for before, tag in pairs)


def _row(example: Example, names: tuple[str, ...], problem_type: ProblemType) -> dict[str, object]:
    if isinstance(example, TokenExample):
        return {"text": example.tokens, "label": names}
    assert isinstance(example, TextExample)
    pair = {} if example.pair is None else {"pair": example.pair}
    several = problem_type is ProblemType.MULTI_LABEL
    return {"text": example.text, **pair, "label": names if several else names[0]}


def _open(folder: Path, like: ExampleFile) -> ExampleFile:
    pair = "pair" if like.pair else None
    columns = Columns(format="jsonl", text="text", pair=pair, label="label")
    return open_examples(
        folder / TEXTS, like.task, columns, problem_type=like.problem_type, pair=like.pair
    )
