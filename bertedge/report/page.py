"""The page: everything in one file that needs no network."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from bertedge.html.files import embedded, own_file
from bertedge.html.shades import SHADES
from bertedge.report import figures, findings
from bertedge.report.record import Report

_TEMPLATES = Environment(
    loader=PackageLoader("bertedge", "report"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
)  # fmt: skip


def render_page(report: Report) -> str:
    """Return the whole HTML document; whatever the record says is escaped."""
    return _TEMPLATES.get_template("page.html.j2").render(
        report=report,
        scores=findings.class_scores(report),
        figures=figures,
        findings=findings,
        shades=SHADES,
        style=own_file("bertedge.html", "style.css") + own_file("bertedge.report", "style.css"),
        script=own_file("bertedge.html", "script.js"),
        record=embedded(report),
    )
