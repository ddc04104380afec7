"""Lines of a label and a text, parted by the first space: SST, TREC, and fastText's `__label__`."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bertedge.data.example import Columns, Request, TextExample, check_text, shorten
from bertedge.data.lines import read_lines, take_head
from bertedge.data.report import BadRows, RowReport
from bertedge.data.targets import Place, Target, of_cell
from bertedge.errors import DataError, SettingError
from bertedge.spec import ProblemType

FORMAT = "label-text"
FASTTEXT = "__label__"
_HEAD = 1000
"""Lines that are looked at."""
_ROWS_A_LABEL = 10
"""First words that are labels return: a file of plain texts has far more of them."""


def looks_like(path: Path, encoding: str | None) -> bool:
    """Return whether the first word of each line is a label: fastText's, a number, one of few."""
    lines = (text.strip() for _, text in read_lines(path, encoding, RowReport(policy=BadRows.SKIP)))
    head = take_head(filter(None, lines), _HEAD, len)
    firsts = Counter(line.split(maxsplit=1)[0] for line in head)
    if any("\t" in line or " " not in line for line in head) or not head:
        return False
    if all(first.startswith(FASTTEXT) for first in firsts):
        return True
    if all(first.lstrip("+-").isdigit() for first in firsts):
        return len(firsts) <= max(2, len(head) / 2)
    return 2 <= len(firsts) <= len(head) / _ROWS_A_LABEL


def resolve(path: Path, columns: Columns, request: Request) -> Columns:
    """Settle whether labels are read; SettingError where columns are asked for."""
    settled = Columns(
        format=FORMAT,
        text="text",
        label="label" if request.labelled else None,
        label_separator=columns.label_separator,
        encoding=columns.encoding,
        bad_rows=columns.bad_rows,
    )
    own = (columns.text in (None, "text")) and columns.label in (None, "label")
    if replace(columns, text="text", label=settled.label) != settled or not own or request.pair:
        raise SettingError(
            f"{path} is read as lines of a label and a text, which have no columns and no second "
            "text; leave these options out, or say --format tsv or csv"
        )
    return settled


def read(
    path: Path, columns: Columns, problem_type: ProblemType, report: RowReport
) -> Iterator[TextExample]:
    """Yield the examples; `columns` comes from `resolve`."""
    for number, line in read_lines(path, columns.encoding, report):
        if not line.strip():
            continue
        separator = columns.label_separator
        place = Place(path=path, line=number, problem_type=problem_type, separator=separator)
        try:
            example = _example(line.strip(), place, labelled=columns.label is not None)
        except DataError as error:
            report.skip(error)
            continue
        yield example


def _example(line: str, place: Place, *, labelled: bool) -> TextExample:
    labels, text = _cut(line)
    while labels[0].startswith(FASTTEXT) and text.startswith(FASTTEXT):
        more, text = _cut(text)
        labels += more
    target = Target()
    names = [label.removeprefix(FASTTEXT) for label in labels]
    if labelled and len(names) > 1 and place.problem_type is ProblemType.MULTI_LABEL:
        parts = [of_cell(place, name).labels or () for name in names]
        target = Target(labels=tuple(dict.fromkeys(label for part in parts for label in part)))
    elif labelled:
        if len(names) > 1:
            raise place.error(
                f"there are {len(names)} labels, {shorten(' '.join(names))}; for several labels a "
                "text: --problem-type multi_label_classification"
            )
        target = of_cell(place, names[0])
    return TextExample(
        text=check_text(place.path, place.line, text, "text"),
        pair=None,
        label=target.label,
        line=place.line,
        labels=target.labels,
        value=target.value,
    )


def _cut(line: str) -> tuple[list[str], str]:
    label, *rest = line.split(maxsplit=1)
    return [label], rest[0] if rest else ""
