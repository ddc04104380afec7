"""Render the measured figures of the documents from the JSON files in benchmarks/.

usage: python scripts/render.py [--check]

README.md, every page of docs/ and the documents beside the models and benchmarks have regions
between `<!-- measured:begin NAME -->` and `<!-- measured:end NAME -->`; what stands in them comes
from the functions here alone; the pictures beside the JSON are drawn from it too. `--check` writes
nothing and fails if a document or a picture differs from its JSON.
"""

import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bertedge.bench import summary as words
from bertedge.bench.html.charts import picture
from bertedge.bench.html.view import load_name
from bertedge.bench.reading import read_report
from bertedge.bench.reliability import unreliable
from bertedge.bench.report import Difference, EngineReport, Report, Result

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
PICTURE = """\
<picture>
  <source media="(prefers-color-scheme: dark)" srcset="benchmarks/bench-dark.svg">
  <img alt="Median latency by engine" src="benchmarks/bench.svg">
</picture>"""
BENCH_HEAD = ("agree", "start", "peak MiB", "disk MiB")


def finetune(record: dict[str, Any]) -> str:
    rows = []
    for name, row in record["sets"].items():
        plain, ours = row.get("plain_trainer"), row["bertedge"]
        rows.append(
            [
                name,
                row["base"],
                row["metric"].replace("_", " "),
                row["epochs"],
                f"{ours['value']:.3f}",
                seconds(ours),
                f"{plain['value']:.3f} {seconds(plain)}" if plain else "not measured",
            ]
        )
    head = ["set", "base", "metric on test", "epochs", "finetune", "", "plain Trainer script"]
    said = "The plain script only trains; finetune scores the dev file and saves after each epoch. "
    return table(head, rows) + "\n\n" + said + provenance(record)


def home_intents(record: dict[str, Any]) -> str:
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


def seconds(run: dict[str, Any]) -> str:
    return "not timed" if run["seconds"] is None else f"in {run['seconds']:.0f} s"


def relation(record: dict[str, Any]) -> str:
    return recipe(record, "relation") + "\n\n" + provenance(record)


def summary(record: dict[str, Any]) -> str:
    lengths = record["sets"]["summary"]["summaries"]
    rows = [
        [
            length,
            f"**{row['model']:.1%}**",
            f"{row['lead']:.1%}",
            f"{row['random']:.1%}",
            f"{row['best']:.1%}",
            f"{row['same_as_lead']:.0%}",
        ]
        for length, row in lengths.items()
    ]
    head = [
        "sentences",
        "this model, int8",
        "the first ones",
        "by chance",
        "at best",
        "same as first",
    ]
    documents = next(iter(lengths.values()))["documents"]
    said = f"Share of the readers' questions that a summary answers, {documents} paragraphs:"
    parts = [recipe(record, "summary"), said, table(head, rows), provenance(record)]
    return "\n\n".join(parts)


def recipe(record: dict[str, Any], name: str) -> str:
    row = record["sets"][name]
    cells = [
        row["metric"],
        f"{row['rows']:,}",
        f"{row['commonest']:.4f}",
        f"{row['checkpoint']:.4f}",
        f"{row['int8']:.4f}",
        f"{row['agreement']:.2%}",
        f"{row['checkpoint_bytes'] / 1e6:.1f} → {row['bundle_bytes'] / 1e6:.1f} MB",
        f"{row['training_seconds']} s",
    ]
    head = ["metric on test", "rows", "commonest label", "checkpoint", "int8 bundle"]
    return table([*head, "labels agree", "size", "training"], [cells])


def tasks(record: dict[str, Any]) -> str:
    rows = []
    for name, row in record["sets"].items():
        kind = (row.get("problem_type") or row["task"]).removesuffix("_classification")
        rows.append(
            [
                name,
                kind.replace("-classification", "").replace("_", " ").replace("-", " "),
                row["metric"].replace("_", " "),
                f"{row['checkpoint']:.4f} → {row['int8']:.4f}",
                f"{row['agreement']:.2%}",
                f"{row['checkpoint_p50_ms']:.2f} → {row['int8_p50_ms']:.2f}",
                f"{row['checkpoint_bytes'] / 1e6:.0f} → {row['bundle_bytes'] / 1e6:.0f}",
                f"{row['training_seconds']} s ({row['training_cores']})"
                if row["training_seconds"]
                else "-",
            ]
        )
    head = ["set", "task", "metric", "checkpoint → int8", "agree", "text, ms", "MB"]
    head.append("trained (cores)")
    said = (
        "Of each task a set, test data; the checkpoint in PyTorch fp32, and the int8 bundle made "
        "of it. Times are medians of one text at a time, tokenizer and decoding included. "
    )
    return said + provenance(record) + "\n\n" + table(head, rows)


def headline() -> str:
    """Five ways to label one text: the baseline, the best of the others by kind, ours."""
    title, _, report = bench_reports()[0]
    load, ours = words.main_load(report), words.best_variant(report)
    assert load and ours
    results = {row.engine: row for row in report.results if row.workload == load.name}
    sound = [e for e in report.engines if e.problem is None and e.name in results]
    sound.sort(key=lambda engine: results[engine.name].latency.p50_ms)
    best = (
        [e for e in sound if e.baseline is None],
        [e for e in sound if e.kind == "torch" and e.baseline],
        [e for e in sound if e.kind == "optimum"],
        [e for e in sound if e.kind == "openvino" or e.name.startswith("openvino")],
        [ours],
    )
    rows = [
        [
            f"**{engine.name}**" if engine is ours else engine.name,
            cell(results[engine.name]),
            *bench_cells(engine),
        ]
        for engine in (found[0] for found in best if found)
    ]
    where = report.environment
    why = unreliable(report)
    said = (
        f"{title}, {load_name(load)}, {where.cpu}, {where.cores} cores, "
        f"{report.settings.threads} threads, {where.created[:10]}."
    )
    mark = f" **Not reliable, {why}.**" if why else ""
    return table(["engine", "one text", *BENCH_HEAD], rows) + f"\n\n{said}{mark}"


def bench() -> str:
    """One table a model, and what it comes to."""
    parts = []
    for title, model, report in bench_reports():
        if why := unreliable(report):
            parts.append(f"**{title}: not reliable, {why}.** Measure again on a quiet machine.")
        parts += [bench_table(title, report), bench_words(model, report)]
    return "\n\n".join(parts)


def bench_reports() -> list[tuple[str, str, Report]]:
    """The name of each model, a word on it, and its report, of those that are there."""
    paths = [(title, model, BENCHMARKS / file) for title, file, model in BENCHES]
    return [(title, model, read_report(path)) for title, model, path in paths if path.exists()]


def bench_table(title: str, report: Report) -> str:
    results = {(row.workload, row.engine): row for row in report.results}
    loads = report.workloads
    rows = []
    for engine in report.engines:
        if engine.problem is not None:
            continue
        cells = [
            cell(results[load.name, engine.name]) if (load.name, engine.name) in results else "-"
            for load in loads
        ]
        if set(cells) == {"-"}:
            continue
        name = f"**{engine.name}**" if engine.kind == "bundle" else engine.name
        rows.append([name, *cells, *bench_cells(engine)])
    heads = [
        load.name if load.length else "one text" if load.texts == 1 else f"{load.texts} texts"
        for load in loads
    ]
    return table([title, *heads, *BENCH_HEAD], rows)


def bench_cells(engine: EngineReport) -> list[str]:
    """What stands right of the latencies, under BENCH_HEAD."""
    seen = words.agreement(engine)
    return [
        "" if seen is None else f"{seen:.1%}",
        f"{engine.cold_start.total_s:.2f} s" if engine.cold_start else "-",
        f"{engine.peak_memory_bytes / 2**20:.0f}" if engine.peak_memory_bytes else "-",
        f"{engine.bytes_on_disk / 2**20:.0f}",
    ]


def cell(row: Result) -> str:
    text = f"{row.latency.p50_ms:.3g} ms"
    if row.speedup is None:
        return text
    if row.difference == Difference.NONE:
        return f"{text}, ~"
    return f"{text}, **{row.speedup.median:.1f}x**"


def bench_words(model: str, report: Report) -> str:
    """What the table comes to, what it leaves out, on what it was measured and how to repeat it."""
    where, what, settings = report.environment, report.comparison, report.settings
    versions = ", ".join(f"{name} {number}" for name, number in where.versions.items())
    said = [*words.summary(report), model]
    said.append(f"{what.parameters / 1e6:.0f} million parameters.")
    said.append(
        f"Medians of {settings.rounds} rounds or more; ratios paired by round; ~ is no difference "
        "beyond the noise."
    )
    said += [f"{each.name}: {each.problem}." for each in report.engines if each.problem]
    if report.left_out:
        said.append(f"Not run: {', '.join(each.name for each in report.left_out)}.")
    said.append(
        f"{where.created[:10]}, {where.cpu}, {where.cores} cores, {settings.threads} threads; "
        f"{versions}."
    )
    again = wrap_command(report.command)
    return " ".join(said) + (f"\n\n```console\n$ {again}\n```" if again else "")


def wrap_command(command: str) -> str:
    """Break a command before its flags, and name the script that brings the peers."""
    own, peers = "bertedge bench ", " --peers benchmarks/peers"
    if command.startswith(own) and command.endswith(peers):
        command = "scripts/bench-peers " + command.removeprefix(own).removesuffix(peers)
    flags = command.replace(" --", "\0--").split("\0")
    whole = [flag.replace(" ", "\0") for flag in flags]  # a flag and its value stay together
    lines = textwrap.wrap(" ".join(whole), 92, break_long_words=False, break_on_hyphens=False)
    return " \\\n      ".join(lines).replace("\0", " ")


def pictures() -> dict[Path, str]:
    """What each picture's file must hold."""
    reports = [(title, report) for title, _, report in bench_reports()]
    if not reports:
        return {}
    return {
        BENCHMARKS / "bench.svg": picture(reports, dark=False),
        BENCHMARKS / "bench-dark.svg": picture(reports, dark=True),
    }


def predictor(record: dict[str, Any]) -> str:
    titles = {
        "transformers": "transformers pipeline, fp32",
        "optimum": "Optimum ORTModel int8 + pipeline",
        "bertedge": "bertedge int8",
    }
    rows = [
        [
            name,
            titles[kind],
            f"{row['cold_start_s']:.2f} s",
            f"{row['p50_ms']:.2f} ms",
            f"{row['texts_per_second']:,.0f}",
            f"{row['agreement']:.1%}",
            f"{row['peak_mib']} MiB",
        ]
        for name, data in record["sets"].items()
        for kind, row in data["engines"].items()
    ]
    head = ["texts", "engine", "cold start", "one text, p50", "texts/s", "labels agree", "memory"]
    said = [table(head, rows), provenance(record)]
    for name, data in record["sets"].items():
        for kind, ours in data.get("ours_to", {}).items():
            said.append(
                f"{name}, bertedge to {titles[kind]}: {ours['p50']:.2f} of its time for one text, "
                f"{ours['texts_per_second']:.1f} times its texts/s, 1/{1 / ours['cold_start']:.0f} "
                "of its cold start."
            )
    if together := record.get("concurrency"):
        said += [callers(together)]
    if memory := record.get("memory"):
        said += [
            f"{memory['texts']:,} texts from a file: {memory['second_tenth_mib']:.0f} MiB resident "
            f"in the second tenth of the run, {memory['last_tenth_mib']:.0f} MiB in the last, "
            f"{memory['peak_mib']:.0f} MiB at most (`{memory['program']}`)."
        ]
    return "\n\n".join(said)


def callers(record: dict[str, Any]) -> str:
    rows = [
        [way, *(f"{cell['texts_per_second']:,} ({cell['of_one_caller']:.2f})" for cell in cells)]
        for way, cells in (
            (way, list(record[way].values())) for way in ("all at once", "one by one")
        )
    ]
    head = ["texts/s together (of one caller's)", *record["all at once"]]
    idle = f"Afterwards the process takes {record['idle_cpu']:.2%} of a core."
    return table(head, rows) + f"\n\n`{record['program']}`. {idle}"


def graph(record: dict[str, Any]) -> str:
    titles = {
        "torch-fp32": "PyTorch fp32, eager",
        "onnxruntime-fp32": "onnxruntime fp32, as exported",
        "optimum-int8": "Optimum int8, its default path",
        "openvino-nncf-int8": "OpenVINO + NNCF int8",
        "bertedge-int8": "bertedge int8",
    }
    cells = list(next(iter(record["models"].values())))
    rows = [
        [
            name,
            titles[engine],
            *(
                f"{sizes[cell][engine]['ms']:.3g} ms, {sizes[cell][engine]['times_of_ours']:.2f}x"
                for cell in cells
            ),
        ]
        for name, sizes in record["models"].items()
        for engine in titles
        if engine in sizes[cells[0]]
    ]
    return table(["model", "engine", *cells], rows) + "\n\n" + provenance(record)


def graph_variants(record: dict[str, Any]) -> str:
    rows = [
        [
            name,
            variant,
            f"{row['load_ms']:.0f} ms",
            f"{row['memory_mib']:.0f} MiB",
            *(f"{row[cell]:.2f}" for cell in row if cell[0].isdigit()),
            "yes" if row["same_answers"] else "no",
        ]
        for name, variants in record["models"].items()
        for variant, row in variants.items()
    ]
    row = next(iter(next(iter(record["models"].values())).values()))
    sizes = [cell for cell in row if cell[0].isdigit()]
    head = ["model", "graph", "load", "memory", *sizes, "same bits"]
    return table(head, rows) + "\n\n" + provenance(record)


def graph_parts(record: dict[str, Any]) -> str:
    rows = []
    for engine, parts in record["ms"].items():
        total = parts["all"]
        for name, ms in reversed(parts.items()):
            rows.append([engine, name, f"{ms:.1f} ms", f"{ms / total:.0%}"])
    head = [f"{record['model']}, {record['shape']}", "operator", "time", "share"]
    return table(head, rows) + "\n\n" + provenance(record)


def bench_check(record: dict[str, Any]) -> str:
    runs, right = record["runs"], record["right"]
    ratios = [each["ratio"] for run in record["each"] for each in run["engines"]["slowed"].values()]
    return (
        f"{runs} runs of `bench` on an int8 bundle of MiniLM, of the default rounds: the baseline "
        f"against itself was no different in {right['same']} of them, and made "
        f"{record['slowed_by'] - 1:.0%} slower it was slower in {right['slowed']}, at both "
        f"workloads. The slowed engine's ratios lay between {min(ratios):.3f} and "
        f"{max(ratios):.3f}.\n\n{provenance(record)}"
    )


def pretrain(record: dict[str, Any]) -> str:
    made = record["pretraining"]
    rows = [
        [
            f"{check['step']:,}",
            f"{check['seconds']:.0f}",
            f"{check['perplexity']:,.1f}",
            f"{check['accuracy']:.1%}",
        ]
        for check in made["checks"]
    ]
    settings = made["settings"]
    said = (
        f"A new `{settings['config']}` ({made['parameters'] / 1e6:.1f} million parameters), "
        f"{settings['minutes']:g} minutes on {made['tokens'] / 1e6:.1f} million tokens of Chinese "
        f"text, {made['tokens_per_second']:,.0f} tokens/s. ChnSentiCorp fine-tuned from it: "
        f"accuracy {record['pretrained']:.4f}; from random weights {record['random']:.4f} "
        f"({record['points_gained']:+.1f} points). {provenance(record)}"
    )
    head = ["step", "seconds", "held-out perplexity", "masked tokens right"]
    return table(head, rows) + "\n\n" + said


def distill(record: dict[str, Any]) -> str:
    rows = [
        [
            name,
            f"{row['teacher_fp32']:.4f}",
            f"{row['teacher_int8']:.4f}",
            f"{row['student_fp32']:.4f}",
            f"{row['student_int8']:.4f}",
            f"{row['teacher_one_ms']:.2f} → {row['student_one_ms']:.2f} ms, "
            f"**{row['speedup_one']:.2f}x**",
            f"**{row['speedup_all']:.2f}x**",
        ]
        for name, row in record["sets"].items()
    ]
    head = ["set", "6 layers, fp32", "int8", f"{record['layers']} layers, fp32", "int8"]
    head += ["one text, int8", "batches, int8"]
    return table(head, rows) + "\n\n" + provenance(record)


def int8(record: dict[str, Any]) -> str:
    sets = record["sets"]
    times = record.get("times", {"ratios": {}})["ratios"]
    rows = []
    for name, summary in record["summary"]["sets"].items():
        cells = [row["recipes"][row.get(name, name)]["test"]["agreement"] for row in sets.values()]
        taken = {row.get(name, name) for row in sets.values()}
        ratios = [max(times[each].values()) for each in taken if each in times]
        rows.append(
            [
                name,
                *(f"{cell:.2%}" for cell in cells),
                f"{summary['agreement_mean']:.2%}",
                f"{0 - summary['points_lost_mean']:+.2f}",
                "no" if summary["moves_most"] <= 1e-5 else "yes",
                f"{max(ratios):.2f}x" if len(ratios) == len(taken) else "not measured",
            ]
        )
    head = ["recipe", *sets, "labels agree, mean", "points", "batch matters", "time, worst shape"]
    tagged = [name for name, row in sets.items() if row["metric"] == "entity_f1"]
    agreement = f"Of {', '.join(tagged)} the entities agree (F1).\n\n" if tagged else ""
    return table(head, rows) + "\n\n" + agreement + batches(sets) + provenance(record)


def batches(sets: dict[str, Any]) -> str:
    """Say of how many texts the answer changes with the batch, by recipe."""
    counted = {name: row["batches"] for name, row in sets.items() if "batches" in row}
    if not counted:
        return ""
    each = []
    for name, recipes in counted.items():
        texts = next(iter(recipes.values()))["texts"]
        changed = ", ".join(
            f"{found['changed_in_any']} with `{recipe}`" for recipe, found in recipes.items()
        )
        each.append(f"{name} ({texts:,} texts): {changed}")
    return (
        "Test texts whose answer is another one in batches of 128, 512 or 2,048 tokens than "
        f"alone: {'; '.join(each)}.\n\n"
    )


REGIONS: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "picture": (BENCHES[0][1], lambda _: PICTURE),
    "headline": (BENCHES[0][1], lambda _: headline()),
    "bench": (BENCHES[0][1], lambda _: bench()),
    "finetune": ("finetune.json", finetune),
    "predictor": ("predictor.json", predictor),
    "graph": ("graph.json", graph),
    "graph-variants": ("graph_variants.json", graph_variants),
    "bench-check": ("bench_check.json", bench_check),
    "graph-parts": ("graph_parts.json", graph_parts),
    "pretrain": ("pretrain.json", pretrain),
    "distill": ("distill.json", distill),
    "int8": ("int8.json", int8),
    "home-intents": ("home_intents.json", home_intents),
    "relation": ("recipes.json", relation),
    "summary": ("recipes.json", summary),
    "tasks": ("tasks.json", tasks),
}
DOCUMENTS = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "models" / "home-intents" / "README.md",
    ROOT / "models" / "relation" / "README.md",
    ROOT / "models" / "summary" / "README.md",
    BENCHMARKS / "NOTES.md",
)


def table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    lines = ["| " + " | ".join(map(str, head)) + " |"]
    lines.append("|" + " --- |" * len(list(head)))
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)


def provenance(record: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return (
        f"`{record['program']}` on {record['created'][:10]}, {record['cpu']}, "
        f"{record['cores']} core{'s' if record['cores'] > 1 else ''}; {versions}."
        + (f" **{record['note']}**" if record.get("note") else "")
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
        here = Path(os.path.relpath(BENCHMARKS, document.parent)).as_posix()
        body = body.replace('"benchmarks/', f'"{here}/')
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
    for path, drawn in pictures().items():
        if not path.exists() or path.read_text(encoding="utf-8") != drawn:
            stale.append(path.relative_to(ROOT))
            if not check:
                path.write_text(drawn, encoding="utf-8")
    if check and stale:
        sys.exit(f"{', '.join(map(str, stale))} differ from benchmarks/: run scripts/render.py")


if __name__ == "__main__":
    main()
