"""What the programs here have in common: they choose engines and inputs, `bertedge.bench` measures.

Each engine is a process of its own; they take turns in rounds, one at a time, and ratios are
medians of the rounds' ratios.
"""

import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from bertedge.bench.backends.optimum_export import export
from bertedge.bench.config import ScenarioConfig
from bertedge.bench.engine import EngineSpec
from bertedge.bench.protocol import PROTOCOL, Export, Exported, Open, TokenWorkload, Workload
from bertedge.bench.runner import EngineRunner, Measurement
from bertedge.bench.scenarios import Plan, measure
from bertedge.bench.workloads import Cell, plain_tokens, token_workload
from bertedge.bundle import Bundle
from bertedge.progress import Silent
from bertedge.runtime import machine

HERE = Path(__file__).parent
GRAPH = (sys.executable, str(HERE / "peers" / "graph_engine.py"))
"""Runs one graph as bertedge's own sessions do."""
NO_LIMIT_S = 86_400.0


class Stderr(Silent):
    """Says what happens; no bars."""

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


def engine(name: str, kind: str, path: str | Path, bundle: Bundle, **changes) -> EngineSpec:
    """Return an engine that runs what lies at `path`, with the tokenizer and labels of a bundle."""
    manifest = bundle.manifest
    of_spec = {k: changes.pop(k) for k in ("command", "takes") if k in changes}
    opening = Open(
        protocol=PROTOCOL,
        engine=kind,
        path=str(path),
        variant=changes.pop("variant", None),
        precision=changes.pop("precision", "fp32"),
        device=changes.pop("device", "cpu"),
        threads=changes.pop("threads", machine.cores()),
        model=manifest.model,
        tokenizer=str(bundle.path(manifest.tokenizer).resolve()),
        first=manifest.golden.texts[0],
        scratch=str(changes.pop("scratch", "")),
    )
    return EngineSpec(
        name=name,
        kind=kind,
        open=opening,
        baseline=changes.pop("baseline", None),
        **of_spec,
    )


def grid(cells: Sequence[tuple[int, int]], bundle: Bundle) -> list[TokenWorkload]:
    """Fill batches with random tokens, of each size (rows, tokens) that the model reads."""
    manifest = bundle.manifest
    tokens = plain_tokens(bundle.tokenizer_json(), manifest.source.vocabulary)
    sizes = (Cell(batch=batch, length=length) for batch, length in cells)
    longest = manifest.model.max_length
    return [token_workload(size, tokens, seed=0) for size in sizes if size.length <= longest]


def take_turns(
    specs: Sequence[EngineSpec], workloads: Sequence[Workload], *, rounds: int, **changes
) -> dict[str, EngineRunner]:
    """Measure the engines, by name; exit where one fails."""
    # No engine is compared until all are measured: each is its own baseline.
    settings = {"extra_rounds": 0, "repeats": 1000, "starts": 1, "timeout_s": NO_LIMIT_S}
    config = ScenarioConfig(rounds=rounds, load_s=0, profile_runs=0, **settings | changes)
    measurement: Measurement = measure(specs, Plan(workloads=workloads), config, Stderr())
    for runner in measurement.runners:
        if runner.problem or not measurement.complete:
            sys.exit(f"{runner.spec.name}: {runner.problem or 'interrupted'}")
    return {runner.spec.name: runner for runner in measurement.runners}


def ratios_to(runners: dict[str, EngineRunner], ours: str, workload: str) -> dict[str, dict]:
    """Return the median time of each engine, and how many times ours it is."""
    rows = {}
    for name, runner in runners.items():
        ratio = runners[ours].ratio_to(runner, workload)
        assert ratio is not None
        ms = statistics.median(map(statistics.median, runner.rounds_of(workload).values()))
        rows[name] = {"ms": round(ms, 3), "times_of_ours": round(ratio.median, 3)}
    return rows


def export_by_optimum(checkpoint: str, bundle: Bundle, folder: Path) -> Exported:
    """Make the graphs that Optimum's users have, once."""
    made = Exported(
        exported=str(folder / "exported" / "model.onnx"),
        int8=str(folder / "int8" / "model_quantized.onnx"),
    )
    if not Path(made.int8).exists():
        task = bundle.manifest.model.task
        made = export(Export(checkpoint=checkpoint, task=task, folder=str(folder)))
    if not made.int8:
        sys.exit(f"Optimum: {made.problem}")
    return made
