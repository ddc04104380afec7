"""Render the measured figures of the documents from the JSON files in benchmarks/.

README.md, every page of docs/ and the documents beside the models and benchmarks have regions
between `<!-- measured:begin NAME -->` and `<!-- measured:end NAME -->`; what stands in them comes
from the macro NAME in figures.md.j2 alone; the pictures beside the JSON are drawn from it too.
"""

import argparse
import json
import os
import re
import statistics
import sys
import textwrap
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bertedge.bench import summary, tables
from bertedge.bench.html.figures import picture
from bertedge.bench.reading import read_report
from bertedge.bench.reliability import unreliable
from bertedge.bench.report import Report, Result
from bertedge.bench.statistics import Difference

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
BENCHES = (
    ("MiniLM", "bench_home_intents.json", "Fine-tuned for a voice hub's intents."),
    (
        "BERT-base",
        "bench_bert_base.json",
        "Random weights (`benchmarks/random_base.py`): they cost the same time.",
    ),
)
"""What `bertedge bench` wrote, with its name and a word on the model; those there are rendered."""
RECORDS = dict.fromkeys(("picture", "headline", "bench"), BENCHES[0][1]) | {
    "relation": "recipes.json",
    "summary": "recipes.json",
    "requests": "predictor.json",
    "served": "serve_load.json",
}
"""The record of a region that has not its name."""
DOCUMENTS = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "models" / "home-intents" / "README.md",
    ROOT / "models" / "relation" / "README.md",
    ROOT / "models" / "summary" / "README.md",
    BENCHMARKS / "NOTES.md",
)
REGION = re.compile(r"(<!-- measured:begin (\S+) -->\n).*?(<!-- measured:end \2 -->)", re.DOTALL)


def fill(name: str, record: dict[str, Any]) -> str:
    """Return what stands in a region."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    templates.filters |= {
        "f": format, "mean": statistics.fmean, "spaced": lambda name: name.replace("_", " "),
        "by_set": by_set, "runs_of": runs_of, "all_of": all_of, "mean_of": mean_of,
    }  # fmt: skip
    templates.globals |= {
        "benches": reports(), "rows": rows, "headline_of": headline, "wrap": wrap_command,
        "bench_head": lambda report: tables.overview(report, cell).head[1:],
        "summary_of": summary.summary, "unreliable": unreliable, "pairs_of": pairs_of,
    }  # fmt: skip
    module = templates.get_template("figures.md.j2").make_module()
    text = getattr(module, name.replace("-", "_"))(record)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def by_set(runs: dict[str, Any]) -> list[tuple[str, list[Any]]]:
    """The runs of each set, of all its seeds."""
    found: dict[str, list[Any]] = {}
    for key, run in runs.items():
        found.setdefault(set_of(key), []).append(run)
    return list(found.items())


def set_of(key: str) -> str:
    """The set of a run: the seed is what stands behind the last "-"."""
    return key.rpartition("-")[0]


def all_of(rows: list[Any], name: str) -> list[Any]:
    """The run of that name of each row; none where a row lacks it."""
    return [row[name] for row in rows] if all(name in row for row in rows) else []


def mean_of(runs: list[Any], field: str) -> float:
    """The mean of a field of all runs."""
    return statistics.fmean(run[field] for run in runs)


def runs_of(technique: dict[str, Any]) -> dict[str, Any]:
    """The runs of a technique, by set and seed; None for one that was refused."""
    return {name: run for name, run in technique.items() if name != "flags"}


def pairs_of(
    name: str, technique: dict[str, Any], plain: dict[str, Any]
) -> list[tuple[Any, Any]] | None:
    """The runs of a technique on a set beside the plain ones of the same seeds; None: refused."""
    own = {key: run for key, run in runs_of(technique).items() if set_of(key) == name}
    if own and None in own.values():
        return None
    return [(run, plain[key]) for key, run in own.items() if key in plain]


def reports() -> list[tuple[str, str, Report]]:
    """The name of each model, a word on it, and its report, of those that are there."""
    paths = [(title, model, BENCHMARKS / file) for title, file, model in BENCHES]
    return [(title, model, read_report(path)) for title, model, path in paths if path.exists()]


def rows(report: Report) -> dict[str, list[str]]:
    """The cells of each engine that has figures and no problem, by its name."""
    found = {row.cells[0]: row for row in tables.overview(report, cell).rows}
    broken = {engine.name for engine in report.engines if engine.problem}
    return {
        name: [
            f"**{name}**" if row.strong else name,
            *(each or "-" for each in row.cells[1:-4]),
            *row.cells[-4:],
        ]
        for name, row in found.items()
        if name not in broken and any(row.cells[1:-4])
    }


def headline(report: Report) -> list[list[str]]:
    """Cells of five ways to label one text: the baseline, the best others by kind, ours."""
    main, cells = summary.main_load(report), rows(report)
    results = sorted(report.at(main.name).values(), key=lambda result: result.latency.p50_ms)
    sound = [report.by_name[each.engine] for each in results if each.engine in cells]
    best = (
        [e for e in sound if e.baseline is None],
        [e for e in sound if e.kind == "torch" and e.baseline],
        [e for e in sound if e.kind == "optimum"],
        [e for e in sound if e.kind == "openvino" or e.name.startswith("openvino")],
        [summary.best_variant(report)],
    )
    at = 1 + report.measured().index(main)
    chosen = [cells[engines[0].name] for engines in best if engines and engines[0]]
    return [[row[0], row[at], *row[-4:]] for row in chosen]


def cell(result: Result, best: bool) -> str:
    text = f"{result.latency.p50_ms:.3g} ms"
    if result.speedup is None:
        return text
    none = result.difference == Difference.NONE
    return f"{text}, ~" if none else f"{text}, **{result.speedup.median:.1f}x**"


def wrap_command(command: str) -> str:
    """Break a command before its flags, and name the script that brings the peers."""
    own, peers = "bertedge bench ", " --peers benchmarks/peers"
    if command.startswith(own) and command.endswith(peers):
        command = "scripts/bench-peers " + command.removeprefix(own).removesuffix(peers)
    flags = command.replace(" --", "\0--").split("\0")
    whole = [flag.replace(" ", "\0") for flag in flags]  # a flag and its value stay together
    lines = textwrap.wrap(" ".join(whole), 92, break_long_words=False, break_on_hyphens=False)
    return " \\\n      ".join(lines).replace("\0", " ")


def render(text: str, document: Path) -> str:
    """Return a document with all its regions filled whose records are there."""
    here = Path(os.path.relpath(BENCHMARKS, document.parent)).as_posix()

    def filled(region: re.Match[str]) -> str:
        begin, name, end = region.groups()
        path = BENCHMARKS / RECORDS.get(name, f"{name.replace('-', '_')}.json")
        if not path.exists():
            return region[0]
        body = fill(name, json.loads(path.read_text(encoding="utf-8")))
        return begin + body.replace('"benchmarks/', f'"{here}/') + "\n" + end

    rendered, found = REGION.subn(filled, text)
    if found != text.count("<!-- measured:begin"):
        sys.exit(f"{document}: a region has no end")
    return rendered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check",
        action="store_true",
        help="Write nothing; fail if a document or a picture differs from its JSON.",
    )
    check = parser.parse_args().check
    shown = [(title, report) for title, _, report in reports()]
    wanted = {path: render(path.read_text(encoding="utf-8"), path) for path in DOCUMENTS}
    for name, dark in (("bench.svg", False), ("bench-dark.svg", True)):
        if shown:
            wanted[BENCHMARKS / name] = picture(shown, dark=dark)
    stale = [
        path
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if not check:
        for path in stale:
            path.write_text(wanted[path], encoding="utf-8")
    elif stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        sys.exit(f"{names} differ from benchmarks/: run scripts/render.py")


if __name__ == "__main__":
    main()
