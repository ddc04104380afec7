"""Engines of other makes give the labels that ours gives, on the same checkpoint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("optimum", reason="needs the export extra")

from bertedge.bench.backends import UNREAD
from bertedge.bench.backends import onnxruntime as plain_onnx
from bertedge.bench.backends import pipeline as pipelines
from bertedge.bench.backends import torch as packed
from bertedge.bench.backends.optimum_export import export
from bertedge.bench.messages import Export, Exported, Open, TextWorkload, TokenWorkload
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
        task=task,
        labels=LABELS[task],
        tokenizer=str(folder / "tokenizer.json"),
    )


def test_every_graph_is_made(exported: Exported):
    assert exported.problem is None
    for path in (exported.exported, exported.int8, exported.fused):
        assert path and Path(path).stat().st_size > 1000


def test_all_engines_give_the_same_labels(request_of: Open, exported: Exported, task: Task):
    assert exported.exported
    graph = Path(exported.exported)
    optimum = replace(request_of, path=str(graph.parent), variant=graph.name)
    subjects = {
        "torch": packed.load_torch(request_of),
        "pipeline": pipelines.load_transformers(request_of),
        "optimum": pipelines.load_optimum(optimum),
        "onnxruntime": plain_onnx.load(replace(request_of, path=str(graph))),
    }
    for at_once in (False, True):
        found = {}
        for name, subject in subjects.items():
            prepared = subject.texts(TextWorkload(name="t", texts=TEXTS, at_once=at_once))
            assert prepared.inputs == (1 if at_once else len(TEXTS))
            found[name] = np.concatenate([prepared.run(i) for i in range(prepared.inputs)])
        for name, labels in found.items():
            assert labels.tolist() == found["torch"].tolist(), name
        assert len(found["torch"]) == len(TEXTS) or task is Task.TOKEN_CLASSIFICATION
    cell = TokenWorkload(name="2x3", batches=(((9, 10, 11), (12, 13, 14)),))
    expected = subjects["torch"].tokens(cell).run(0)
    for name in ("optimum", "onnxruntime"):
        assert subjects[name].tokens(cell).run(0).tolist() == expected.tolist()


def test_tokens_that_a_pipeline_cuts_off_count_as_unread(
    request_of: Open, exported: Exported, task: Task
):
    workload = TextWorkload(name="t", texts=(LONG,), at_once=False)
    whole = packed.load_torch(request_of).texts(workload).run(0)
    cut = pipelines.load_transformers(request_of).texts(workload).run(0)
    plain = plain_onnx.load(replace(request_of, path=str(exported.exported))).texts(workload).run(0)
    assert len(whole) == len(cut) == len(plain)
    assert cut.tolist() == plain.tolist()
    unread = int((cut == UNREAD).sum())
    assert unread == (0 if task is Task.TEXT_CLASSIFICATION else len(whole) - 62)


def test_pytorch_measures_its_own_token_budget(request_of: Open):
    subject = packed.load_torch(request_of)
    prepared = subject.texts(TextWorkload(name="t", texts=TEXTS, at_once=True))
    assert subject.token_budget in packed.BUDGETS
    assert (
        prepared.batching == f"{subject.token_budget:,} tokens a batch, measured, sorted by length"
    )
