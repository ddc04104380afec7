"""A table's rows on their way: parts of shards, and the predictions of their texts."""

import contextlib
import itertools
import re
from array import array
from collections import deque
from collections.abc import Callable, Container, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bertedge.errors import DataError
from bertedge.predictions import Prediction
from bertedge.spec import InputShape, Text
from bertedge.tables.config import TableConfig
from bertedge.tables.opening import Table
from bertedge.tables.readers import read_batches
from bertedge.tables.shards import Piece
from bertedge.tables.texts import texts_of

if TYPE_CHECKING:
    import pyarrow as pa

Predict = Callable[[Iterator[Text]], Generator[Prediction, None, None]]


@dataclass(slots=True, kw_only=True)
class Part:
    """Consecutive rows of one shard and one file, waiting for their predictions."""

    shard: int
    row: int
    """The first, of the whole table."""
    piece: Piece
    batch: "pa.RecordBatch"
    """The kept columns."""
    texts: list[Text | None]
    wanted: int = field(init=False)
    """Predictions that its texts take."""

    def __post_init__(self) -> None:
        """Count the texts that are not missing."""
        self.wanted = sum(text is not None for text in self.texts)


def read_parts(
    table: Table, config: TableConfig, shape: InputShape, done: Container[int]
) -> Iterator[Part]:
    """Yield the rows of the shards that are not `done`, cut where a shard ends."""
    size = config.rows_per_shard
    for file in table.files:

        def wanted(first: int, end: int, before: int = file.first) -> bool:
            shards = range((before + first) // size, (before + end - 1) // size + 1)
            return end > first and any(number not in done for number in shards)

        if not wanted(0, file.rows):
            continue
        for first, batch in read_batches(file, table.columns, table.schema, config.chunk, wanted):
            at = 0
            while at < batch.num_rows:
                row = file.first + first + at
                number = row // size
                rows = min(batch.num_rows - at, (number + 1) * size - row)
                if number not in done:
                    own = batch.slice(at, rows)
                    yield Part(
                        shard=number,
                        row=row,
                        piece=Piece(file=file.name, first_row=first + at, rows=rows),
                        batch=own.select(table.kept),
                        texts=texts_of(own, table.texts, shape, file.path, first + at),
                    )
                at += rows


class ShardReader:
    """Reads the rows of one shard after the other.

    A shard further on is read from where the last one ended: a text file has to be read from its
    beginning, which must not be done once a shard.
    """

    def __init__(self, table: Table, config: TableConfig, shape: InputShape) -> None:
        """Read nothing yet."""
        self._table, self._config, self._shape = table, config, shape
        self._number = -1
        self._parts: Iterator[Part] = iter(())

    def read(self, number: int, rows: int) -> Iterator[Part]:
        """Yield the parts of a shard that has `rows` rows."""
        if self._number == -1 or number <= self._number:
            self._parts = read_parts(self._table, self._config, self._shape, self)
        self._number = number
        while rows > 0 and (part := next(self._parts, None)):
            rows -= part.batch.num_rows
            yield part

    def __contains__(self, number: object) -> bool:
        """Return whether a shard is to be passed over."""
        return number != self._number


def predict_parts(
    parts: Iterator[Part], predict: Predict, source: Path
) -> Iterator[tuple[Part, list[Prediction | None]]]:
    """Yield the parts of a shard with a prediction for each row, None where a text is missing.

    Their texts flow together, so that the cores are busy from one part to the next; a shard begins
    anew, so that it is the same whenever it is predicted.
    """
    waiting: deque[Part] = deque()
    places = array("q")

    def texts() -> Iterator[Text]:
        for part in parts:
            waiting.append(part)
            for row, text in enumerate(part.texts, part.row):
                if text is not None:
                    places.append(row)
                    yield text

    rows: list[Prediction] = []
    with _numbered(source, places), contextlib.closing(predict(texts())) as found:
        for each in itertools.chain(found, (None,)):
            while waiting and waiting[0].wanted == len(rows):
                part, own = waiting.popleft(), iter(rows)
                yield part, [None if text is None else next(own) for text in part.texts]
                rows = []
            if each is not None:
                rows.append(each)


@contextlib.contextmanager
def _numbered(source: Path, places: Sequence[int]) -> Iterator[None]:
    """Make of the number of a text in a DataError, from 0, that of its row."""
    try:
        yield
    except DataError as error:
        if not (match := re.match(r"text (\d+) ", str(error))):
            raise
        row = f"{source}, row {places[int(match[1])] + 1:,}: the text "
        raise DataError(row + str(error)[match.end() :]) from None
