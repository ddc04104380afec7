"""The whole bench: a bundle against its baseline checkpoint."""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bertedge.bench import engines, workload
from bertedge.bench.assemble import Setting, build_report
from bertedge.bench.environment import describe_environment
from bertedge.bench.measure import Workload, measure
from bertedge.bench.protocol import PROTOCOL, Open, TextWorkload
from bertedge.bench.report import Comparison, Report
from bertedge.bench.settings import Settings
from bertedge.bundle import TOKENIZER, Bundle, open_bundle
from bertedge.examples import Columns
from bertedge.progress import Progress, Silent
from bertedge.runtime import machine

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
    device: str = "auto"
    command: str = "bertedge.bench.run.bench"
    """What was typed."""


def bench(config: BenchConfig, progress: Progress | None = None) -> Report:
    """Measure the bundle's variants against PyTorch running the checkpoint.

    Ctrl-C returns what is finished. Raises BertedgeError where the two cannot be compared; an
    engine that fails is part of the report instead.
    """
    progress = progress or Silent()
    from bertedge.checkpoint import open_checkpoint

    bundle = open_bundle(config.bundle)
    checkpoint = open_checkpoint(config.baseline)
    engines.check_comparable(bundle, checkpoint)
    workloads = _workloads(config, bundle, checkpoint)
    with _tokenizer(bundle, checkpoint) as tokenizer:
        lineup = engines.find_engines(
            bundle,
            checkpoint,
            _base(config.settings, bundle, checkpoint, tokenizer, _first(workloads, bundle)),
            engines.Machine(cpu_flags=machine.cpu_flags(), cuda=_cuda()),
            device=config.device,
        )
        for item in lineup.left_out:
            progress.say(f"{item.name} is left out: {item.why}")
        setting = Setting(
            command=config.command,
            environment=describe_environment(),
            comparison=_comparison(config, bundle, checkpoint),
            settings=config.settings,
            left_out=lineup.left_out,
            at_export={v.name: v.accuracy for v in bundle.manifest.variants if v.accuracy},
        )
        measurement = measure(lineup.specs, workloads, config.settings, progress)
    return build_report(measurement, workloads, setting)


@contextlib.contextmanager
def _tokenizer(bundle: Bundle, checkpoint: "Checkpoint") -> Iterator[Path]:
    """Give the path of the baseline's tokenizer: the bundle's own file where that is the same."""
    if json.loads(bundle.tokenizer_json()) == json.loads(checkpoint.tokenizer_json):
        yield bundle.path(bundle.manifest.tokenizer).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="bertedge-bench-") as folder:
        path = Path(folder) / TOKENIZER
        path.write_text(checkpoint.tokenizer_json, encoding="utf-8")
        yield path


def _cuda() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _length(bundle: Bundle, checkpoint: "Checkpoint") -> int:
    return min(bundle.manifest.max_length, checkpoint.max_length)


def _workloads(config: BenchConfig, bundle: Bundle, checkpoint: "Checkpoint") -> Sequence[Workload]:
    manifest, settings = bundle.manifest, config.settings
    longest = _length(bundle, checkpoint)
    cells = (
        workload.parse_grid(config.grid, longest)
        if config.grid is not None
        else workload.default_grid(longest)
    )
    vocabulary = min(checkpoint.source.vocabulary, manifest.source.vocabulary)
    tokens = workload.plain_tokens(bundle.tokenizer_json(), vocabulary)
    grid = [workload.token_workload(cell, tokens, seed=settings.seed) for cell in cells]
    if config.data is None:
        return grid
    texts = workload.draw_texts(
        config.data,
        manifest.task,
        config.columns,
        pair=manifest.pair,
        count=settings.texts,
        seed=settings.seed,
    )
    return [*grid, *workload.text_workloads(texts)]


def _first(workloads: Sequence[Workload], bundle: Bundle) -> tuple[str, ...]:
    """Choose the text that cold starts end with: a real one, or one of the golden inputs."""
    texts = [item.texts[0] for item in workloads if isinstance(item, TextWorkload)]
    return [*texts, *bundle.manifest.golden.texts][0]


def _base(
    settings: Settings,
    bundle: Bundle,
    checkpoint: "Checkpoint",
    tokenizer: Path,
    first: tuple[str, ...],
) -> Open:
    """What all engines are told alike, filled in for the baseline."""
    manifest = bundle.manifest
    return Open(
        protocol=PROTOCOL,
        engine="torch",
        path=str(checkpoint.folder.resolve()),
        variant=None,
        precision="fp32",
        device="cpu",
        threads=settings.threads,
        task=manifest.task,
        labels=manifest.labels,
        tokenizer=str(tokenizer),
        max_length=_length(bundle, checkpoint),
        pad_token_id=checkpoint.pad_token_id,
        first=first,
    )


def _comparison(config: BenchConfig, bundle: Bundle, checkpoint: "Checkpoint") -> Comparison:
    manifest = bundle.manifest
    return Comparison(
        bundle=config.bundle.resolve().name,
        baseline=checkpoint.name,
        task=manifest.task,
        labels=len(manifest.labels),
        max_length=_length(bundle, checkpoint),
        parameters=checkpoint.source.parameters,
        same_source=manifest.source.sha256 == checkpoint.source.sha256,
        data=None if config.data is None else config.data.name,
    )
