"""The whole bench: a bundle against its baseline checkpoint, and what else runs that."""

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertedge.bench import discovery, rivals
from bertedge.bench.build import build_report
from bertedge.bench.config import Settings
from bertedge.bench.describe import Setting
from bertedge.bench.environment import describe_environment
from bertedge.bench.external import TEXTS, read_peers
from bertedge.bench.inputs import Asked, Inputs, make_inputs
from bertedge.bench.interference import BEFORE_S, Watch, wait_until_idle
from bertedge.bench.lineup import Wanted, line_up, sum_installed
from bertedge.bench.messages import PROTOCOL, Open
from bertedge.bench.report import Comparison, Report
from bertedge.bench.scenarios.afterwards import After
from bertedge.bench.scenarios.graphs import find_graphs
from bertedge.bench.scenarios.rounds import measure
from bertedge.bundle import TOKENIZER, Bundle, open_bundle
from bertedge.checkpoint.folder import fetch
from bertedge.data import Columns, open_examples
from bertedge.progress import Progress, Silent
from bertedge.runtime import machine
from bertedge.runtime.providers import CPU, DEVICES
from bertedge.runtime.session import check_threads
from bertedge.spec import Task

if TYPE_CHECKING:
    from bertedge.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig:
    """What is compared, on what, and how."""

    bundle: Path
    baseline: str
    """The checkpoint's directory or hub id."""
    settings: Settings
    grid: str | None = None
    """Such as "1x16,8x128"; None for the usual cells."""
    data: Path | None = None
    """A file of real texts."""
    columns: Columns = field(default_factory=Columns)
    label_map: Mapping[str, str] = field(default_factory=dict)
    """What labels of `data` are called in the model."""
    device: str = "auto"
    peers: tuple[Path, ...] = ()
    """Files of other people's engines, or folders of such; see `bertedge.bench.external`."""
    wait_idle_s: float | None = None
    """How long to wait for a quiet machine, at most; None: not at all."""
    command: str = "bertedge.bench.run.bench"
    """What was typed."""


def bench(config: BenchConfig, progress: Progress | None = None) -> Report:
    """Measure the bundle's variants against PyTorch running the checkpoint, and against others.

    Ctrl-C returns what is finished. Raises BertedgeError where the two cannot be compared; an
    engine that fails is part of the report instead.
    """
    progress = progress or Silent()
    check_threads(config.settings.threads)
    bundle = open_bundle(config.bundle)
    _check_data(config, bundle, progress)
    fetch(config.baseline)
    from bertedge.checkpoint import open_checkpoint  # brings torch, which takes seconds

    pooling = bundle.manifest.model.pooling
    embeds = Task.FEATURE_EXTRACTION if pooling else None
    checkpoint = open_checkpoint(config.baseline, embeds)
    checkpoint = replace(checkpoint, model=replace(checkpoint.model, pooling=pooling))
    discovery.check_comparable(bundle, checkpoint)
    asked = Asked(
        grid=config.grid,
        data=config.data,
        columns=config.columns,
        label_map=config.label_map,
    )
    inputs = make_inputs(asked, bundle, checkpoint, config.settings, progress)
    wanted = _wanted(config, bundle, checkpoint)
    with tempfile.TemporaryDirectory(prefix="bertedge-bench-") as scratch:
        entrants = line_up(wanted, _base(config, wanted, inputs, Path(scratch)), progress)
        idle_wait = None
        if config.wait_idle_s is not None:
            idle_wait = wait_until_idle(config.wait_idle_s, progress)
        environment, watch = describe_environment(), Watch()
        time.sleep(BEFORE_S)
        setting = Setting(
            command=config.command,
            environment=environment,
            comparison=_comparison(config, wanted, inputs),
            settings=config.settings,
            left_out=entrants.lineup.left_out,
            at_export={v.name: v.accuracy for v in bundle.manifest.variants if v.accuracy},
            tokenizer_json=checkpoint.tokenizer_json,
            labelled=inputs.labelled,
            installed=sum_installed(entrants.lineup.specs),
            idle_wait=idle_wait,
        )
        after = After(
            labelled=inputs.labelled.texts if inputs.labelled else (),
            load=inputs.arriving,
            graphs=find_graphs(bundle, entrants.exported, inputs.tokens, config.settings),
        )
        specs = discovery.with_noise_controls(entrants.lineup.specs)
        measurement = measure(specs, inputs.workloads, config.settings, progress, after, watch)
    return build_report(measurement, inputs.workloads, setting)


def _check_data(config: BenchConfig, bundle: Bundle, progress: Progress) -> None:
    """Open the file of texts and say how it is read."""
    if config.data is not None:
        manifest = bundle.manifest
        examples = open_examples(
            config.data,
            manifest.model.task,
            replace(config.columns, label=None, intent=None),
            labelled=False,
            pair=manifest.model.pair,
            trained=manifest.columns or Columns(),
        )
        progress.say(f"{config.data}: {examples.description}")


def _wanted(config: BenchConfig, bundle: Bundle, checkpoint: "Checkpoint") -> Wanted:
    import torch

    return Wanted(
        bundle=bundle,
        checkpoint=checkpoint,
        machine=discovery.Machine(
            cpu_flags=machine.cpu_flags(),
            devices=tuple(d for d in DEVICES if getattr(torch, d.name).is_available()),
            compiler=rivals.has_compiler(),
        ),
        device=config.device,
        peers=tuple(peer for path in config.peers for peer in read_peers(path)),
        threads=config.settings.threads,
        quick=config.settings.quick,
    )


def _tokenizer(bundle: Bundle, checkpoint: "Checkpoint", scratch: Path) -> Path:
    """Give the path of the baseline's tokenizer: the bundle's own file where that is the same."""
    if json.loads(bundle.tokenizer_json()) == json.loads(checkpoint.tokenizer_json):
        return bundle.path(bundle.manifest.tokenizer).resolve()
    path = scratch / TOKENIZER
    path.write_text(checkpoint.tokenizer_json, encoding="utf-8")
    return path


def _base(config: BenchConfig, wanted: Wanted, inputs: Inputs, scratch: Path) -> Open:
    """What all engines are told alike, filled in for the baseline; the text files they share."""
    bundle, checkpoint = wanted.bundle, wanted.checkpoint
    (scratch / TEXTS).write_text(json.dumps(inputs.texts), encoding="utf-8")
    manifest = bundle.manifest
    return Open(
        protocol=PROTOCOL,
        engine="torch",
        path=str(checkpoint.folder.resolve()),
        variant=None,
        precision="fp32",
        device=CPU.name,
        threads=config.settings.threads,
        task=manifest.model.task,
        labels=manifest.model.labels,
        tokenizer=str(_tokenizer(bundle, checkpoint, scratch)),
        max_length=inputs.max_length,
        pad_token_id=checkpoint.model.pad_token_id,
        first=(*inputs.texts, *manifest.golden.texts)[0],
        scratch=str(scratch),
        pooling=manifest.model.pooling,
    )


def _comparison(config: BenchConfig, wanted: Wanted, inputs: Inputs) -> Comparison:
    manifest, checkpoint = wanted.bundle.manifest, wanted.checkpoint
    return Comparison(
        bundle=config.bundle.resolve().name,
        baseline=checkpoint.name,
        task=manifest.model.task,
        labels=len(manifest.model.labels),
        max_length=inputs.max_length,
        parameters=checkpoint.source.parameters,
        same_source=manifest.source.sha256 == checkpoint.source.sha256,
        data=None if config.data is None else config.data.name,
    )
