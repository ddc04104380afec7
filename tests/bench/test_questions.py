"""Engines that answer questions: alike on the same pairs, and scored by F1."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the bench extra")

import torch
import transformers

from bertedge.bench.backends import bertedge as ours
from bertedge.bench.backends import optimum_export as exporting
from bertedge.bench.backends import pipeline as pipelines
from bertedge.bench.protocol import Export, Open, TextWorkload, TokenWorkload
from bertedge.bench.scoring import compare, score
from bertedge.bench.workloads import draw_labelled
from bertedge.bundle import open_bundle
from bertedge.data import Columns
from bertedge.export import ExportConfig, export
from bertedge.predictions import Answer, Answers
from bertedge.spec import Task

CONTEXT = "turn the hall lights off please and play a quiet song in the living room at seven "
PAIRS = (
    ("light", "turn the hall lights off"),
    ("room", CONTEXT),
    ("song", CONTEXT * 6),
    ("time", "x"),
)


@pytest.fixture(scope="module")
def checkpoint(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("questions") / "checkpoint"
    base = checkpoints / "text-classification"
    torch.manual_seed(1)
    config = transformers.BertConfig.from_pretrained(base, num_labels=2)
    transformers.BertForQuestionAnswering(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def answering(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("questions") / "bundle"
    export(ExportConfig(checkpoint=str(checkpoint), output=output))
    return output


@pytest.fixture(scope="module")
def optimum(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The graph as Optimum's own users have it."""
    folder = tmp_path_factory.mktemp("optimum")
    made = exporting.export(
        Export(checkpoint=str(checkpoint), task=Task.QUESTION_ANSWERING, folder=str(folder))
    )
    assert made.problem is None and made.exported and made.int8 and made.fused
    return Path(made.exported)


@pytest.fixture
def request_of(opening: Open, checkpoint: Path, answering: Path) -> Open:
    manifest = open_bundle(answering).manifest
    return replace(
        opening,
        path=str(checkpoint),
        model=manifest.model,
        tokenizer=str(answering / "tokenizer.json"),
        precision="fp32",
        variant=None,
    )


@pytest.mark.parametrize("at_once", [False, True])
def test_all_engines_give_the_same_answers(
    request_of: Open, answering: Path, optimum: Path, at_once: bool
) -> None:
    workload = TextWorkload(name="texts", texts=PAIRS, at_once=at_once)
    backends = [
        ours.load_torch(request_of),
        pipelines.load_transformers(request_of),
        ours.load_bundle(replace(request_of, path=str(answering))),
        pipelines.load_optimum(replace(request_of, path=str(optimum.parent), variant=optimum.name)),
    ]
    found = []
    for backend in backends:
        prepared = backend.texts(workload)
        assert prepared.inputs == (1 if at_once else len(PAIRS))
        found.append([each for i in range(prepared.inputs) for each in prepared.outputs(i)])
    for outputs in found:
        same = compare(outputs, found[0], PAIRS).agreement()
        assert same and (same.share, same.labels, same.texts) == (1, len(PAIRS), None)
    for (_, context), answers in zip(PAIRS, found[0], strict=True):
        assert isinstance(answers, Answers)
        best = answers.answers[0]
        assert best.text == context[best.start : best.end] != ""


def test_all_engines_run_batches_of_tokens_alike(
    request_of: Open, answering: Path, optimum: Path
) -> None:
    workload = TokenWorkload(name="2x4", batches=((tuple(range(5, 9)), tuple(range(9, 13))),))
    backends = [
        ours.load_torch(request_of),
        ours.load_bundle(replace(request_of, path=str(answering))),
        pipelines.load_optimum(replace(request_of, path=str(optimum.parent), variant=optimum.name)),
    ]
    labels = [backend.tokens(workload).outputs(0) for backend in backends]
    assert labels[0] == labels[1] == labels[2] and len(labels[0]) == 8


def answer(start: int, end: int) -> Answers:
    best = Answer(text="turn the hall lights off"[start:end], start=start, end=end, score=0.5)
    return Answers(answer=None, answers=(best,), no_answer=0.9)


def test_answers_are_scored_by_f1(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    answers = {"text": ["hall lights"], "answer_start": [9]}
    row = {"question": "what", "context": "turn the hall lights off", "answers": answers}
    path.write_text((json.dumps(row) + "\n") * 2)
    texts = draw_labelled(
        path, Task.QUESTION_ANSWERING, Columns(), ("start", "end"), count=9, seed=0
    )
    assert texts.texts == (("what", "turn the hall lights off"),) * 2
    scored = score(texts, [answer(9, 20), answer(9, 13)], ("start", "end"))
    assert scored is not None and scored.scores.metric == "answer_f1"
    assert scored.scores.value == pytest.approx((1 + 2 / 3) / 2)
    assert score(texts, [answer(9, 20)], ("start", "end")) is None
    assert compare([answer(9, 13), answer(0, 4)], [answer(9, 20), answer(0, 4)]).labels == (0, 1)
