"""The figures in numbers, the machine, the noise, and what was left out, as HTML."""

from collections.abc import Sequence
from html import escape

from bertedge.bench import sentences
from bertedge.bench.html.view import MIB, View, accuracy_name, load_name
from bertedge.bench.reliability import other_cores
from bertedge.bench.report import EngineReport, Report, Result
from bertedge.bench.statistics import Ratio
from bertedge.bench.wording import number

FEW = 4
"""Columns that fit a phone, their cells wrapped."""


def latencies(view: View) -> str:
    """One table for each workload."""
    parts = []
    for load in view.report.workloads:
        rows = view.of(load.name)
        if not rows:
            continue
        sound = [result for _, engine, result in rows if not engine.problem]
        best = min(sound, key=lambda result: result.latency.p50_ms, default=None)
        parts.append(
            f"<h3>{escape(load.name)} <small>{escape(load_name(load))}</small></h3>"
            + _table(
                (
                    *("engine", "p50 ms", "p90", "p95", "p99", "max", "texts/s"),
                    *("speed-up (95 %)", "difference", "labels agree", "warm-up"),
                ),
                [_latency(engine, result, best=result is best) for _, engine, result in rows],
            )
        )
    return "".join(parts) or "<p>No engine was measured.</p>"


def engines(report: Report) -> str:
    """What each engine is, what it takes, and how right it is."""
    metric = next((e.labelled.metric for e in report.engines if e.labelled), None)
    head = [
        *("engine", "first label s", "disk MiB", "installed MiB", "peak MiB", "idle CPU"),
        *("J a text", *([accuracy_name(metric)] if metric else []), "labels agree"),
        "same entity lists",
        *("kind", "precision", "runs on", "batches"),
    ]
    rows = []
    for engine in report.engines:
        seen, right = sentences.agreement(engine), engine.labelled
        lists = sentences.text_agreement(engine)
        start = engine.cold_start
        rows.append(
            [
                escape(engine.name),
                f"{start.total_s:.2f}" if start else "-",
                number(engine.bytes_on_disk / MIB),
                _mib(engine.installed_bytes),
                _mib(engine.peak_memory_bytes),
                "-" if engine.idle_cpu is None else f"{engine.idle_cpu:.1%}",
                "-" if engine.joules_per_text is None else number(engine.joules_per_text),
                *([f"{right.value:.4f}" if right else "-"] if metric else []),
                "baseline" if engine.baseline is None else "-" if seen is None else f"{seen:.1%}",
                "-" if lists is None else f"{lists:.1%}",
                escape(engine.kind),
                escape(engine.precision),
                f"<span class=long>{escape(engine.runs_on or '-')}</span>",
                f"<span class=long>{escape(engine.batching or '-')}</span>",
            ]
        )
    # What no engine has, such as energy where there is no counter, needs no column.
    kept = [i for i in range(len(head)) if any(row[i] != "-" for row in rows)]
    return _table([head[i] for i in kept], [[row[i] for i in kept] for row in rows])


def noise(report: Report) -> str:
    """The baseline against itself."""
    if not report.noise:
        return (
            "<p>The baseline was not measured against itself in this record, so that differences "
            "are judged by their intervals alone; measure again with this version.</p>"
        )
    rows = [
        [
            escape(item.workload),
            escape(item.engine),
            _ratio(item.ratio),
            f"±{item.floor:.1%}",
        ]
        for item in report.noise
    ]
    return (
        "<p>A second process of the baseline was measured like any other engine. A ratio that is "
        "no further from 1 counts as no difference.</p>"
        + _table(("workload", "engine", "against itself (95 %)", "no difference within"), rows)
    )


def left_out(report: Report) -> str:
    """Engines that were not run or went wrong, and why."""
    wrong = [
        f"<li><strong>{escape(engine.name)}</strong> {escape(engine.problem)}</li>"
        for engine in report.engines
        if engine.problem
    ]
    out = [
        f"<li><strong>{escape(item.name)}</strong> left out: {escape(item.why)}"
        + (f" <code>{escape(item.fix)}</code>" if item.fix else "")
        + "</li>"
        for item in report.left_out
    ]
    if not wrong + out:
        return "<p>Every engine that bench knows was run, and none failed.</p>"
    return f'<ul class="plain">{"".join(wrong + out)}</ul>'


def environment(report: Report) -> str:
    """The machine, the software, the settings."""
    where, how, what = report.environment, report.settings, report.comparison
    taken = other_cores(report)
    cores = f"{where.cores} usable"
    if where.host_cores is not None:
        cores += f" of the machine's {where.host_cores}"
    facts: list[tuple[str, str | None]] = [
        ("bundle", what.bundle),
        ("baseline", f"{what.baseline}, {what.parameters:,} parameters"),
        ("task", f"{what.task}, {what.labels} labels, {what.max_length} tokens at most"),
        ("texts", what.data),
        ("CPU", where.cpu),
        ("cores", cores),
        ("CPU flags", ", ".join(where.cpu_flags) or "none that matter to int8 or bf16"),
        ("governor", where.governor or "not readable"),
        ("memory", f"{where.memory_bytes / 2**30:.1f} GiB" if where.memory_bytes else None),
        ("load before", None if where.load is None else f"{where.load:.2f}"),
        ("other processes", None if taken is None else f"{taken:.2f} cores during the rounds"),
        ("system", where.system),
        ("Python", where.python),
        ("versions", ", ".join(f"{name} {version}" for name, version in where.versions.items())),
        ("bertedge commit", where.git_commit),
        ("measured", f"{where.created}, {report.seconds:.0f} s"),
        ("threads", f"{how.threads} an engine"),
        ("thread settings", ", ".join(f"{k}={v}" for k, v in report.thread_settings.items())),
        ("rounds", f"{how.rounds}, at most {how.repeats} runs a turn; order rotated; "
                   f"{how.starts} cold starts; seed {how.seed}"),
    ]  # fmt: skip
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts if v)
    return f"<dl>{rows}</dl>"


def _latency(engine: EngineReport, result: Result, *, best: bool) -> list[str]:
    times = result.latency
    name = f"<strong>{escape(engine.name)} ★</strong>" if best else escape(engine.name)
    said = str(result.difference.value) if result.difference else "-"
    settled = "" if result.settled else ", not stable"
    return [
        name,
        *(number(ms) for ms in (times.p50_ms, times.p90_ms, times.p95_ms, times.p99_ms)),
        number(times.max_ms),
        number(result.texts_per_second),
        "baseline" if engine.baseline is None else _ratio(result.speedup),
        "" if engine.baseline is None else f'<span class="{said}">{said}</span>',
        f"{result.agreement.share:.1%}" if result.agreement else "",
        f"{result.warm_up_s:.1f} s{settled}",
    ]


def _ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return "-"
    if ratio.low is None or ratio.high is None:
        return f"{ratio.median:.2f}x"
    return f"{ratio.median:.2f}x ({ratio.low:.2f}-{ratio.high:.2f})"


def _mib(size: int | None) -> str:
    return "-" if size is None else number(size / MIB)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table of cells that are HTML already; wide ones scroll within their own box."""
    top = "".join(f"<th scope=col>{cell}</th>" for cell in head)
    body = "".join(
        f"<tr><th scope=row>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    hint = f'<p class="hint">Scroll the table sideways for all {len(head)} columns.</p>'
    few = len(head) <= FEW
    return (
        f'{"" if few else hint}<div class="scroll{" few" if few else ""}" tabindex="0"><table>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )
