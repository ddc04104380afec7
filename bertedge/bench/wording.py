"""Numbers and names as every text, table and page of bench writes them."""

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
