"""What the engines are given: batches of random tokens on a grid, and real texts."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bertedge.bench.protocol import TextWorkload, TokenWorkload
from bertedge.data import (
    Columns,
    Example,
    ExampleFile,
    QuestionExample,
    TextExample,
    TokenExample,
    open_examples,
)
from bertedge.data.labels import check_known, with_label_map
from bertedge.errors import DataError, SettingError
from bertedge.spec import DecisionRule, LabelKind, Task

ROWS = 32
"""Rows of random tokens in a grid cell, over as many batches as that takes: an engine's labels
are compared on all of them, and no run repeats the one before it."""

NO_COLUMNS = Columns()
ONE_BY_ONE = "texts one by one"
ALL_AT_ONCE = "texts all at once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A place in the grid."""

    batch: int
    length: int
    """In tokens."""

    @property
    def name(self) -> str:
        """Such as "8x128"."""
        return f"{self.batch}x{self.length}"


MOST_TOKENS = 2**20
"""Of a batch: every worker holds all batches as numbers."""
DEFAULT_GRID = (
    Cell(batch=1, length=16),
    Cell(batch=1, length=128),
    Cell(batch=8, length=128),
)


def parse_grid(text: str, max_length: int) -> tuple[Cell, ...]:
    """Read "1x16,8x128"; SettingError where it is malformed or longer than the model reads."""
    cells = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([1-9]\d{0,4})\s*[x*]\s*([1-9]\d{0,4})\s*", part)
        if not match:
            raise SettingError(
                f"--grid has {part.strip()!r}; give batch x length pairs such as 1x16,8x128"
            )
        cell = Cell(batch=int(match[1]), length=int(match[2]))
        if cell.length > max_length:
            raise SettingError(
                f"--grid has {cell.name}, but the model reads {max_length} tokens at most"
            )
        if cell.batch * cell.length > MOST_TOKENS:
            raise SettingError(
                f"--grid has {cell.name}: a batch of {cell.batch * cell.length:,} tokens; give at "
                f"most {MOST_TOKENS:,}"
            )
        cells.append(cell)
    return tuple(dict.fromkeys(cells))


def default_grid(max_length: int) -> tuple[Cell, ...]:
    """The usual cells, their lengths cut to what the model reads."""
    cut = (Cell(batch=c.batch, length=min(c.length, max_length)) for c in DEFAULT_GRID)
    return tuple(dict.fromkeys(cut))


def plain_tokens(tokenizer_json: str, vocabulary: int) -> list[int]:
    """List the ids below `vocabulary` that stand for text, not for something special."""
    import tokenizers  # type: ignore[import-untyped]

    native = tokenizers.Tokenizer.from_str(tokenizer_json)
    added = native.get_added_tokens_decoder()
    ids = native.get_vocab(with_added_tokens=False).values()
    return sorted(token for token in set(ids) if token < vocabulary and token not in added)


def token_workload(cell: Cell, tokens: Sequence[int], *, seed: int) -> TokenWorkload:
    """Fill a cell's batches with random tokens; the same seed gives the same batches."""
    batches = max(1, -(-ROWS // cell.batch))
    generator = np.random.default_rng([seed, cell.batch, cell.length])
    ids = generator.choice(np.asarray(tokens), size=(batches, cell.batch, cell.length))
    return TokenWorkload(
        name=cell.name,
        batches=tuple(tuple(tuple(row) for row in batch) for batch in ids.tolist()),
    )


def text_workloads(texts: Sequence[tuple[str, ...]]) -> tuple[TextWorkload, TextWorkload]:
    """Return the workloads of these texts one by one, and all at once."""
    return (
        TextWorkload(name=ONE_BY_ONE, texts=tuple(texts), at_once=False),
        TextWorkload(name=ALL_AT_ONCE, texts=tuple(texts), at_once=True),
    )


def draw(file: ExampleFile, count: int, *, seed: int) -> tuple[Example, ...]:
    """Draw `count` examples, all of a shorter file, in their order; DataError where it has none.

    Reservoir sampling (Vitter's algorithm R): the file is read once and never held.
    """
    generator = random.Random(seed)
    drawn: list[tuple[int, Example]] = []
    for number, example in enumerate(file):
        place = number if number < count else generator.randint(0, number)
        if place < count:
            drawn[place : place + 1] = [(number, example)]
    if not drawn:
        raise DataError(f"{file.path} holds no texts")
    return tuple(example for _, example in sorted(drawn, key=lambda item: item[0]))


def text_of(example: Example) -> tuple[str, ...]:
    """Return an example's text or pair; words are joined with spaces."""
    match example:
        case TokenExample():
            return (" ".join(example.tokens),)
        case TextExample() | QuestionExample():
            return (example.input,) if isinstance(example.input, str) else example.input


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledTexts:
    """Examples with their labels, as texts that any engine can be given."""

    data: str
    """Name of the file."""
    task: Task
    examples: tuple[Example, ...]

    @property
    def texts(self) -> tuple[tuple[str, ...], ...]:
        """The texts; words are joined with spaces."""
        return tuple(text_of(example) for example in self.examples)


def draw_labelled(  # noqa: PLR0913 (how the file is read, and what of it)
    data: Path,
    task: Task,
    columns: Columns,
    labels: tuple[str, ...],
    *,
    count: int,
    seed: int,
    trained: Columns = NO_COLUMNS,
    label_map: Mapping[str, str] | None = None,
) -> LabelledTexts:
    """Draw `count` examples; DataError where the file has no labels, or none the model knows."""
    file = open_examples(data, task, columns, labelled=True, trained=trained)
    file = with_label_map(file, label_map or {})
    if task.labels_are is not LabelKind.TAGS:
        file = check_known(file, labels, DecisionRule())
    examples = draw(file, count, seed=seed)
    whole = [e for e in examples if not isinstance(e, TokenExample) or e.intent]
    unknown = {name for each in whole for name in each.names} - set(labels)
    if unknown and task.fixed_labels is None:
        raise DataError(f"the model does not know the label {min(unknown)!r}")
    return LabelledTexts(data=data.name, task=task, examples=examples)
