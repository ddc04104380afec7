"""The page: everything in one file that needs no network."""

import importlib.resources
import json

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bertedge import serialization
from bertedge.bench import summary, tables, wording
from bertedge.bench.html import figures
from bertedge.bench.html.looks import view_of
from bertedge.bench.reliability import unreliable
from bertedge.bench.report import Report

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
        style=_file("style.css"),
        script=_file("script.js"),
        record=_embedded(report),
    )


def _file(name: str) -> Markup:
    """Read one of our own files, which goes into the page as it is."""
    path = importlib.resources.files("bertedge.bench.html") / name
    return Markup(path.read_text(encoding="utf-8"))


def _embedded(report: Report) -> Markup:
    """Write the record for a script element, which must not hold what could end it."""
    text = json.dumps(serialization.to_plain(report), ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))
