"""The fields of a config: help and bounds as metadata, checked the same wherever values come from.

Standard library alone: the command line makes its options of these fields, and `--help` is quick.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, get_origin, get_type_hints

from bertedge.errors import SettingError, shorten
from bertedge.serialization import RecordError, from_plain, to_plain

T = TypeVar("T")

_KEY = "bertedge"


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldInfo:
    """What is known of a field beside its type and its default."""

    help: str
    """One line; the default is written after it."""
    metavar: str | None = None
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    choices: tuple[str | int, ...] = ()
    """All that it may be; help lists them where there is no metavar."""
    flag: str = ""
    """The flag's name, where it is not the field's."""
    unset: str = ""
    """What None, the default, stands for."""
    negative: str = ""
    """The flag for False, where there is one: `uncased` beside `cased`."""
    formerly: str = ""
    """The field's name in version 0.1."""


def about(text: str, **more: Any) -> Mapping[str, FieldInfo]:
    """Return the metadata of a field: its help, and what else `FieldInfo` holds."""
    return {_KEY: FieldInfo(help=text, **more)}


def setting(default: T, text: str, **more: Any) -> T:
    """Return a dataclass field with a default and the metadata of `about`."""
    return field(default=default, metadata=about(text, **more))


def info_of(kind: type) -> dict[str, FieldInfo]:
    """Return what is known of each field of a config that has metadata, by name."""
    return {each.name: each.metadata[_KEY] for each in fields(kind) if _KEY in each.metadata}


def validate(config: Any) -> None:
    """Check the types and the bounds of all fields; call it in `__post_init__`.

    Plain values become what the field holds, as in a TOML file: "bf16" a Precision, a string a
    Path, one value a list of one. Raises SettingError that names the field, what was found and
    what is allowed.
    """
    kind = type(config)
    hints, known = get_type_hints(kind), info_of(kind)
    for each in fields(kind):
        plain = to_plain(getattr(config, each.name))
        if get_origin(hints[each.name]) is tuple and not isinstance(plain, list):
            plain = [] if plain is None else [plain]
        try:
            value: object = from_plain(hints[each.name], plain, each.name)
        except RecordError as error:
            raise SettingError(str(error)) from None
        object.__setattr__(config, each.name, value)
        if each.name in known and value is not None:
            _check_bounds(each.name, value, known[each.name])


def _check_bounds(name: str, value: Any, info: FieldInfo) -> None:
    if info.choices and value not in info.choices:
        allowed = ", ".join(map(str, info.choices))
        raise SettingError(f"{name} is {shorten(repr(value))}; choose one of {allowed}")
    bounds: tuple[tuple[float | None, Callable[[Any, Any], bool], str], ...] = (
        (info.gt, operator.gt, "above"),
        (info.ge, operator.ge, "at least"),
        (info.le, operator.le, "at most"),
    )
    given = [(bound, holds, word) for bound, holds, word in bounds if bound is not None]
    if not all(holds(value, bound) for bound, holds, _ in given):
        allowed = " and ".join(f"{word} {bound:g}" for bound, _, word in given)
        raise SettingError(f"{name} is {value}; it must be {allowed}")
