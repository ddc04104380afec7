"""The whole bench: a bundle against its baseline checkpoint, and what else runs that."""

import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertedge.bench import workloads
from bertedge.bench.build import Setting, build_report
from bertedge.bench.config import BenchConfig
from bertedge.bench.discovery import (
    Candidates,
    check_comparable,
    line_up,
    sum_installed,
    this_machine,
    with_noise_controls,
)
from bertedge.bench.environment import describe_environment
from bertedge.bench.external import TEXTS, read_peers
from bertedge.bench.interference import BEFORE_S, Watch, wait_until_idle
from bertedge.bench.protocol import PROTOCOL, Open, TextWorkload, Workload
from bertedge.bench.report import Comparison, Report
from bertedge.bench.scenarios import Plan, measure
from bertedge.bench.scenarios.profile import find_graphs
from bertedge.bench.workloads import LabelledTexts
from bertedge.bundle import TOKENIZER, Bundle, open_bundle
from bertedge.checkpoint.folder import fetch
from bertedge.data import BadRows, Columns, ExampleFile, open_examples
from bertedge.errors import DataError
from bertedge.progress import Progress, Silent
from bertedge.runtime.providers import CPU
from bertedge.runtime.session import check_threads
from bertedge.spec import LabelKind, ProblemType

if TYPE_CHECKING:
    from bertedge.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """All that the engines are given."""

    workloads: tuple[Workload, ...]
    texts: tuple[tuple[str, ...], ...]
    """The real texts; none without data."""
    labelled: LabelledTexts | None
    tokens: tuple[int, ...]
    """Ids that stand for text."""
    max_length: int

    @property
    def arriving(self) -> Workload | None:
        """The workload whose inputs arrive at random times: real texts, or else single rows."""
        singles = [each for each in self.workloads if each.texts_of_run == 1]
        texts = [each for each in singles if isinstance(each, TextWorkload) and not each.at_once]
        return next(iter(texts or singles), None)


def bench(config: BenchConfig, progress: Progress | None = None) -> Report:
    """Measure the bundle's variants against PyTorch running the checkpoint, and against others.

    Ctrl-C returns what is finished. Raises BertedgeError where the two cannot be compared; an
    engine that fails is part of the report instead.
    """
    progress = progress or Silent()
    check_threads(config.threads)
    bundle = open_bundle(config.bundle)
    if config.data is not None:
        file = _open_texts(config, bundle)
        skips = config.columns.bad_rows is BadRows.SKIP
        clean = "; no bad rows" if skips and not file.findings else ""
        progress.say(f"{config.data}: {file.description}{clean}")
    fetch(config.baseline)
    from bertedge.checkpoint import open_checkpoint  # brings torch, which takes seconds

    spec = bundle.manifest.model
    embeds = spec.task.labels_are is LabelKind.VECTOR
    checkpoint = open_checkpoint(config.baseline, spec.task if embeds else None)
    checkpoint = replace(checkpoint, model=replace(checkpoint.model, pooling=spec.pooling))
    check_comparable(bundle, checkpoint)
    inputs = make_inputs(config, bundle, checkpoint, progress)
    settings = config.scenario
    with tempfile.TemporaryDirectory(prefix="bertedge-bench-") as scratch:
        candidates = Candidates(
            bundle=bundle,
            checkpoint=checkpoint,
            base=_opening(config, bundle, checkpoint, inputs, Path(scratch)),
            machine=this_machine(),
            device=config.device,
            quick=config.quick,
        )
        peers = [peer for path in config.peers for peer in read_peers(path)]
        lineup = line_up(candidates, peers, progress)
        wait_s = config.wait_idle_s
        idle_wait = None if wait_s is None else wait_until_idle(wait_s, progress)
        environment, watch = describe_environment(), Watch()
        time.sleep(BEFORE_S)
        plan = Plan(
            workloads=inputs.workloads,
            labelled=inputs.labelled.texts if inputs.labelled else (),
            arriving=inputs.arriving,
            graphs=find_graphs(bundle, lineup.exported, inputs.tokens, settings),
        )
        setting = Setting(
            command=config.command,
            environment=environment,
            comparison=_comparison(config, bundle, checkpoint, inputs.max_length),
            settings=settings,
            left_out=lineup.left_out,
            at_export={v.name: v.accuracy for v in bundle.manifest.variants if v.accuracy},
            labelled=inputs.labelled,
            installed=sum_installed(lineup.specs),
            idle_wait=idle_wait,
        )
        measured = measure(with_noise_controls(lineup.specs), plan, settings, progress, watch)
    return build_report(measured, inputs.workloads, setting)


def make_inputs(
    config: BenchConfig, bundle: Bundle, checkpoint: "Checkpoint", progress: Progress
) -> Inputs:
    """Draw texts and random tokens that both models read."""
    manifest = bundle.manifest
    longest = min(manifest.model.max_length, checkpoint.model.max_length)
    vocabulary = min(checkpoint.source.vocabulary, manifest.source.vocabulary)
    tokens = workloads.plain_tokens(bundle.tokenizer_json(), vocabulary)
    cells = workloads.default_grid(longest)
    if config.grid is not None:
        cells = workloads.parse_grid(config.grid, longest)
    grid = [workloads.token_workload(cell, tokens, seed=config.seed) for cell in cells]
    texts: tuple[tuple[str, ...], ...] = ()
    if config.data is not None:
        drawn = workloads.draw(_open_texts(config, bundle), config.texts, seed=config.seed)
        texts = tuple(workloads.text_of(each) for each in drawn)
    return Inputs(
        workloads=(*grid, *(workloads.text_workloads(texts) if texts else ())),
        texts=texts,
        labelled=_labelled(config, bundle, progress),
        tokens=tuple(tokens),
        max_length=longest,
    )


def _open_texts(config: BenchConfig, bundle: Bundle) -> ExampleFile:
    """Open the file of texts for its texts alone."""
    assert config.data is not None
    # A label's column that is named is not read: not all are one label a row.
    return open_examples(
        config.data,
        bundle.manifest.model.task,
        replace(config.columns, label=None, intent=None),
        labelled=False,
        pair=bundle.manifest.model.pair,
        trained=bundle.manifest.columns or Columns(),
    )


def _labelled(config: BenchConfig, bundle: Bundle, progress: Progress) -> LabelledTexts | None:
    model = bundle.manifest.model
    if config.data is None:
        return None
    if model.task.labels_are is LabelKind.VECTOR:
        progress.say("embeddings are compared, not scored on values: for that use evaluate")
        return None
    if model.rule.problem_type is not ProblemType.SINGLE_LABEL or model.rule.out_of_scope:
        progress.say("nothing is scored on labels: bench scores one label a text; use evaluate")
        return None
    try:
        return workloads.draw_labelled(
            config.data,
            model.task,
            config.columns,
            model.labels,
            count=config.labelled,
            seed=config.seed,
            trained=bundle.manifest.columns or Columns(),
            label_map=config.label_map,
        )
    except DataError as error:
        progress.say(f"nothing is scored on labels: {error}")
        return None


def _opening(
    config: BenchConfig, bundle: Bundle, checkpoint: "Checkpoint", inputs: Inputs, scratch: Path
) -> Open:
    """Return what all engines are told alike; the files that they share are written."""
    (scratch / TEXTS).write_text(json.dumps(inputs.texts), encoding="utf-8")
    manifest = bundle.manifest
    tokenizer = bundle.path(manifest.tokenizer).resolve()
    if json.loads(bundle.tokenizer_json()) != json.loads(checkpoint.tokenizer_json):
        tokenizer = scratch / TOKENIZER
        tokenizer.write_text(checkpoint.tokenizer_json, encoding="utf-8")
    pad_token_id = checkpoint.model.pad_token_id
    return Open(
        protocol=PROTOCOL,
        engine="torch",
        path=str(checkpoint.folder.resolve()),
        variant=None,
        precision="fp32",
        device=CPU.name,
        threads=config.threads,
        model=replace(manifest.model, max_length=inputs.max_length, pad_token_id=pad_token_id),
        tokenizer=str(tokenizer),
        first=(*inputs.texts, *manifest.golden.texts)[0],
        scratch=str(scratch),
    )


def _comparison(
    config: BenchConfig, bundle: Bundle, checkpoint: "Checkpoint", max_length: int
) -> Comparison:
    manifest = bundle.manifest
    return Comparison(
        bundle=config.bundle.resolve().name,
        baseline=checkpoint.name,
        task=manifest.model.task,
        labels=len(manifest.model.labels),
        max_length=max_length,
        parameters=checkpoint.source.parameters,
        same_source=manifest.source.sha256 == checkpoint.source.sha256,
        data=None if config.data is None else config.data.name,
    )
