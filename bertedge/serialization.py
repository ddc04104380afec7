"""Frozen dataclasses to and from plain JSON or TOML data, every field checked."""

import contextlib
import dataclasses
import json
import math
import re
import types
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from bertedge.errors import shorten

T = TypeVar("T")

READERS: dict[Any, Callable[[object, str], object]] = {}
"""What builds types that no fields tell apart, such as a union of predictions, from data and its
name in messages. In the other direction such a type has `to_dict`."""


class RecordError(ValueError):
    """The data does not fit the record; the message names the field and what was found."""


def from_plain(kind: type[T], data: object, where: str = "") -> T:
    """Build the dataclass `kind` from parsed JSON or TOML.

    `where` prefixes the names of fields in messages. An unknown or missing field and a value of
    another type raise RecordError; ints are taken for floats; null only for `X | None`.
    """
    return cast(T, _build(kind, data, where))


def parse_json(raw: bytes) -> Any:
    """Parse a JSON document; RecordError where it is none, or none to be written again."""
    try:
        text = raw.decode("utf-8")
        data = _DECODER.decode(text)
        if re.search(r"\\u[dD][89a-fA-F]", text):
            _check_characters(json.dumps(data, ensure_ascii=False))
    except UnicodeDecodeError:
        raise RecordError("it is not UTF-8") from None
    except RecursionError:
        raise RecordError("it is nested too deeply") from None
    except ValueError as error:
        raise RecordError(shorten(str(error))) from None
    return data


def to_plain(value: object) -> Any:
    """Turn a dataclass (with enums, tuples, dicts) into what `json` writes."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def to_json(value: object) -> str:
    """Write a dataclass as indented JSON, innermost lists of numbers on one line each."""
    return _layout(to_plain(value), "") + "\n"


def _refuse_constant(name: str) -> NoReturn:
    raise RecordError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
"""json.loads would make one for each document."""


def _check_characters(text: str) -> None:
    if found := re.search("[\ud800-\udfff]", text):
        around = text[max(found.start() - 20, 0) : found.end() + 20]
        raise RecordError(f"there is a lone surrogate in {around!a}")


def _layout(value: Any, indent: str) -> str:
    inner = indent + "  "
    if isinstance(value, dict) and value:
        rows = [f"{inner}{json.dumps(k)}: {_layout(v, inner)}" for k, v in value.items()]
        return "{\n" + ",\n".join(rows) + "\n" + indent + "}"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return "[\n" + ",\n".join(inner + _layout(v, inner) for v in value) + "\n" + indent + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _build(kind: Any, data: object, where: str) -> object:
    if kind in READERS:
        return READERS[kind](data, where)
    if dataclasses.is_dataclass(kind):
        return _build_record(cast(type, kind), data, where)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _build_union(get_args(kind), data, where)
    if origin is tuple:
        item = get_args(kind)[0]
        values = _expect(list, data, where)
        return tuple(_build(item, value, f"{where}[{i}]") for i, value in enumerate(values))
    if origin in (dict, Mapping):
        item = get_args(kind)[1]
        table = _expect(dict, data, where)
        return {
            str(key): _build(item, value, f"{where}.{_key(key)}") for key, value in table.items()
        }
    if isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(data)
        except ValueError:
            choices = ", ".join(str(member.value) for member in kind)
            raise RecordError(f"{where} is {_show(data)}; choose one of {choices}") from None
    if kind is float:
        return _build_float(data, where)
    if kind is Path:
        return Path(_expect(str, data, where))
    return _expect(kind, data, where)


def _build_record(kind: type, data: object, where: str) -> object:
    table = _expect(dict, data, where or "the document")
    hints = get_type_hints(kind)
    prefix = f"{where}." if where else ""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name in table:
        if name not in fields:
            known = shorten(", ".join(fields))
            raise RecordError(f"{prefix}{_key(name)} is unknown; known are {known}")
    values = {}
    for name, field in fields.items():
        if name in table:
            values[name] = _build(hints[name], table[name], prefix + name)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise RecordError(f"{prefix}{name} is missing")
    return kind(**values)


def _build_union(kinds: tuple[Any, ...], data: object, where: str) -> object:
    if data is None and type(None) in kinds:
        return None
    problem = RecordError(f"{where} is {_show(data)}")
    for kind in kinds:
        if kind is not type(None):
            try:
                return _build(kind, data, where)
            except RecordError as error:
                problem = error
    raise problem


def _build_float(data: object, where: str) -> float:
    if not isinstance(data, bool) and isinstance(data, int | float):
        # An int may be too large for a float: that raises.
        with contextlib.suppress(OverflowError):
            if math.isfinite(data):
                return float(data)
    raise RecordError(f"{where} is {_show(data)}; it must be a finite number")


def _expect(kind: type, data: object, where: str) -> Any:
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        found = "null" if data is None else type(data).__name__
        raise RecordError(f"{where} must be {_NAMES.get(kind, kind.__name__)}, found {found}")
    return data


def _show(data: object) -> str:
    return shorten(repr(data))


def _key(name: object) -> str:
    return shorten(str(name), 60)


_NAMES = {dict: "a table", list: "a list", str: "a string", int: "an integer", bool: "a boolean"}
