"""The page: everything in one file that needs no network."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from bertedge.bench import summary, tables, wording
from bertedge.bench.html import figures
from bertedge.bench.html.looks import view_of
from bertedge.bench.reliability import unreliable
from bertedge.bench.report import Report
from bertedge.html.files import embedded, own_file

_TEMPLATES = Environment(
    loader=PackageLoader("bertedge.bench", "html"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
)  # fmt: skip


def render_page(report: Report) -> str:
    """Return the whole HTML document; whatever the record says is escaped."""
    view = view_of(report)
    return _TEMPLATES.get_template("page.html.j2").render(
        report=report,
        view=view,
        unreliable=unreliable(report),
        measured={result.engine for result in report.results},
        summary=summary,
        tables=tables,
        wording=wording,
        figures=figures,
        style=own_file("bertedge.html", "style.css"),
        script=own_file("bertedge.html", "script.js")
        + own_file("bertedge.bench.html", "script.js"),
        record=embedded(report),
    )
