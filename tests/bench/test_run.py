"""The whole bench, and what it makes of predictions that are no labels."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the export extra")

import transformers
from safetensors.numpy import save_file

from bertedge.bench import BenchConfig, bench, discovery
from bertedge.bench.backends import Backend
from bertedge.bench.backends.bertedge import load_bundle, load_torch
from bertedge.bench.build import Setting, build_report
from bertedge.bench.config import ScenarioConfig
from bertedge.bench.engine import EngineSpec
from bertedge.bench.html.page import render_page
from bertedge.bench.protocol import Open, Run, TextWorkload, TokenWorkload, Workload
from bertedge.bench.report import Report
from bertedge.bench.run import make_inputs
from bertedge.bench.runner import EngineRunner, Measurement, Turn
from bertedge.bench.summary import notes, summary
from bertedge.bench.text import render
from bertedge.bench.worker import State
from bertedge.bundle import open_bundle
from bertedge.checkpoint import open_checkpoint
from bertedge.export import ExportConfig, export
from bertedge.export.config import Exporter
from bertedge.predictions import Regression
from bertedge.progress import Silent
from bertedge.spec import DecisionRule, PoolingMode, ProblemType, Task

ROWS = "turn the hall lights off,lights\nplay a song,music\n" * 4
CELL = TokenWorkload(name="2x3", batches=(((9, 10, 11), (12, 13, 14)),))
TEXTS = TextWorkload(name="texts", texts=(("play a song",), ("x",), ("off",)), at_once=True)


class Listener(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


def test_a_setfit_model_is_measured_beside_its_encoder_and_head_in_pytorch(
    checkpoints: Path, tmp_path: Path
) -> None:
    source, folder = checkpoints / "text-classification", tmp_path / "setfit"
    transformers.AutoModel.from_pretrained(source).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    settings = {"normalize_embeddings": True, "labels": ["lights", "music", "heating", "other"]}
    (folder / "config_setfit.json").write_text(json.dumps(settings))
    width = transformers.AutoConfig.from_pretrained(folder).hidden_size
    coef = np.random.default_rng(0).normal(size=(4, width))
    save_file({"coef": coef, "intercept": np.zeros(4)}, folder / "model_head.safetensors")
    made = ExportConfig(
        checkpoint=str(folder), output=tmp_path / "bundle", exporter=Exporter.DIRECT
    )
    data = tmp_path / "data.csv"
    data.write_text("text,label\n" + ROWS)
    config = BenchConfig(
        bundle=export(made).output, baseline=str(folder), grid="1x8", data=data, threads=1,
        rounds=1, extra_rounds=0, repeats=3, turn_s=0.05, starts=1, texts=4, timeout_s=60,
        load_s=0.05, profile_runs=2, quick=True, wait_idle_s=0,
    )  # fmt: skip
    report = bench(config)
    engines = {engine.name: engine for engine in report.engines}
    ours, theirs = engines["cpu-fp32"], engines["torch-fp32"]
    assert ours.problem is None and theirs.problem is None
    assert ours.on_texts is not None and ours.on_texts.share == 1
    assert ours.labelled is not None and theirs.labelled is not None
    assert ours.labelled.value == theirs.labelled.value
    left_out = {item.name: item.why for item in report.left_out}
    assert {left_out[name] for name in ("pipeline-fp32", "optimum-fp32")} == {discovery.SETFIT}


def test_peers_take_part_and_what_each_engine_takes_is_noted(
    fake_program: Path, tmp_path: Path, bundle: Path, checkpoints: Path
):
    data = tmp_path / "data.csv"
    data.write_text("text,label\n" + ROWS)
    peers = tmp_path / "peers.toml"
    peers.write_text(
        f'[[engine]]\nname = "lie"\nprecision = "fp32"\n'
        f'command = ["{sys.executable}", "{fake_program}", "lie", "{tmp_path}/pids"]\n'
        '[[engine]]\nname = "absent"\nprecision = "int8"\ncommand = ["/nowhere/python"]\n'
    )
    config = BenchConfig(
        bundle=bundle, baseline=str(checkpoints / "text-classification"), grid="1x8", data=data,
        peers=(peers,), threads=1, rounds=1, extra_rounds=0, repeats=3, turn_s=0.05, starts=1,
        texts=4, timeout_s=60, load_s=0.05, profile_runs=2, quick=True, wait_idle_s=0,
    )  # fmt: skip
    report = bench(config)
    assert report.complete and report.idle_wait is not None
    engines = {engine.name: engine for engine in report.engines}
    assert engines["lie"].problem == "disagrees with the baseline: 0.0% of 8 labels are the same"
    left_out = {item.name for item in report.left_out}
    assert {"absent", "torch-compile", "optimum-int8", "pipeline-fp32"} <= left_out
    ours, baseline = engines["cpu-fp32"], engines["torch-fp32"]
    for engine in (ours, baseline):
        assert engine.problem is None
        assert engine.installed_bytes and engine.installed_bytes > 10**7
        assert engine.labelled and engine.labelled.rows == 8
        if sys.platform == "linux":
            assert engine.idle_cpu is not None and engine.idle_cpu < 0.5
            assert [point.where for point in engine.memory] == [
                *("start", "warm-up 1x8", "warm-up texts one by one", "warm-up texts all at once"),
                *("round 1", "open load"),
            ]
    assert ours.labelled and ours.labelled.agreement == 1.0
    loads = {load.engine: load for load in report.open_loads}
    assert {"torch-fp32", "cpu-fp32"} <= loads.keys()
    assert {load.limit_ms for load in loads.values()} == {5 * loads["torch-fp32"].unloaded_p50_ms}
    assert [profile.stage for profile in report.profiles] == ["fused"]


@pytest.mark.parametrize(
    ("problem_type", "gold", "said"),
    [
        (ProblemType.MULTI_LABEL, '"music,other"', "bench scores one label a text; use evaluate"),
        (ProblemType.REGRESSION, "2", "bench scores one label a text; use evaluate"),
        (ProblemType.SINGLE_LABEL, "singing", "nothing is scored on labels: "),
    ],
)
def test_what_is_not_scored_is_said(
    checkpoints: Path, bundle: Path, tmp_path: Path, problem_type: ProblemType, gold: str, said: str
):
    data = tmp_path / "data.csv"
    data.write_text(f"text,label\nplay music,{gold}\nturn it off,{gold}\n")
    opened = open_bundle(bundle)
    model = replace(opened.manifest.model, rule=DecisionRule(problem_type=problem_type))
    opened = replace(opened, manifest=replace(opened.manifest, model=model))
    listener = Listener()
    baseline = str(checkpoints / "text-classification")
    config = BenchConfig(bundle=bundle, baseline=baseline, grid="1x4", data=data, texts=6)
    inputs = make_inputs(config, opened, open_checkpoint(baseline), listener)
    assert inputs.labelled is None and len(inputs.texts) == 2
    assert said in "".join(listener.said)


@pytest.fixture
def report_of(
    engine: EngineSpec, quick: ScenarioConfig, setting: Callable[..., Setting]
) -> Callable[..., Report]:
    """Makes the report of engines that run in this process."""

    def make(backends: dict[str, Backend], request: Open, workloads: Sequence[Workload]) -> Report:
        first, runners = next(iter(backends)), []
        for name, backend in backends.items():
            state = State()
            state.backend = backend
            runner = EngineRunner(
                spec=replace(
                    engine, name=name, open=request, baseline=None if name == first else first
                ),
                settings=quick,
            )
            for workload in workloads:
                runner.ready[workload.name] = state.answer(workload)  # type: ignore[assignment]
                runner.warm_up_s[workload.name] = 0.1
                ran = state.answer(Run(workload=workload.name, first=0, repeats=2))
                runner.turns.append(
                    Turn(workload=workload.name, round=0, samples_ms=ran.samples_ms)  # type: ignore[union-attr]
                )
            runners.append(runner)
        measurement = Measurement(runners=runners, settings=quick)
        return build_report(
            measurement, workloads, setting(quick, request.model.task, len(request.model.labels))
        )

    return make


@pytest.mark.parametrize("values", [True, False])
def test_values_are_timed_and_nothing_is_said_of_labels(
    opening: Open, report_of: Callable[..., Report], values: bool
):
    backend = load_bundle(opening)
    if values:
        texts = backend.texts
        number = lambda _: [Regression(value=0.5)] * 3  # noqa: E731
        backend = replace(backend, texts=lambda work: replace(texts(work), read=number))
        labels = replace(opening.model, labels=("warmth",))
        opening = replace(opening, model=labels)
    made = report_of({"torch-fp32": backend, "cpu-fp32": backend}, opening, [TEXTS])
    engine = made.engines[1]
    assert engine.problem is None and len(made.results) == 2
    for found in (engine.on_texts, made.results[1].agreement):
        assert values == (found is None) and (values or (found and found.share == 1))
    said = [*summary(made), *notes(made), render(made)]
    assert any("agrees with the baseline" in line for line in said) == (not values)
    assert any("Values are timed, not compared" in line for line in said) == values


def test_embeddings_are_compared_by_their_mean_cosine(
    checkpoints: Path, tmp_path: Path, opening: Open, report_of: Callable[..., Report]
):
    folder = str(checkpoints / Task.TEXT_CLASSIFICATION.value)
    export(
        ExportConfig(
            checkpoint=folder,
            output=tmp_path / "bundle",
            task=Task.FEATURE_EXTRACTION,
            pooling=PoolingMode.CLS,
            quantize=True,
            keep_fp32=True,
            recipe="dynamic",
            min_agreement=0.0,
            max_drop=100,
        )
    )
    opened = open_bundle(tmp_path / "bundle")
    model = opened.manifest.model
    request = replace(
        opening, path=folder, model=model, tokenizer=str(tmp_path / "bundle" / "tokenizer.json")
    )
    backends = {"torch-fp32": load_torch(request)}
    for variant in opened.manifest.variants:
        own = replace(request, path=str(tmp_path / "bundle"), variant=variant.name)
        backends[variant.name] = load_bundle(own)
    report = report_of(backends, request, [CELL, TEXTS])
    engines = {engine.name: engine for engine in report.engines}
    fp32, int8 = engines["cpu-fp32"], engines["cpu-int8"]
    assert fp32.problem is None and int8.problem is None
    assert fp32.on_texts is not None and fp32.on_random_tokens is not None
    assert fp32.on_texts.share == pytest.approx(1, abs=1e-6) and fp32.on_texts.labels == 3
    assert fp32.on_random_tokens.labels == 2
    assert int8.on_texts is not None and 0.9 < int8.on_texts.share < 0.9999999
    assert "(feature-extraction, " in render(report)
    assert "embeddings of 3 real texts have a mean cosine of " in " ".join(summary(report))
    assert "mean cosine" in render_page(report)

    data = tmp_path / "pairs.csv"
    data.write_text("sentence1,sentence2,score\n" + "turn the hall lights off,play a song,1\n" * 4)
    config = BenchConfig(bundle=tmp_path / "bundle", baseline=folder, grid="1x8", data=data)
    config = replace(config, columns=replace(config.columns, text="sentence1"))
    listener = Listener()
    inputs = make_inputs(config, opened, open_checkpoint(folder), listener)
    assert inputs.labelled is None and len(inputs.texts) == 4
    assert "embeddings are compared, not scored on values" in "".join(listener.said)
