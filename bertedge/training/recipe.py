"""A recipe file: TOML with any settings of a run, overridden by flags, checked field by field."""

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TypeVar

from bertedge import serialization
from bertedge.errors import SettingError, shorten

LONGEST = 2**20
"""Of a recipe, in bytes."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a kind of recipe allows beyond its types."""

    paths: tuple[str, ...]
    """Fields that name files, relative to the recipe that they stand in."""
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Least and largest value of a number."""
    above: tuple[str, ...] = ()
    """Numbers that must be above their least value."""
    either: tuple[str, ...] = ()
    """Fields with a default of which one must be given; the first is the usual one."""


OPTIMIZER = {
    "batch_size": (1, 65_536),
    "accumulate": (1, 65_536),
    "learning_rate": (0.0, 1.0),
    "warmup": (0.0, 1.0),
    "weight_decay": (0.0, 10.0),
    "clip": (0.0, float("inf")),
    "seed": (0, 2**32 - 1),
}
"""Bounds of what every training run is told."""


def read(kind: type[T], path: Path | None, flags: Mapping[str, object], limits: Limits) -> T:
    """Merge a TOML recipe with flags (None: not given) to the dataclass `kind`; flags win.

    Files named in the recipe are relative to the recipe; files named by flags to the working
    directory. Raises SettingError for an unknown key, a missing one, or a value out of range.
    """
    merged = merge(path, flags, limits)
    where = f"{path}: " if path else ""
    check_given(kind, path, merged, limits)
    try:
        recipe = serialization.from_plain(kind, merged)
    except serialization.RecordError as error:
        raise SettingError(f"{where}{error}") from None
    _check(recipe, limits)
    return recipe


def merge(path: Path | None, flags: Mapping[str, object], limits: Limits) -> dict[str, object]:
    """Merge a TOML recipe with flags, unchecked; see `read`."""
    table = _read_toml(path, limits.paths) if path else {}
    return table | {name: value for name, value in flags.items() if value is not None}


def check_given(
    kind: type[T], path: Path | None, merged: Mapping[str, object], limits: Limits
) -> None:
    """Raise SettingError that names all that is missing."""
    if missing := _missing(kind, merged, limits.either):
        raise SettingError((f"{path}: " if path else "") + missing)


def _read_toml(path: Path, names: tuple[str, ...]) -> dict[str, object]:
    try:
        if path.exists() and not path.is_file():
            raise SettingError(f"{path} is no regular file; give the path of a TOML file")
        with path.open("rb") as file:
            raw = file.read(LONGEST + 1)
        if len(raw) > LONGEST:
            raise SettingError(f"{path} has more than {LONGEST >> 20} MiB; is it a recipe?")
        table = tomllib.loads(raw.decode("utf-8").replace("\r\n", "\n"))
    except FileNotFoundError:
        raise SettingError(f"{path} does not exist; give the recipe's path") from None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: TOML's own, UTF-8's, …
        raise SettingError(f"{path} cannot be read as TOML: {error}") from None
    for name, value in table.items():
        _check_plain(path, name, value)
    for name in names:
        value = table.get(name)
        if isinstance(value, str):
            table[name] = str(path.parent / value)
        elif isinstance(value, list):
            table[name] = [str(path.parent / v) if isinstance(v, str) else v for v in value]
    model = table.get("model")
    if isinstance(model, str) and model.startswith("."):
        table["model"] = str(path.parent / model)
    return table


def _missing(kind: type[T], given: Mapping[str, object], either: tuple[str, ...]) -> str:
    """Name all the fields that must be given and are not; "" where there are none."""
    names = [
        each.name
        for each in fields(kind)  # type: ignore[arg-type]
        if each.default is MISSING and each.default_factory is MISSING and each.name not in given
    ]
    if either and not any(name in given for name in either):
        names.append(either[0])
    if not names:
        return ""
    flags = [f"--{name.replace('_', '-')}" for name in names]
    if len(names) == 1:
        return f"{flags[0]} is missing; give the flag, or {names[0]} in a --recipe"
    listed = f"{', '.join(flags[:-1])} and {flags[-1]}"
    return f"{listed} are missing; give the flags, or set them in a --recipe"


def _check_plain(path: Path, name: str, value: object) -> None:
    """Raise SettingError for a value that no key has, and that fails wherever it is used."""
    where = f"{path}: {shorten(name)}"
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict | list):
            raise SettingError(f"{where} is a table or a list of lists; give one value")
        if isinstance(item, str) and "\0" in item:
            raise SettingError(f"{where} holds a NUL character; delete it")
        if isinstance(item, int) and item.bit_length() > 63:
            raise SettingError(f"{where} is a whole number of {item.bit_length()} bits; give less")


def _check(recipe: object, limits: Limits) -> None:
    for each in fields(recipe):  # type: ignore[arg-type]
        value = getattr(recipe, each.name)
        if each.name in limits.bounds and value is not None:
            low, high = limits.bounds[each.name]
            above = value > low if each.name in limits.above else value >= low
            if not above or value > high:
                sign = "above" if each.name in limits.above else "at least"
                raise SettingError(
                    f"{each.name} is {value}; it must be {sign} {low:g} and at most {high:g}"
                )
