"""The report for people: its tables within a hundred columns, and what it comes to in words."""

import textwrap
from collections.abc import Sequence

from bertedge.bench import summary, tables
from bertedge.bench.report import Report
from bertedge.bench.tables import Row, Table
from bertedge.bench.wording import cut

WIDTH = 100
"""Columns of a terminal."""
NAME = 18
"""Columns of a name, at most."""


def render(report: Report, *, details: bool = False) -> str:
    """Return the whole report, a newline at its end."""
    found = [tables.overview(report, tables.short_cell)]
    if details:
        found += [*tables.latencies(report), tables.starts(report), tables.engines(report)]
    parts = [
        [line for name, fact in tables.facts(report)[:5] for line in _wrap(f"{name:9} {fact}", 10)],
        *map(layout, found),
        _problems(report),
        [line for note in summary.notes(report) for line in _wrap(note)],
        [line for sentence in summary.summary(report) for line in _wrap(sentence)],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def layout(table: Table) -> list[str]:
    """Lay a table out; columns beyond the width go into another block below, names repeated."""
    full = [row.cells for row in table.rows if not row.instead]
    heads, widths = [], []
    for i, head in enumerate(table.head):
        least = max(map(len, [*head.split(), *(cells[i] for cells in full)]), default=0)
        heads.append(textwrap.wrap(head, max(least, 1)))
        widths.append(least)
    names = [cut(row.cells[0], NAME) for row in table.rows]
    first = max(map(len, [table.head[0], *names]))
    gap = 2 if first + sum(widths[1:]) + 2 * (len(widths) - 1) <= WIDTH else 1
    lines = [table.title] if table.title else []
    for block in _blocks(widths, WIDTH - first, gap):
        height = max((len(heads[i]) for i in block), default=0)
        for level in range(-height, 0):
            words = (heads[i][level] if len(heads[i]) >= -level else "" for i in block)
            cells = (f"{w:>{widths[i] + gap}}" for w, i in zip(words, block, strict=True))
            lines.append(f"{table.head[0] if level == -1 else '':{first}}{''.join(cells)}".rstrip())
        for name, row in zip(names, table.rows, strict=True):
            lines.append(_line(f"{name:{first}}", row, [(i, widths[i] + gap) for i in block]))
    return [*lines, table.note] if table.note else lines


def _blocks(widths: Sequence[int], room: int, gap: int) -> list[list[int]]:
    blocks: list[list[int]] = [[]]
    taken = 0
    for i, width in enumerate(widths[1:], 1):
        if blocks[-1] and taken + width + gap > room:
            blocks.append([])
            taken = 0
        blocks[-1].append(i)
        taken += width + gap
    return blocks


def _line(name: str, row: Row, columns: Sequence[tuple[int, int]]) -> str:
    if row.instead:
        return f"{name} {row.instead}"[:WIDTH]
    return (name + "".join(f"{row.cells[i]:>{width}}" for i, width in columns)).rstrip()


def _problems(report: Report) -> list[str]:
    bad = [f"! {engine.name}: {engine.problem}" for engine in report.engines if engine.problem]
    out = [
        f"- {item.name} is left out: {item.why}{f' ({item.fix})' if item.fix else ''}"
        for item in report.left_out
    ]
    return [line for item in bad + out for line in _wrap(item, 2)]


def _wrap(text: str, indent: int = 0) -> Sequence[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)
