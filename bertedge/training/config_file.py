"""A config file: TOML with any fields of a config, overridden by flags."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from bertedge.errors import SettingError, shorten
from bertedge.fields import info_of

LONGEST = 2**20
"""Of a config file, in bytes."""

T = TypeVar("T")


def read(kind: type[T], table: Mapping[str, object], *, either: tuple[str, ...] = ()) -> T:
    """Build the config `kind` from what `merge` returned.

    `either` names fields with a default of which one must be given, the usual one first. Raises
    SettingError for an unknown key, for all that is missing, and for what the config refuses.
    """
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    for name in table.keys() - names:
        raise SettingError(f"{shorten(name, 60)} is unknown; {_meant(kind, name)}")
    check_given(kind, table, either=either)
    return kind(**table)


def merge(kind: type, path: Path | None, flags: Mapping[str, object]) -> dict[str, object]:
    """Merge a TOML file with flags (None, or an empty tuple: not given), which win.

    Files named in the TOML file are relative to it; files named by flags to the working directory.
    Raises SettingError for a file that cannot be read and values that no field could have.
    """
    table = settle(kind, path, read_toml(path)) if path else {}
    return table | given(flags)


def given(flags: Mapping[str, object]) -> dict[str, object]:
    """Return the flags that were given."""
    return {name: value for name, value in flags.items() if value not in (None, ())}


def check_given(kind: type, table: Mapping[str, object], *, either: tuple[str, ...] = ()) -> None:
    """Raise SettingError that names all that is missing."""
    names = [
        each.name
        for each in fields(kind)
        if each.default is MISSING and each.default_factory is MISSING and each.name not in table
    ]
    if either and not any(name in table for name in either):
        names.append(either[0])
    flags = [f"--{name.replace('_', '-')}" for name in names]
    if len(names) == 1:
        raise SettingError(
            f"{flags[0]} is missing; give the flag, or {names[0]} in a --config file"
        )
    if names:
        listed = f"{', '.join(flags[:-1])} and {flags[-1]}"
        raise SettingError(f"{listed} are missing; give the flags, or set them in a --config file")


def _meant(kind: type, name: str) -> str:
    known = info_of(kind)
    for new, info in known.items():
        if info.formerly == name:
            return f"its name is now {new}"
    near = difflib.get_close_matches(name[:60], known, n=1)
    return f"did you mean {near[0]}?" if near else f"known are {shorten(', '.join(known))}"


def read_toml(path: Path) -> dict[str, object]:
    """Read a TOML file as it is; SettingError where that cannot be done."""
    try:
        if path.exists() and not path.is_file():
            raise SettingError(f"{path} is no regular file; give the path of a TOML file")
        with path.open("rb") as file:
            raw = file.read(LONGEST + 1)
        if len(raw) > LONGEST:
            raise SettingError(f"{path} has more than {LONGEST >> 20} MiB; is it a config file?")
        return tomllib.loads(raw.decode("utf-8").replace("\r\n", "\n"))
    except FileNotFoundError:
        raise SettingError(f"{path} does not exist; give the path of a TOML file") from None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: TOML's own, UTF-8's, …
        raise SettingError(f"{path} cannot be read as TOML: {error}") from None


def settle(kind: type, path: Path, table: Mapping[str, object]) -> dict[str, object]:
    """Return a table of the TOML file `path` with its files' names relative to that.

    Raises SettingError for values that no field could have.
    """
    table = dict(table)
    for name, value in table.items():
        _check_plain(path, name, value)
    for name, hint in get_type_hints(kind).items():
        if name in table and _holds_paths(hint):
            table[name] = _beside(path, table[name])
    for name in ("model", "teacher"):  # hub ids are none of a folder's
        if name in table:
            table[name] = _beside(path, table[name], start=".")
    return table


def _holds_paths(hint: Any) -> bool:
    return hint is Path or any(_holds_paths(each) for each in getattr(hint, "__args__", ()))


def _beside(path: Path, value: object, *, start: str = "") -> object:
    """Make a file's name, or each of a list, relative to the config file that it stands in.

    Those that do not begin with `start` stay as they are.
    """
    if isinstance(value, list):
        return [_beside(path, each, start=start) for each in value]
    named = isinstance(value, str) and value.startswith(start)
    return str(path.parent / str(value)) if named else value


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
