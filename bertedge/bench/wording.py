"""Numbers and names as every text, table and page of bench writes them."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertedge.bench.report import Load

MIB = 2**20


def number(value: float) -> str:
    """Write three figures or so: 0.912, 4.51, 37.6, 715, 12,345."""
    if value < 1:
        return f"{value:.3f}"
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def count(number: int, what: str) -> str:
    """Write "1 round", "10 rounds"."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def cut(name: str, width: int) -> str:
    """Shorten a name to less than `width` characters."""
    return name if len(name) < width else name[: width - 2] + "…"


def mib(size: int, digits: int | None = None) -> str:
    """Write bytes as a number of MiB, rounded to so many digits where that is given."""
    return number(size / MIB if digits is None else round(size / MIB, digits))


def slug(name: str) -> str:
    """Return a name as a part of an id or of a file's name."""
    return re.sub(r"[^\w.-]+", "-", name)


def load_name(load: "Load") -> str:
    """Return the name of a workload for people who did not type the command."""
    if load.length is None:
        return "one text at a time" if load.texts == 1 else f"all {load.texts:,} texts at once"
    return f"{count(load.texts, 'row')} of {load.length} tokens"
