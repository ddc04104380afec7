"""Whether `bertedge bench` is to be believed: it must see 10 %, and nothing where nothing is.

usage: python benchmarks/bench_check.py BUNDLE [RUNS]    (by hand; 20 runs: ten minutes)

In each run a variant of the bundle is the baseline; beside it run the same variant again, which
must be reported as no different, and the same made 10 % slower, which must be reported slower: at
every workload, in at least 19 of 20 runs. Writes benchmarks/bench_check.json.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from provenance import provenance

from bertedge.bench.build import Setting, build_report
from bertedge.bench.config import ScenarioConfig
from bertedge.bench.discovery import with_noise_controls
from bertedge.bench.engine import EngineSpec
from bertedge.bench.environment import describe_environment
from bertedge.bench.protocol import PROTOCOL, Open
from bertedge.bench.report import Comparison
from bertedge.bench.scenarios import Plan, measure
from bertedge.bench.workloads import Cell, plain_tokens, token_workload
from bertedge.bundle import Bundle, open_bundle
from bertedge.runtime import machine

HERE = Path(__file__).parent
RESULT = HERE / "bench_check.json"
SLOWER = 1.1
DUE = {"same": "none", "slowed": "slower"}


def specs(bundle: Bundle) -> tuple[EngineSpec, ...]:
    """The baseline, the same again, the same slowed, and the twin that the noise is taken from."""
    manifest = bundle.manifest
    variant = manifest.variants[0]
    opening = Open(
        protocol=PROTOCOL,
        engine="bundle",
        path=str(bundle.folder.resolve()),
        variant=variant.name,
        precision=variant.precision,
        device="cpu",
        threads=machine.cores(),
        model=manifest.model,
        tokenizer=str(bundle.path(manifest.tokenizer).resolve()),
        first=manifest.golden.texts[0],
        scratch="",
    )
    baseline = EngineSpec(
        name="baseline",
        kind="bundle",
        open=opening,
        baseline=None,
    )
    slowed = (sys.executable, str(HERE / "peers" / "slowed.py"), str(SLOWER))
    return with_noise_controls(
        [
            baseline,
            replace(baseline, name="same", baseline="baseline"),
            replace(baseline, name="slowed", baseline="baseline", command=slowed),
        ]
    )


def run(bundle: Bundle, seed: int) -> dict[str, object]:
    """One bench; gives what each engine was reported as, by workload."""
    manifest = bundle.manifest
    settings = ScenarioConfig(threads=machine.cores(), starts=1)
    tokens = plain_tokens(bundle.tokenizer_json(), manifest.source.vocabulary)
    cells = (Cell(batch=1, length=16), Cell(batch=1, length=min(64, manifest.model.max_length)))
    workloads = [token_workload(cell, tokens, seed=seed) for cell in cells]
    measurement = measure(specs(bundle), Plan(workloads=workloads), settings)
    comparison = Comparison(
        bundle=bundle.folder.name,
        baseline=bundle.folder.name,
        task=manifest.model.task,
        labels=len(manifest.model.labels),
        max_length=manifest.model.max_length,
        parameters=manifest.source.parameters,
        same_source=True,
        data=None,
    )
    setting = Setting(
        command="benchmarks/bench_check.py",
        environment=describe_environment(),
        comparison=comparison,
        settings=settings,
    )
    report = build_report(measurement, workloads, setting)
    return {
        "noise_floor": {each.workload: round(each.floor, 4) for each in report.noise},
        "engines": {
            name: {
                result.workload: {
                    "difference": str(result.difference),
                    "ratio": round(result.speedup.median, 4),
                    "low": round(result.speedup.low, 4),
                    "high": round(result.speedup.high, 4),
                }
                for result in report.results
                if result.engine == name
            }
            for name in DUE
        },
    }


def main(folder: str, count: str = "20") -> None:
    bundle = open_bundle(Path(folder))
    runs = []
    for seed in range(int(count)):
        runs.append(run(bundle, seed))
        print(json.dumps(runs[-1]), flush=True)
    right = {
        name: sum(
            all(each["difference"] == due for each in row["engines"][name].values()) for row in runs
        )
        for name, due in DUE.items()
    }
    record = {
        **provenance(__file__, "onnxruntime", "tokenizers", "numpy"),
        "model": bundle.manifest.source.name,
        "slowed_by": SLOWER,
        "runs": len(runs),
        "right": right,
        "each": runs,
    }
    RESULT.write_text(json.dumps(record, indent=2) + "\n")
    print(f"of {len(runs)} runs right: {right}")


if __name__ == "__main__":
    main(*sys.argv[1:])
