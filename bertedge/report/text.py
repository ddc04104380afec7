"""The short form of a report, for a terminal."""

from bertedge.report.findings import between, findings, points
from bertedge.report.record import Report, Row

SHOWN = 5
LONGEST = 60


def render(report: Report) -> str:
    """Lay out the headline, what stands out, slices, changed texts and the surest errors."""
    value = report.value
    lines = [
        f"{report.metric.replace('_', ' ')} {value.value:.4f} ({between(value)}) on "
        f"{report.rows:,} rows of {report.data}",
        "",
        *findings(report),
    ]
    for slicing in (*report.slicings, *report.fairness):
        cells = [(s.name, s.metric.value, between(s.metric), s.rows) for s in slicing.slices]
        lines += ["", *_table(f"by {slicing.by}", cells)]
    if report.learning_curve:
        learnt = report.learning_curve.points
        lines += ["", f"{'rows trained on':<28}  {'metric':>7}  95 %"]
        lines += [
            f"{each.rows:<28,}  {each.metric.value:7.4f}  {between(each.metric)}" for each in learnt
        ]
    if report.robustness:
        lines += ["", f"{'texts changed':<28}  {'metric':>7}  change"]
        lines += [
            f"{kind.name:<28}  {kind.value:7.4f}  {points(kind.change.value)}"
            for kind in report.robustness.kinds
        ]
    if report.errors:
        lines += ["", f"surest of {report.wrong:,} rows that it gets wrong"]
        lines += [f"  {_row(row)}" for row in report.errors[:SHOWN]]
    if report.doubts and report.doubts.listed:
        lines += ["", f"likely wrong of the labels ({report.doubts.source})"]
        lines += [
            f"  line {each.place}: {_short(each.texts)}: {each.gold}, likelier {each.likelier}"
            for each in report.doubts.listed[:SHOWN]
        ]
    return "\n".join(lines)


def _table(title: str, cells: list[tuple[str, float, str, int]]) -> list[str]:
    width = max(28, *(len(name) for name, *_ in cells))
    head = f"{title:<{width}}  {'metric':>7}  {'95 %':<14}     rows"
    return [head, *(f"{n:<{width}}  {v:7.4f}  {ends:<14}  {rows:7,}" for n, v, ends, rows in cells)]


def _row(row: Row) -> str:
    return f"line {row.place}: {_short(row.texts)}: {row.predicted} {row.score:.2f}, not {row.gold}"


def _short(texts: tuple[str, ...]) -> str:
    text = " | ".join(" ".join(each.split()) for each in texts)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026"
