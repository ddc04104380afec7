"""One engine's record, put together from what was measured of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from bertedge.bench.config import Settings
from bertedge.bench.discovery import LeftOut
from bertedge.bench.environment import Environment
from bertedge.bench.interference import IdleWait
from bertedge.bench.labelled import LabelledTexts, Scored, count_tokens, same_lists, score
from bertedge.bench.logs import EngineLog, Workload
from bertedge.bench.messages import Open, Opened, TextWorkload
from bertedge.bench.report import Agreement, ColdStart, Comparison, EngineReport, Labelled
from bertedge.bench.statistics import ratio_interval
from bertedge.bench.vectors import sum_of_cosines
from bertedge.bundle import Accuracy
from bertedge.spec import OUTSIDE, Task

MIN_AGREEMENT = 0.9
"""An engine that gives fewer of the baseline's labels than this is said to disagree (on texts)."""
MIN_AGREEMENT_RANDOM = 0.5
"""The same where only random tokens were labelled. No model is sure of those, so that sound int8
flips one in ten or more of their labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a report says beside the measurement."""

    command: str
    environment: Environment
    comparison: Comparison
    settings: Settings
    left_out: tuple[LeftOut, ...]
    at_export: dict[str, Accuracy]
    """By variant."""
    tokenizer_json: str = ""
    """The baseline's; splits labelled words into tokens."""
    labelled: LabelledTexts | None = None
    installed: dict[str, int] = field(default_factory=dict)
    """Bytes of installed packages, by engine."""
    idle_wait: IdleWait | None = None


def describe_engine(
    log: EngineLog, logs: dict[str, EngineLog], workloads: Sequence[Workload], setting: Setting
) -> EngineReport:
    """Turn what was measured of one engine into its record."""
    spec = log.spec
    starts = tuple(_cold_start(start.total_s, start.opened) for start in log.starts)
    baseline = logs.get(spec.baseline or "")
    texts = [item for item in workloads if isinstance(item, TextWorkload)]
    tokens = [item for item in workloads if not isinstance(item, TextWorkload)]
    on_texts = agreement(log, baseline, texts, setting)
    on_tokens = agreement(log, baseline, tokens, setting)
    return EngineReport(
        name=spec.name,
        kind=spec.kind,
        device=spec.device,
        precision=spec.precision,
        baseline=spec.baseline,
        runs_on=log.starts[-1].opened.runs_on if log.starts else None,
        batching=_batching(log),
        bytes_on_disk=spec.bytes_on_disk,
        installed_bytes=setting.installed.get(spec.name),
        peak_memory_bytes=log.peak_memory_bytes,
        memory=tuple(log.memory),
        idle_cpu=log.idle_cpu,
        joules_per_text=_joules_per_text(log, workloads),
        cold_starts=starts,
        cold_start=_median_start(starts),
        on_texts=on_texts,
        on_random_tokens=on_tokens,
        labelled=_labelled(log, baseline, setting),
        at_export=setting.at_export.get(spec.name),
        problem=log.problem or _disagreement(on_texts, on_tokens),
        versions=log.starts[-1].opened.versions if log.starts else {},
    )


def _cold_start(total_s: float, opened: Opened) -> ColdStart:
    told_s = opened.imports_s + opened.load_s + opened.first_run_s
    return ColdStart(
        total_s=total_s,
        process_s=max(total_s - told_s, 0.0),
        imports_s=opened.imports_s,
        load_s=opened.load_s,
        first_run_s=opened.first_run_s,
    )


def _median_start(starts: Sequence[ColdStart]) -> ColdStart | None:
    ordered = sorted(starts, key=lambda start: start.total_s)
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def agreement(
    log: EngineLog, baseline: EngineLog | None, workloads: Sequence[Workload], setting: Setting
) -> Agreement | None:
    """Compare the labels of workloads that both were given; a wrong count agrees on none.

    Of embeddings the share is the mean cosine; of a model of one label, which gives values,
    nothing is said.
    """
    if baseline is None or setting.comparison.labels == 1:
        return None
    same, total = 0.0, 0
    for workload in workloads:
        if workload.name in log.ready and workload.name in baseline.ready:
            ours, theirs = log.ready[workload.name].labels, baseline.ready[workload.name].labels
            if log.spec.open.task is Task.FEATURE_EXTRACTION:
                texts = _texts_of(workload)
                total += texts
                same += sum_of_cosines(ours, theirs, texts)
                continue
            total += len(theirs)
            if len(ours) == len(theirs):
                same += sum(one == other for one, other in zip(ours, theirs, strict=True))
    if not total:
        return None
    lists = _same_lists(log, baseline, workloads, setting)
    return Agreement(share=same / total, labels=total, texts=lists)


def _same_lists(
    log: EngineLog, baseline: EngineLog, workloads: Sequence[Workload], setting: Setting
) -> float | None:
    """Give the share of texts whose whole list of entities is the baseline's too.

    None where the task labels no tokens, and without real texts.
    """
    task = log.spec.open.task
    same: list[bool] = []
    for workload in workloads:
        given = workload.name in log.ready and workload.name in baseline.ready
        if task.tags_words and given and isinstance(workload, TextWorkload):
            counts = count_tokens(workload.texts, setting.tokenizer_json)
            ours, theirs = (
                _by_text(each.ready[workload.name].labels, counts, log.spec.open)
                for each in (log, baseline)
            )
            if theirs:
                none = [False] * len(counts)
                same += same_lists(ours, theirs, task).tolist() if ours else none
    return sum(same) / len(same) if same else None


def _by_text(labels: Sequence[int], counts: Sequence[int], model: Open) -> list[list[str]] | None:
    """Part the labels of all tokens by text, by name; None where there are not as many as due."""
    before = 1 if model.task is Task.INTENT_SLOTS else 0
    if len(labels) != sum(before + count for count in counts):
        return None
    names = [model.labels[label] if 0 <= label < len(model.labels) else OUTSIDE for label in labels]
    ends = list(accumulate(before + count for count in counts))
    return [names[end - before - count : end] for end, count in zip(ends, counts, strict=True)]


def _disagreement(on_texts: Agreement | None, on_tokens: Agreement | None) -> str | None:
    found = on_texts or on_tokens
    bound = MIN_AGREEMENT if on_texts else MIN_AGREEMENT_RANDOM
    if found is None or found.share >= bound:
        return None
    return f"disagrees with the baseline: {found.share:.1%} of {found.labels} labels are the same"


def _texts_of(workload: Workload) -> int:
    if isinstance(workload, TextWorkload):
        return len(workload.texts)
    return sum(len(batch) for batch in workload.batches)


def texts_of_run(workload: Workload) -> int:
    """Count the texts (rows) that one run of a workload labels."""
    if isinstance(workload, TextWorkload):
        return len(workload.texts) if workload.at_once else 1
    return len(workload.batches[0])


def _batching(log: EngineLog) -> str:
    chosen = [ready.batching for ready in log.ready.values() if ready.batching]
    return chosen[-1] if chosen else log.spec.batching


def _joules_per_text(log: EngineLog, workloads: Sequence[Workload]) -> float | None:
    texts = {workload.name: texts_of_run(workload) for workload in workloads}
    turns = [(turn, turn.joules) for turn in log.turns if turn.joules is not None]
    if not turns:
        return None
    return sum(joules for _, joules in turns) / sum(
        turn.runs * texts[turn.workload] for turn, _ in turns
    )


def _labelled(log: EngineLog, baseline: EngineLog | None, setting: Setting) -> Labelled | None:
    ours = _scored(log, setting)
    if ours is None or setting.labelled is None:
        return None
    theirs = _scored(baseline, setting) if baseline else None
    low, high = ratio_interval(ours.parts, seed=setting.settings.seed)
    return Labelled(
        data=setting.labelled.data,
        metric=ours.scores.metric,
        value=ours.scores.value,
        rows=len(setting.labelled.examples),
        agreement=None if theirs is None else float((ours.names == theirs.names).mean()),
        low=low,
        high=high,
        text_agreement=float(same_lists(ours.tags, theirs.tags, setting.labelled.task).mean())
        if theirs and ours.tags
        else None,
    )


def _scored(log: EngineLog, setting: Setting) -> Scored | None:
    if setting.labelled is None or log.labelled is None:
        return None
    return score(setting.labelled, log.labelled, setting.tokenizer_json)
