"""The inputs of a model in a batch of a table's rows."""

from typing import TYPE_CHECKING, Any

from bertedge.errors import DataError
from bertedge.spec import InputShape, Text

if TYPE_CHECKING:
    import pyarrow as pa


def texts_of(
    batch: "pa.RecordBatch", names: tuple[str, ...], shape: InputShape, where: str
) -> list[Text | None]:
    """Return the input of each row, None where a text of it is missing."""
    try:
        columns = [batch.column(name).to_pylist() for name in names]
    except UnicodeDecodeError as error:
        raise DataError(f"{where} or one of the next: the text is not UTF-8 ({error})") from None
    if shape.most == 1:
        return [_checked(text, names[0], where) for text in columns[0]]
    return [_several(parts, names, where) for parts in zip(*columns, strict=True)]


def _several(parts: tuple[Any, ...], names: tuple[str, ...], where: str) -> Text | None:
    flat: list[str | None] = []
    for part, name in zip(parts, names, strict=True):
        several = part if isinstance(part, list) else [part]
        flat += [_checked(text, name, where) for text in several]
    found = tuple(text for text in flat if text is not None)
    return found if len(found) == len(flat) else None


def _checked(text: Any, name: str, where: str) -> str | None:
    if text is None or isinstance(text, str):
        return text
    raise DataError(
        f"{where} or one of the next: column {name!r} holds {type(text).__name__}, no text; "
        "choose another with --text-column or --pair-column"
    )
