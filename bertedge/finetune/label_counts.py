"""How many rows each label has, as people look at it before training."""

from bertedge.data.example import shorten
from bertedge.data.labels import Survey
from bertedge.joint_labels import PREFIX
from bertedge.spec import Task

MOST_SHOWN = 10
ENDS = 3
"""Of more labels, the most and the least frequent ones are shown."""
FEW = 10
"""Rows of a label that hardly teach it."""
_WIDEST = 30
_MOST_NAMED = 5


def count_labels(rows: Survey, task: Task) -> dict[str, dict[str, int]]:
    """Return the rows of each label, most first; of tags, the entities of each type.

    By what is counted: "label", "entity" or "intent". Empty where there are no classes.
    """
    if task.fixed_labels is not None or rows.values:
        return {}
    if not task.tags_words:
        return {"label": dict(rows.counts.most_common())}
    intents = {name: count for name, count in rows.counts.most_common() if name.startswith(PREFIX)}
    found = {"intent": {name.removeprefix(PREFIX): count for name, count in intents.items()}}
    kinds = [(name, count) for name, count in rows.counts.most_common() if name.startswith("B-")]
    found["entity"] = {name[2:]: count for name, count in kinds}
    return {what: counts for what, counts in found.items() if counts}


def label_table(what: str, counts: dict[str, int], rows: int) -> list[str]:
    """Lay out labels with their rows and their share, a line each."""
    total = sum(counts.values()) if what == "entity" else rows
    names = list(counts)
    left = len(names) - 2 * ENDS if len(names) > MOST_SHOWN else 0
    shown = [*names[:ENDS], *names[-ENDS:]] if left else names
    cells = {name: shorten(name, _WIDEST)[1:-1] for name in shown}
    width = max(len(what), *map(len, cells.values()))
    unit = "found" if what == "entity" else "rows"
    lines = [f"{what:<{width}}  {unit:>9}   share"]
    for i, name in enumerate(shown):
        if left and i == ENDS:
            lines.append(f"… {left:,} more")
        lines.append(f"{cells[name]:<{width}}  {counts[name]:>9,}  {counts[name] / total:6.1%}")
    return lines


def few_rows(what: str, counts: dict[str, int]) -> list[str]:
    """Return a line that names the labels with FEW rows or fewer."""
    few = [name for name, count in counts.items() if count <= FEW]
    if not few:
        return []
    least = sorted(few, key=lambda name: (counts[name], name))[:_MOST_NAMED]
    named = ", ".join(f"{shorten(name, 20)} ({counts[name]})" for name in least)
    more = ", …" if len(few) > len(least) else ""
    of = {"entity": "entity types occur", "intent": "intents have", "label": "labels have"}[what]
    one = {"entity": "entity type occurs", "intent": "intent has", "label": "label has"}[what]
    unit = "times" if what == "entity" else "rows"
    how_many = f"1 {one}" if len(few) == 1 else f"{len(few):,} of {len(counts):,} {of}"
    return [f"{how_many} {FEW} {unit} or fewer: {named}{more}; more of them would help"]
