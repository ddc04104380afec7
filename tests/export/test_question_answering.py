"""Checkpoints that answer questions, from export to answer, against transformers' own pipeline."""

import json
import random
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
import transformers
from click.testing import CliRunner

import bertedge
from bertedge.checkpoint import load_model, open_checkpoint
from bertedge.cli import main
from bertedge.errors import DataError, SettingError
from bertedge.export import ExportConfig, ExportReport, export
from bertedge.export.graph.torch_export import as_token_classifier
from bertedge.predictions import Answers
from bertedge.predictor import Predictor
from bertedge.spec import Task

ARCHITECTURES = ("bert", "roberta", "distilbert", "electra")
Export = Callable[[str], ExportReport]
SNIPPETS = """
anna met the good hotel in berlin, not paris. Very very bad; e-mail U.S.A. 3.14 $5 a/b "quoted"
Kälter ÜBER señor naïve cafe\u0301 A\u030a İstanbul ﬁne Ⅻ ½ ß
臺灣位於東亞 ,臺北是首都。 日本語 中文 한국어 हिन्दी العربية בירושלים עברית ไทย
🙂 👩\u200d👩\u200d👧 🇩🇪 [MASK] \u200b \x07 \ufffd
"""
PIECES = SNIPPETS.split()


def random_pairs(count: int) -> list[tuple[str, str]]:
    """Contexts of one to several windows, in all scripts, after short questions."""
    dice = random.Random(7)

    def words(least: int, most: int) -> str:
        chosen = dice.choices(PIECES, k=dice.randint(least, most))
        return dice.choice([" ", " ", "\n", ""]).join(chosen)

    return [(dice.choice(PIECES), words(1, dice.choice([3, 15, 50]))) for _ in range(count)]


@pytest.fixture(scope="module")
def exported(checkpoints: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Export (once) the checkpoint of an architecture."""

    @cache
    def make(kind: str) -> ExportReport:
        output = tmp_path_factory.mktemp("bundles") / kind
        checkpoint = checkpoints(kind, Task.QUESTION_ANSWERING)
        return export(ExportConfig(checkpoint=str(checkpoint), output=output))

    return make


@pytest.fixture(scope="module")
def predictor(exported: Export) -> Predictor:
    return bertedge.load(exported("bert").output)


@pytest.fixture(scope="module")
def pipeline(checkpoints: Callable[..., Path]) -> Callable[..., list[dict[str, Any]]]:
    """Ask transformers' pipeline of an architecture; answers of score 0 are left out."""

    @cache
    def load(kind: str) -> Any:
        folder = checkpoints(kind, Task.QUESTION_ANSWERING)
        loaded = transformers.pipeline("question-answering", model=str(folder))
        if kind == "distilbert":  # whose own tokenizer says so
            loaded.tokenizer.model_input_names = ["input_ids", "attention_mask"]
        return loaded

    def ask(kind: str, question: str, context: str, top_k: int, **options: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = load(kind)(question=question, context=context, top_k=top_k, **options)
        found = found if isinstance(found, list) else [found]
        return [each for each in found if each["score"] > 0]

    return ask


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_answers_are_those_of_transformers_pipeline(
    kind: str, exported: Export, pipeline: Callable[..., list[dict[str, Any]]]
) -> None:
    pairs = random_pairs(60)
    several = 0
    for top_k in (1, 4):
        found = bertedge.load(exported(kind).output).predict(pairs, top_k=top_k)
        for (question, context), answers in zip(pairs, found, strict=True):
            assert isinstance(answers, Answers) and not answers.truncated
            several += answers.windows > 1
            expected = pipeline(kind, question, context, top_k)
            assert [(each.start, each.end, each.text) for each in answers.answers] == [
                (each["start"], each["end"], each["answer"]) for each in expected
            ], (question, context)
            assert [each.score for each in answers.answers] == pytest.approx(
                [each["score"] for each in expected], abs=1e-4
            )
            assert answers.answer == next(iter(answers.answers), None)
            for each in answers.answers:
                assert each.text == context[each.start : each.end]
    assert several > 10


def test_the_score_of_no_answer_is_that_of_the_pipeline(
    predictor: Predictor, pipeline: Callable[..., list[dict[str, Any]]]
) -> None:
    for question, context in random_pairs(20):
        answers = predictor.predict_one((question, context))
        assert isinstance(answers, Answers)
        found = pipeline("bert", question, context, 4999, handle_impossible_answer=True)
        (none,) = [each["score"] for each in found if each["end"] == 0]
        assert answers.no_answer == pytest.approx(none, abs=1e-4)


def test_the_graph_has_one_output_of_two_logits_a_token(exported: Export) -> None:
    report = exported("bert")
    graph = onnx.load(report.output / report.manifest.variants[0].model.file).graph
    assert [output.name for output in graph.output] == ["logits"]
    assert graph.output[0].type.tensor_type.shape.dim[-1].dim_value == 2
    assert report.manifest.model.task is Task.QUESTION_ANSWERING and report.manifest.model.pair
    assert report.manifest.model.labels == ("start", "end")


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_token_classifier_of_the_same_weights_gives_the_same_logits(
    kind: str, checkpoints: Callable[..., Path]
) -> None:
    checkpoint = open_checkpoint(str(checkpoints(kind, Task.QUESTION_ANSWERING)))
    model = load_model(checkpoint)
    ids = torch.tensor([[2, 7, 8, 9, 3]])
    with torch.inference_mode():
        spans, tokens = model(input_ids=ids), as_token_classifier(model)(input_ids=ids)
    assert torch.equal(tokens.logits[..., 0], spans.start_logits)
    assert torch.equal(tokens.logits[..., 1], spans.end_logits)


def test_odd_contexts_and_questions_are_answered_or_have_no_answer(predictor: Predictor) -> None:
    nothing = ["", " ", "\n\t ", "\x07\x08", "\u200b"]
    for context in nothing:
        answers = predictor.predict_one(("anna?", context))
        assert isinstance(answers, Answers)
        assert answers.answer is None and answers.answers == ()
        assert answers.no_answer == pytest.approx(1.0) and answers.windows == 1
    for question, context in [
        ("", "anna met"),
        ("\x07", "anna met"),
        ("a\ud800b", "anna \udfff met"),
        ("anna?", "🙂🙂🙂"),
        ("anna " * 5000, "anna met"),
        ("من؟", "بيت אדום"),
    ]:
        answers = predictor.predict_one((question, context))
        assert isinstance(answers, Answers) and answers.answer is not None
        assert answers.answer.text == context[answers.answer.start : answers.answer.end]
        assert answers.truncated == (len(question) > 100)


def test_a_context_of_100_000_characters_is_read_to_its_end(predictor: Predictor) -> None:
    words = "not " * 12_000 + "anna met berlin " + "not " * 12_000
    answers = predictor.predict_one(("in paris", words), top_k=4)
    assert isinstance(answers, Answers) and answers.windows > 500
    assert len(words) > 95_000 and answers.answer is not None
    end = predictor.predict_one(("in paris", words), top_k=50)
    assert isinstance(end, Answers)
    assert any("berlin" in each.text for each in end.answers)


def test_a_bundle_with_a_threshold_says_where_there_is_no_answer(predictor: Predictor) -> None:
    from dataclasses import replace

    from bertedge.runtime.engine import infer
    from bertedge.spec import DecisionRule
    from bertedge.tasks.question_answering import answer_each

    context = "anna met the good hotel"
    windows = predictor.tokenizer.encode_questions([("in", context)])
    logits = infer(predictor.engine, windows, pad_token_id=0)
    (plain,) = answer_each([context], windows, logits, DecisionRule())
    assert plain.answer is not None
    margin = plain.no_answer - plain.answer.score
    (given,) = answer_each([context], windows, logits, DecisionRule(threshold=margin + 0.01))
    (none,) = answer_each([context], windows, logits, DecisionRule(threshold=margin - 0.01))
    assert given == plain
    assert none == replace(plain, answer=None)


def test_wrong_input_is_one_clear_line(predictor: Predictor) -> None:
    with pytest.raises(DataError, match="this model takes pairs"):
        predictor.predict(["only a question"])
    with pytest.raises(SettingError, match="top_k is 0"):
        predictor.predict_one(("a", "b"), top_k=0)
    with pytest.raises(SettingError, match="labels whole texts"):
        predictor.predict_one(("a", "b"), aggregation="first")


def squad(path: Path, rows: list[tuple[str, str, str | None]]) -> Path:
    """Write questions, contexts and answers (None: there is none) as SQuAD's JSON."""
    paragraphs = []
    for number, (question, context, answer) in enumerate(rows):
        answers = [{"text": answer, "answer_start": context.index(answer)}] if answer else []
        qa = {"id": f"q{number}", "question": question, "answers": answers}
        paragraphs.append({"context": context, "qas": [qa | {"is_impossible": not answer}]})
    path.write_text(json.dumps({"version": "2.0", "data": [{"paragraphs": paragraphs}]}))
    return path


def test_the_commands_export_evaluate_and_predict(
    checkpoints: Callable[..., Path], tmp_path: Path
) -> None:
    def run(*arguments: str | Path) -> str:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    checkpoint = checkpoints("bert", Task.QUESTION_ANSWERING)
    rows = [("in", f"anna met the good hotel {i} berlin", "good hotel") for i in range(40)]
    data = squad(tmp_path / "data.json", [*rows, ("no", "very bad paris", None)])
    output = tmp_path / "bundle"
    settings = ("--quantize", "--max-drop", "100", "--min-agreement", "0")
    shown = run("export", checkpoint, "--output", output, "--eval-data", data, *settings)
    assert "answer F1" in shown and "cpu-int8" in shown
    one, other = (
        json.loads(run("evaluate", model, "--data", data, "--json"))["scores"]
        for model in (checkpoint, output)
    )
    assert one["metric"] == other["metric"] == "answer_f1" and one["unanswerable"] == 0.0
    assert "exact match" in run("evaluate", output, "--data", data)
    assert "questions and windows of contexts" in run("inspect", output)
    row = json.loads(run("predict", output, "in", "anna met the good hotel", "--top-k", "2"))
    assert row["text"] == "in" and len(row["answers"]) == 2 and row["answer"] == row["answers"][0]
    assert set(row["answer"]) == {"text", "start", "end", "score"}
    lines = run("predict", output, "--input", data).splitlines()
    assert [json.loads(line)["text"] for line in lines] == [*["in"] * 40, "no"]
    table = tmp_path / "table.csv"
    table.write_text("id,question,context\n1,in,anna met berlin\n")
    assert json.loads(run("predict", output, "--input", table))["pair"] == "anna met berlin"
