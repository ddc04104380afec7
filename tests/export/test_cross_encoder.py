"""Cross-encoders of sentence-transformers: their scores, and passages ranked by them.

The folders hold what its releases write: 6 a file of its own, 4 and 5 an object in config.json,
older ones a key there.
"""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from click.testing import CliRunner, Result

import bertedge
from bertedge.checkpoint import open_checkpoint
from bertedge.cli import main
from bertedge.errors import CheckpointError, DataError, SettingError
from bertedge.export import ExportConfig, export
from bertedge.export.config import Exporter
from bertedge.predictions import Regression
from bertedge.spec import Activation, ProblemType

QUERY = "good hotel"
PASSAGES = ["anna met", "", "the very good hotel in paris " * 30, "not bad", "paris"]
SIX = {
    "__version__": {"sentence_transformers": "6.2.0"},
    "model_type": "CrossEncoder",
    "prompts": {},
}
IDENTITY, SIGMOID = "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Sigmoid"
FUNCTIONS: dict[Activation, Callable[[torch.Tensor], torch.Tensor]] = {
    Activation.IDENTITY: lambda logits: logits,
    Activation.SIGMOID: torch.sigmoid,
    Activation.TANH: torch.tanh,
}

Made = Callable[..., Path]


@pytest.fixture(scope="module")
def scorer(checkpoints: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one logit, as transformers saves it."""
    folder = tmp_path_factory.mktemp("scorer") / "model"
    config = transformers.AutoConfig.from_pretrained(checkpoints("bert"), num_labels=1)
    torch.manual_seed(3)
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(checkpoints("bert")).save_pretrained(folder)
    return folder


def spoil(folder: Path, config: dict[str, Any], six: dict[str, Any] | None = None) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    if six is not None:
        (folder / "config_sentence_transformers.json").write_text(json.dumps(SIX | six))
    return folder


@pytest.fixture
def saved(scorer: Path, tmp_path: Path) -> Made:
    def make(config: dict[str, Any], six: dict[str, Any] | None = None) -> Path:
        folder = tmp_path / "model"
        shutil.rmtree(folder, ignore_errors=True)
        return spoil(Path(shutil.copytree(scorer, folder)), config, six)

    return make


@pytest.fixture(scope="module")
def reranker(scorer: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    @cache
    def make(activation: str = IDENTITY) -> Path:
        folder = tmp_path_factory.mktemp("rerankers")
        model = Path(shutil.copytree(scorer, folder / "model"))
        spoil(model, {}, {"activation_fn": activation})
        settings: dict[str, Any] = {"exporter": Exporter.DIRECT}
        export(ExportConfig(checkpoint=str(model), output=folder / "bundle", **settings))
        return folder / "bundle"

    return make


def by_hand(folder: Path, activation: Activation) -> list[float]:
    """Score as `CrossEncoder.predict` does."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    pairs = [[QUERY, passage] for passage in PASSAGES]
    encoded = tokenizer(pairs, padding=True, truncation="longest_first", return_tensors="pt")
    with torch.no_grad():
        logits = model(**encoded).logits
    found: list[float] = FUNCTIONS[activation](logits)[:, 0].tolist()
    return found


@pytest.mark.parametrize(
    ("config", "six", "activation"),
    [
        ({}, {"activation_fn": IDENTITY}, Activation.IDENTITY),
        ({}, {"activation_fn": SIGMOID}, Activation.SIGMOID),
        ({}, {"activation_fn": "torch.nn.Tanh"}, Activation.TANH),
        ({}, {}, Activation.SIGMOID),
        ({"sentence_transformers": {"activation_fn": IDENTITY}}, None, Activation.IDENTITY),
        ({"sentence_transformers": {"version": "5.1.0"}}, None, Activation.SIGMOID),
        ({"sbert_ce_default_activation_function": IDENTITY}, None, Activation.IDENTITY),
        ({"sbert_ce_default_activation_function": None}, None, Activation.SIGMOID),
        (
            {"sentence_transformers": {"activation_fn": SIGMOID}},
            {"activation_fn": IDENTITY},
            Activation.IDENTITY,
        ),
    ],
)
def test_the_activation_is_read_where_each_release_writes_it(
    saved: Made, config: dict[str, Any], six: dict[str, Any] | None, activation: Activation
) -> None:
    model = open_checkpoint(str(saved(config, six))).model
    assert model.pair and model.rule.problem_type is ProblemType.REGRESSION
    assert model.rule.activation is activation


def test_other_models_of_one_logit_have_no_activation(saved: Made) -> None:
    opened = open_checkpoint(str(saved({}))).model
    assert opened.rule.activation is Activation.IDENTITY and not opened.pair
    told = open_checkpoint(str(saved({})), activation=Activation.SIGMOID).model
    assert told.rule.activation is Activation.SIGMOID


def test_other_functions_are_refused_by_name(saved: Made) -> None:
    folder = saved({}, {"activation_fn": "torch.nn.modules.activation.ReLU"})
    with pytest.raises(CheckpointError, match=r"activation\.ReLU.*--activation") as raised:
        open_checkpoint(str(folder))
    assert len(str(raised.value)) <= 300
    assert open_checkpoint(str(folder), activation=Activation.IDENTITY)


@pytest.mark.parametrize("path", [IDENTITY, SIGMOID, "torch.nn.modules.activation.Tanh"])
def test_scores_and_ranks_are_those_of_sentence_transformers(
    reranker: Made, scorer: Path, path: str
) -> None:
    model = bertedge.load(reranker(path), device="cpu", threads=1, problem_type="regression")
    activation = model.manifest.model.rule.activation
    wanted = by_hand(scorer, activation)
    found = model.predict([(QUERY, passage) for passage in PASSAGES])
    assert all(isinstance(each, Regression) for each in found)
    np.testing.assert_allclose([each.value for each in found], wanted, atol=1e-5)
    ranked = model.rank(QUERY, iter(PASSAGES))
    order = sorted(range(len(wanted)), key=lambda i: wanted[i], reverse=True)
    assert [each.index for each in ranked] == order
    np.testing.assert_allclose(
        [each.score for each in ranked], sorted(wanted, reverse=True), atol=1e-5
    )
    assert [each.text for each in ranked] == [PASSAGES[i] for i in order]
    assert [each.index for each in ranked if each.truncated] == [2]
    assert model.rank(QUERY, PASSAGES, top_k=2) == ranked[:2]
    assert model.rank(QUERY, []) == []
    twins = model.rank(QUERY, ["not bad", "paris", "not bad"])
    assert [each.index for each in twins if each.text == "not bad"] == [0, 2]


def test_what_cannot_be_ranked_is_refused(reranker: Made) -> None:
    model = bertedge.load(reranker(), problem_type="regression")
    with pytest.raises(SettingError, match="top_k is 0"):
        model.rank(QUERY, PASSAGES, top_k=0)
    with pytest.raises(DataError, match="passages is one string"):
        model.rank(QUERY, "anna met")
    tiny = Path(__file__).parents[2] / "models" / "tiny" / "text-classification"
    with pytest.raises(SettingError, match="ranking needs a cross-encoder"):
        bertedge.load(tiny).rank(QUERY, PASSAGES)


def test_an_activation_is_for_one_logit(checkpoints: Any, tmp_path: Path) -> None:
    config = ExportConfig(
        checkpoint=str(checkpoints("bert")),
        output=tmp_path / "bundle",
        activation=Activation.SIGMOID,
    )
    with pytest.raises(SettingError, match=r"--activation is for models with one logit.*3 labels"):
        export(config)


def test_the_command_ranks_the_passages_of_each_query(reranker: Made, tmp_path: Path) -> None:
    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(main, ["predict", str(reranker(SIGMOID)), *map(str, arguments)])

    def rows(*arguments: str | Path) -> list[dict[str, Any]]:
        result = run(*arguments)
        assert result.exit_code == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    (one,) = rows("--rank", "good hotel", "anna met", "not bad", "paris")
    assert list(one) == ["query", "ranked"] and one["query"] == "good hotel"
    assert [list(each) for each in one["ranked"]] == [["index", "score", "text", "truncated"]] * 3
    scores = [each["score"] for each in one["ranked"]]
    assert scores == sorted(scores, reverse=True) and 0 < min(scores) <= max(scores) < 1
    table = tmp_path / "pairs.csv"
    table.write_text(
        "q,p\ngood hotel,anna met\nbad,paris\ngood hotel,not bad\ngood hotel,paris\nbad,anna\n"
    )
    columns = ("--text-column", "q", "--pair-column", "p")
    first, second = rows("--rank", "--input", table, *columns, "--chunk", "2")
    assert first["query"], second["query"] == ("good hotel", "bad")
    np.testing.assert_allclose([each["score"] for each in first["ranked"]], scores, atol=1e-5)
    assert {each["text"] for each in second["ranked"]} == {"paris", "anna"}
    best = rows("--rank", "--input", table, *columns, "--top-k", "1")
    assert [each["ranked"] for each in best] == [first["ranked"][:1], second["ranked"][:1]]
    for arguments, code, said in (
        (("--rank", "good hotel"), 2, "give a passage too"),
        (("--rank", "--explain", "a", "b"), 2, "leave --rank out"),
        (("--rank", "--candidate-labels", "x", "a", "b"), 2, "leave --rank out"),
        (("--candidate-labels", "x", "a"), 1, "begins with 'entail'"),
    ):
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (code, "")
        assert said in result.stderr.splitlines()[-1]


def test_evaluation_and_inspect_read_the_scores(reranker: Made, tmp_path: Path) -> None:
    data = tmp_path / "pairs.csv"
    model = bertedge.load(reranker(SIGMOID), problem_type="regression")
    found = [model.predict_one((QUERY, each)).value for each in PASSAGES[2:]]
    lines = [f"{QUERY},{text},{value}" for text, value in zip(PASSAGES[2:], found, strict=True)]
    data.write_text("\n".join(["sentence1,sentence2,label", *lines]) + "\n")
    told = ["evaluate", str(reranker(SIGMOID)), "--data", str(data), "--json"]
    scores = json.loads(CliRunner().invoke(main, told).stdout)["scores"]
    assert scores["rmse"] == pytest.approx(0, abs=1e-5)
    shown = CliRunner().invoke(main, ["inspect", str(reranker(SIGMOID))]).stdout
    assert "regression, the sigmoid of the logit" in shown
