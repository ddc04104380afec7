"""Engines of other makes give the labels that ours gives, on the same checkpoint."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("optimum", reason="needs the export extra")

from bertedge.bench.backends import Backend
from bertedge.bench.backends import bertedge as ours
from bertedge.bench.backends import onnxruntime as plain
from bertedge.bench.backends import pipeline as pipelines
from bertedge.bench.backends.optimum_export import export
from bertedge.bench.protocol import Export, Exported, Open, Output, TextWorkload, TokenWorkload
from bertedge.bench.scoring import compare
from bertedge.predictions import Classification, Entities
from bertedge.spec import Task

TEXTS = tuple(
    (text,)
    for text in ("turn the hall lights off", "play a song", "is it warm?", "x", "ä lamp") * 8
)
LONG = ("please play a quiet song in the living room " * 20,)
LABELS = {
    Task.TEXT_CLASSIFICATION: ("lights", "music", "heating", "other"),
    Task.TOKEN_CLASSIFICATION: ("O", "B-room", "I-room", "B-device", "I-device", "B-time"),
}


@pytest.fixture(scope="module", params=list(LABELS))
def task(request: pytest.FixtureRequest) -> Task:
    return request.param


@pytest.fixture(scope="module")
def exported(checkpoints: Path, task: Task, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("exports")
    checkpoint = str(checkpoints / task.value)
    return export(Export(checkpoint=checkpoint, task=task, folder=str(folder)))


@pytest.fixture
def request_of(opening: Open, checkpoints: Path, task: Task, bundle: Path) -> Open:
    folder = bundle.parent / task.value
    return replace(
        opening,
        path=str(checkpoints / task.value),
        variant=None,
        model=replace(opening.model, task=task, labels=LABELS[task]),
        tokenizer=str(folder / "tokenizer.json"),
    )


def test_every_graph_is_made(exported: Exported):
    assert exported.problem is None
    for path in (exported.exported, exported.int8, exported.fused):
        assert path and Path(path).stat().st_size > 1000


def outputs_of(backend: Backend, workload: TextWorkload) -> list[Output]:
    prepared = backend.texts(workload)
    assert prepared.inputs == (1 if workload.at_once else len(workload.texts))
    return [each for i in range(prepared.inputs) for each in prepared.outputs(i)]


def test_all_engines_give_the_same_predictions(request_of: Open, exported: Exported):
    assert exported.exported
    graph = Path(exported.exported)
    optimum = replace(request_of, path=str(graph.parent), variant=graph.name)
    backends = {
        "torch": ours.load_torch(request_of),
        "pipeline": pipelines.load_transformers(request_of),
        "optimum": pipelines.load_optimum(optimum),
        "onnxruntime": plain.load(replace(request_of, path=str(graph))),
    }
    for at_once in (False, True):
        workload = TextWorkload(name="t", texts=TEXTS, at_once=at_once)
        found = {name: outputs_of(backend, workload) for name, backend in backends.items()}
        expected = found["torch"]
        assert len(expected) == len(TEXTS)
        for name, outputs in found.items():
            same = compare(outputs, expected, TEXTS).agreement()
            assert same and same.share == 1 and same.texts in (None, 1), name
            for one, other in zip(outputs, expected, strict=True):
                assert type(one) is type(other)
                if isinstance(one, Classification) and isinstance(other, Classification):
                    assert one.score == pytest.approx(other.score, abs=1e-5)
                elif isinstance(one, Entities) and isinstance(other, Entities):
                    ends = [(each.start, each.end, each.label) for each in other.entities]
                    assert [(each.start, each.end, each.label) for each in one.entities] == ends
    cell = TokenWorkload(name="2x3", batches=(((9, 10, 11), (12, 13, 14)),))
    numbers = backends["torch"].tokens(cell).outputs(0)
    assert len(numbers) in (2, 6)
    for name in ("optimum", "onnxruntime"):
        assert backends[name].tokens(cell).outputs(0) == numbers


def test_what_a_pipeline_cuts_off_has_no_entities(request_of: Open, exported: Exported, task: Task):
    workload = TextWorkload(name="t", texts=(LONG,), at_once=False)
    (whole,) = outputs_of(ours.load_torch(request_of), workload)
    (cut,) = outputs_of(pipelines.load_transformers(request_of), workload)
    (other,) = outputs_of(plain.load(replace(request_of, path=str(exported.exported))), workload)
    if task is Task.TEXT_CLASSIFICATION:
        assert isinstance(whole, Classification) and whole.truncated
        return
    assert isinstance(whole, Entities) and isinstance(cut, Entities) and isinstance(other, Entities)
    assert [each.start for each in cut.entities] == [each.start for each in other.entities]
    assert cut.entities[-1].end < whole.entities[-1].start
    same = compare([cut], [whole], [LONG]).agreement()
    assert same and same.share < 1 and same.texts == 0


def test_pytorch_measures_its_own_token_budget(request_of: Open):
    backend = ours.load_torch(request_of)
    prepared = backend.texts(TextWorkload(name="t", texts=TEXTS, at_once=True))
    assert backend.token_budget in ours.BUDGETS
    assert (
        prepared.batching == f"{backend.token_budget:,} tokens a batch, measured, sorted by length"
    )
