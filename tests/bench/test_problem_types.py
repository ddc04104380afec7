"""Models of several labels a text, and of values, are timed by every engine alike."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("optimum", reason="needs the export extra")

import torch
from transformers import AutoModelForSequenceClassification

from bertedge.bench.backends import bertedge as ours
from bertedge.bench.backends import onnxruntime as plain
from bertedge.bench.backends import pipeline as pipelines
from bertedge.bench.backends.optimum_export import export as export_by_optimum
from bertedge.bench.build import Setting, build_report
from bertedge.bench.config import BenchConfig, ScenarioConfig
from bertedge.bench.engine import EngineSpec
from bertedge.bench.environment import describe_environment
from bertedge.bench.protocol import Export, Open, TextWorkload, TokenWorkload
from bertedge.bench.report import Comparison, Report
from bertedge.bench.run import make_inputs
from bertedge.bench.scenarios import Plan, measure
from bertedge.bench.scoring import compare
from bertedge.bench.summary import notes, summary
from bertedge.bench.text import render
from bertedge.bundle import open_bundle
from bertedge.checkpoint import open_checkpoint
from bertedge.export import ExportConfig, export
from bertedge.progress import Silent
from bertedge.spec import ProblemType, Task

TEXTS = tuple(
    (text,)
    for text in ("turn the hall lights off", "play a song", "is it warm?", "x", "ä lamp") * 8
)
BACKENDS = (ProblemType.MULTI_LABEL, ProblemType.REGRESSION)
GOLD = {ProblemType.MULTI_LABEL: ("lights", '"music,other"', ""), ProblemType.REGRESSION: (1, 2, 3)}


@pytest.fixture(scope="module", params=BACKENDS)
def kind(request: pytest.FixtureRequest) -> ProblemType:
    return request.param


@pytest.fixture(scope="module")
def checkpoint(
    checkpoints: Path, kind: ProblemType, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny classifier with another kind of head."""
    tiny = checkpoints / Task.TEXT_CLASSIFICATION.value
    folder = tmp_path_factory.mktemp("kinds") / kind.value
    model = AutoModelForSequenceClassification.from_pretrained(tiny)
    model.config.problem_type = kind.value
    if kind is ProblemType.REGRESSION:
        model.config.id2label, model.config.label2id = {0: "warmth"}, {"warmth": 0}
        model.classifier = torch.nn.Linear(model.config.hidden_size, 1)
    model.save_pretrained(folder)
    for path in tiny.glob("*token*"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="module")
def bundle(checkpoint: Path) -> Path:
    output = checkpoint.with_name(f"{checkpoint.name}-bundle")
    export(ExportConfig(checkpoint=str(checkpoint), output=output))
    return output


@pytest.fixture
def request_of(opening: Open, checkpoint: Path, bundle: Path) -> Open:
    spec = open_checkpoint(str(checkpoint)).model
    return replace(
        opening,
        path=str(checkpoint),
        variant=None,
        model=replace(opening.model, labels=spec.labels, rule=spec.rule),
        tokenizer=str(bundle / "tokenizer.json"),
    )


def test_all_engines_give_the_same_labels(
    request_of: Open, checkpoint: Path, bundle: Path, kind: ProblemType, tmp_path: Path
):
    task = Task.TEXT_CLASSIFICATION
    made = export_by_optimum(Export(checkpoint=str(checkpoint), task=task, folder=str(tmp_path)))
    assert made.exported and made.problem is None
    graph = Path(made.exported)
    optimum = replace(request_of, path=str(graph.parent), variant=graph.name)
    backends = {
        "torch": ours.load_torch(request_of),
        "pipeline": pipelines.load_transformers(request_of),
        "optimum": pipelines.load_optimum(optimum),
        "onnxruntime": plain.load(replace(request_of, path=str(graph))),
        "bundle": ours.load_bundle(replace(request_of, path=str(bundle), variant="cpu-fp32")),
    }
    cell = TokenWorkload(name="2x3", batches=(((9, 10, 11), (12, 13, 14)),))
    for at_once in (False, True):
        workload = TextWorkload(name="t", texts=TEXTS, at_once=at_once)
        found = {}
        for name, backend in backends.items():
            prepared = backend.texts(workload)
            found[name] = [each for i in range(prepared.inputs) for each in prepared.outputs(i)]
        for name, outputs in found.items():
            same = compare(outputs, found["torch"], TEXTS).agreement()
            if kind is ProblemType.REGRESSION:
                assert same is None and len(outputs) == len(TEXTS)
            else:
                assert same and (same.share, same.labels) == (1, len(TEXTS)), name
    for name in ("optimum", "onnxruntime", "bundle"):
        expected = backends["torch"].tokens(cell).outputs(0)
        assert backends[name].tokens(cell).outputs(0) == expected, name


def test_what_is_not_scored_is_said(
    checkpoint: Path, bundle: Path, kind: ProblemType, tmp_path: Path
):
    data = tmp_path / "data.csv"
    data.write_text("text,label\n" + "\n".join(f"play music,{gold}" for gold in GOLD[kind]) + "\n")

    class Listener(Silent):
        said = ""

        def say(self, line: str) -> None:
            self.said += line

    listener = Listener()
    config = BenchConfig(bundle=bundle, baseline=str(checkpoint), grid="1x4", data=data, texts=6)
    opened = open_bundle(bundle), open_checkpoint(str(checkpoint))
    inputs = make_inputs(config, *opened, listener)
    assert inputs.labelled is None and len(inputs.texts) == 3
    assert "bench scores one label a text; use evaluate" in listener.said


@pytest.fixture
def report(
    request_of: Open, bundle: Path, quick: ScenarioConfig, engine: EngineSpec, kind: ProblemType
) -> Callable[[tuple[TextWorkload | TokenWorkload, ...]], Report]:
    opening = replace(request_of, path=str(bundle), engine="bundle", variant="cpu-fp32")
    first = replace(engine, name="torch-fp32", open=opening)
    second = replace(engine, name="cpu-fp32", open=opening, baseline="torch-fp32")
    settings = replace(quick, starts=1)
    comparison = Comparison(
        bundle="b",
        baseline="c",
        task=Task.TEXT_CLASSIFICATION,
        labels=len(opening.model.labels),
        max_length=64,
        parameters=9220,
        same_source=True,
        data=None,
    )
    setting = Setting(
        command="bertedge bench",
        environment=describe_environment(),
        comparison=comparison,
        settings=settings,
    )

    def run(workloads: tuple[TextWorkload | TokenWorkload, ...]) -> Report:
        measured = measure([first, second], Plan(workloads=workloads), settings)
        return build_report(measured, workloads, setting)

    return run


def test_values_are_timed_and_nothing_is_said_of_labels(
    report: Callable[[tuple[TextWorkload | TokenWorkload, ...]], Report], kind: ProblemType
):
    cell = TokenWorkload(name="2x3", batches=(((9, 10, 11), (12, 13, 14)),))
    made = report((cell, TextWorkload(name="texts", texts=TEXTS[:3], at_once=True)))
    values = kind is ProblemType.REGRESSION
    engine = made.engines[1]
    assert engine.problem is None
    assert len([result for result in made.results if result.engine == engine.name]) == 2
    said = [*summary(made), *notes(made), render(made)]
    for found in (engine.on_texts, engine.on_random_tokens, made.results[1].agreement):
        assert (found is None) == values
        assert values or (found and found.share == 1)
    assert any("agrees with the baseline" in line for line in said) == (not values)
    assert any("Values are timed, not compared" in line for line in said) == values
