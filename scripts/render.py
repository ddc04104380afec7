"""Render the measured figures of the documents from the JSON files in benchmarks/.

usage: python scripts/render.py [--check]

Each document has regions between `<!-- measured:begin NAME -->` and `<!-- measured:end NAME -->`;
what stands in them comes from the functions here alone. `--check` writes nothing and fails if a
document differs from what its JSON says.
"""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"


def finetune(record: dict[str, Any]) -> str:
    rows = [
        [
            name,
            row["metric"].replace("_", " "),
            row["epochs"],
            f"{row['plain_trainer']['value']:.3f}",
            f"{row['bertedge']['value']:.3f}",
            f"{row['plain_trainer']['seconds']:.0f} s",
            f"{row['bertedge']['seconds']:.0f} s",
        ]
        for name, row in record["sets"].items()
        if "plain_trainer" in row and "bertedge" in row
    ]
    head = ["set", "metric on test", "epochs", "plain Trainer", "finetune", "plain", "finetune"]
    return table(head, rows) + "\n\n" + provenance(record)


def end_to_end(record: dict[str, Any]) -> str:
    rows = [
        [
            name,
            row["metric"].replace("_", " "),
            f"{row['rows']:,}",
            f"{row['checkpoint']:.4f}",
            f"{row['int8']:.4f}",
            f"{row['agreement']:.2%}",
            f"{row['checkpoint_bytes'] / 1e6:.1f} → {row['bundle_bytes'] / 1e6:.1f} MB",
        ]
        for name, row in record["sets"].items()
    ]
    head = ["set", "metric on test", "rows", "checkpoint", "int8 bundle", "labels agree", "size"]
    return table(head, rows) + "\n\n" + provenance(record)


REGIONS: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "finetune": ("finetune.json", finetune),
    "end-to-end": ("end_to_end.json", end_to_end),
}
DOCUMENTS = (ROOT / "README.md", ROOT / "models" / "home-intents" / "README.md")


def table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    lines = ["| " + " | ".join(map(str, head)) + " |"]
    lines.append("|" + " --- |" * len(list(head)))
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)


def provenance(record: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return (
        f"`{record['program']}` on {record['created'][:10]}, {record['cpu']}, "
        f"{record['cores']} cores; {versions}."
    )


def render(text: str, document: Path) -> str:
    for name, (file, function) in REGIONS.items():
        begin, end = f"<!-- measured:begin {name} -->", f"<!-- measured:end {name} -->"
        path = BENCHMARKS / file
        if begin not in text or not path.exists():
            continue
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            sys.exit(f"{document}: {begin} has no {end}")
        body = function(json.loads(path.read_text(encoding="utf-8")))
        text = f"{before}{begin}\n{body}\n{end}{after}"
    return text


def main() -> None:
    check = sys.argv[1:] == ["--check"]
    stale = []
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        rendered = render(text, document)
        if rendered != text:
            stale.append(document.relative_to(ROOT))
            if not check:
                document.write_text(rendered, encoding="utf-8")
    if check and stale:
        sys.exit(f"{', '.join(map(str, stale))} differ from benchmarks/: run scripts/render.py")


if __name__ == "__main__":
    main()
