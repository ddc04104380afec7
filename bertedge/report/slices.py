"""The rows cut by length, by columns and by words; and what changed texts do."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bertedge.data import ExampleFile, QuestionExample
from bertedge.data.files import read_column
from bertedge.errors import SettingError
from bertedge.evaluation import TextModel
from bertedge.evaluation.wrong import texts_of
from bertedge.progress import Progress
from bertedge.report.intervals import difference, gap, interval, metric_of
from bertedge.report.perturbations import BY_WORD, KINDS, Changed
from bertedge.report.record import Perturbed, Robustness, Slice, Slicing
from bertedge.report.rows import Rows, read_rows

MOST_VALUES = 12
"""Of a column, which have a slice of their own."""
FEWEST = 10
"""Rows of a group that is compared with others."""
MOST_CHANGED = 2000
"""Rows whose texts are changed."""
OTHER, NONE = "all other", "(empty)"


def slice_of(rows: Rows, name: str, chosen: NDArray[np.bool_]) -> Slice:
    """Return the metric of some rows."""
    own = rows.per_text[chosen]
    return Slice(name=name, rows=int(chosen.sum()), metric=interval(own, rows.metric))


def by_length(rows: Rows) -> Slicing:
    """Cut at the quartiles of the length."""
    edges = np.unique(np.quantile(rows.tokens, (0.25, 0.5, 0.75, 1.0), method="inverted_cdf"))
    found, low = [], int(rows.tokens.min())
    for high in edges.astype(int).tolist():
        chosen = (rows.tokens >= low) & (rows.tokens <= high)
        if chosen.any():
            name = f"{low} to {high} tokens" if low < high else f"{low} tokens"
            found.append(slice_of(rows, name, chosen))
        low = high + 1
    return Slicing(by="length", slices=tuple(found))


def by_column(rows: Rows, file: ExampleFile, name: str, *, compared: bool = False) -> Slicing:
    """Cut by the values of a column, the commonest first; `compared`: with the widest gap."""
    values = np.array(column_of(rows, file, name))
    counts = Counter(values.tolist())
    common = [value for value, _ in counts.most_common(MOST_VALUES)]
    found = [slice_of(rows, value, values == value) for value in common]
    rest = ~np.isin(values, common)
    if rest.any():
        found.append(slice_of(rows, OTHER, rest))
    if not compared:
        return Slicing(by=name, slices=tuple(found))
    able = [each for each in found if each.rows >= FEWEST and each.name != OTHER]
    if len(able) < 2:
        raise SettingError(
            f"{file.path}: column {name!r} has {len(able)} groups of {FEWEST} rows or more; "
            "--fairness-by needs two"
        )
    ordered = sorted(able, key=lambda each: each.metric.value)
    worst, best = ordered[0].name, ordered[-1].name
    of = [rows.per_text[values == each] for each in (worst, best)]
    return Slicing(
        by=name, slices=tuple(found), gap=gap(of[0], of[1], rows.metric), best=best, worst=worst
    )


def by_word(rows: Rows, word: str) -> Slicing:
    """Cut by whether a word, in any case, is in a text of the row."""
    chosen = np.array([_holds(texts_of(each), word) for each in rows.examples], np.bool_)
    cuts = ((f"with {word!r}", chosen), (f"without {word!r}", ~chosen))
    found = tuple(slice_of(rows, name, each) for name, each in cuts if each.any())
    return Slicing(by=f"the word {word!r}", slices=found)


def column_of(rows: Rows, file: ExampleFile, name: str) -> list[str]:
    """Return what stands in a column beside each row."""
    cells = read_column(file, name)
    lines = [0 if isinstance(each, QuestionExample) else each.line for each in rows.examples]
    return [cells.get(line, "").strip() or NONE for line in lines]


def robustness(
    model: TextModel, rows: Rows, file: ExampleFile, seed: int, progress: Progress
) -> Robustness:
    """Score the texts, or 2,000 of them, changed in each way."""
    rng = np.random.default_rng(seed)
    count = min(len(rows.examples), MOST_CHANGED)
    drawn = np.sort(rng.choice(len(rows.examples), count, replace=False))
    examples = [rows.examples[i] for i in drawn]
    before = rows.per_text[drawn]
    found = []
    for name, change in KINDS.items():
        if model.spec.task.tags_words and name not in BY_WORD:
            continue
        changed = Changed(path=file.path, examples=examples, change=change, seed=seed)
        altered = list(changed)
        shown = next((i for i in range(count) if altered[i] != examples[i]), 0)
        after = read_rows(model, changed, progress)
        answers = [
            rows.judged[i].predicted != each.predicted
            for i, each in zip(drawn.tolist(), after.judged, strict=True)
        ]
        found.append(
            Perturbed(
                name=name,
                example=(texts_of(examples[shown])[0], texts_of(altered[shown])[0]),
                value=metric_of(after.per_text, rows.metric),
                change=difference(before, after.per_text, rows.metric),
                answers_changed=float(np.mean(answers)),
            )
        )
    value = metric_of(before, rows.metric)
    return Robustness(rows=count, value=value, kinds=tuple(found))


def _holds(texts: Sequence[str], word: str) -> bool:
    """Return whether a word stands in a text by itself, or anywhere where no spaces part words."""
    low = word.lower()
    for text in texts:
        own = text.lower()
        at = own.find(low)
        while at >= 0:
            ends = own[at - 1 : at] if at else "", own[at + len(low) : at + len(low) + 1]
            if not any(each.isalnum() and each.isascii() for each in ends):
                return True
            at = own.find(low, at + 1)
    return False
