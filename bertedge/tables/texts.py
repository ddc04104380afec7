"""The inputs of a model in a batch of a table's rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertedge.errors import DataError, shorten
from bertedge.spec import InputShape, Text

if TYPE_CHECKING:
    import pyarrow as pa


def texts_of(
    batch: "pa.RecordBatch", names: tuple[str, ...], shape: InputShape, path: Path, first: int
) -> list[Text | None]:
    """Return the input of each row, None where a text of it is missing.

    `first` is the file's row that the batch begins with, from 0. A list of texts, as of choices,
    stands for several of an input's. DataError names the first row that is no input.
    """
    try:
        columns = [batch.column(name).to_pylist() for name in names]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, row {first + 1:,} or one of the next: a text is not UTF-8 ({error.reason})"
        ) from None
    rows = zip(*columns, strict=True)
    return [
        _input(parts, names, shape, f"{path}, row {first + i:,}") for i, parts in enumerate(rows, 1)
    ]


def _input(
    parts: tuple[Any, ...], names: tuple[str, ...], shape: InputShape, where: str
) -> Text | None:
    if shape.most == 1 and isinstance(parts[0], str | None):
        return parts[0]
    flat: list[str] = []
    for part, name in zip(parts, names, strict=True):
        for text in part if isinstance(part, list) and shape.most is None else [part]:
            if text is None:
                return None
            if not isinstance(text, str):
                raise DataError(
                    f"{where}: column {shorten(name, 40)!r} holds {type(text).__name__}, no text; "
                    "choose another with --text-column or --pair-column"
                )
            flat.append(text)
    if not shape.accepts(len(flat)):
        raise DataError(f"{where} has {len(flat)} texts; this model takes {shape.description}")
    return tuple(flat)
