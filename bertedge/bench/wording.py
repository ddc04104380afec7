"""Numbers and names as every table and page of bench writes them."""

MIB = 2**20
WIDTH = 100
"""Columns of a terminal."""


def number(value: float) -> str:
    """Write three figures or so: 0.912, 4.51, 37.6, 715, 12,345."""
    if value < 1:
        return f"{value:.3f}"
    if value < 10:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def cut(name: str, width: int) -> str:
    """Shorten a name to less than `width`."""
    return name if len(name) < width else name[: width - 2] + "…"
