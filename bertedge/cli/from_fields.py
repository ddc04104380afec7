"""Options made of a config's fields: type, help, default and bounds are written there alone."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, Field, fields
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import click

from bertedge.fields import FieldInfo, info_of

F = TypeVar("F", bound=Callable[..., Any])


def options(kind: type, only: Collection[str] = ()) -> Callable[[F], F]:
    """Add an option for each field of a config, or for those in `only`.

    Nothing is checked but types: what a flag may be, the config says, as it does from Python. A
    flag that is not given is None, so that a config file's value or the default holds.
    """
    hints, known = get_type_hints(kind), info_of(kind)
    made = [
        _option(each, hints[each.name], known[each.name])
        for each in fields(kind)
        if each.name in (only or known)
    ]

    def add(function: F) -> F:
        for option in reversed(made):
            function = option(function)
        return function

    return add


def given(kind: type, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the flags that were given, by the names of the config's fields."""
    return {name: flags[name] for name in info_of(kind) if flags.get(name) is not None}


def groups(kind: type) -> dict[str, tuple[str, ...]]:
    """Return the fields of a config by heading: the classes that it inherits them from.

    `TrainedParametersConfig` is "Trained parameters"; fields of its own have no heading.
    """
    known = info_of(kind)
    return {
        _heading(each): names
        for each in reversed(kind.__mro__[1:])
        if (names := tuple(n for n in vars(each).get("__annotations__", ()) if n in known))
    }


def _heading(kind: type) -> str:
    words = re.findall("[A-Z][a-z]*", kind.__name__.removesuffix("Config"))
    return " ".join(words).capitalize()


def former_names(kind: type) -> dict[str, str]:
    """Return the present flag by the flag of version 0.1, where they are not the same."""
    known = info_of(kind).items()
    return {_flag(info.formerly): _flag(name) for name, info in known if info.formerly}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _option(each: Field[Any], hint: Any, info: FieldInfo) -> Callable[[F], F]:
    types = [one for one in get_args(hint) or (hint,) if one is not type(None)]
    flag, default = _flag(info.flag or each.name), _shown(each, info)
    text = f"{info.help.removesuffix('.')} [{default}]." if default else info.help
    more: dict[str, Any] = {"type": _click_type(types, info), "metavar": info.metavar}
    if bool in types:
        more = {"is_flag": True}
        flag += f"/--{info.negative}" if info.negative else ""
    elif Ellipsis in types:
        more["multiple"] = True
    return click.option(flag, each.name, default=None, help=text, **more)


def _click_type(types: list[Any], info: FieldInfo) -> Any:
    if info.choices and info.metavar is None:
        return click.Choice([str(each) for each in info.choices])
    if Path in types:
        return click.Path(path_type=Path)
    return types[0] if types[0] in (int, float) else str


def _shown(each: Field[Any], info: FieldInfo) -> str:
    """Return the default as help shows it; "" where there is none to show."""
    if info.unset or each.default in (MISSING, None, ()) or isinstance(each.default, bool):
        return info.unset
    if isinstance(each.default, Enum):
        return str(each.default.value)
    return f"{each.default:g}".replace("e-0", "e-")
