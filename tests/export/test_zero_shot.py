"""Zero-shot classification by a bundle, against transformers' own pipeline."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from click.testing import CliRunner, Result

import bertedge
from bertedge import zero_shot
from bertedge.cli import main
from bertedge.errors import DataError, SettingError
from bertedge.export import ExportConfig, export
from bertedge.export.config import Exporter
from bertedge.predictions import Classification, MultiLabelClassification
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Task

TEXTS = ["anna met no good hotel in berlin", "", "not bad", "the very good hotel in paris " * 30]
CANDIDATES = ["good", "bad hotel", "paris", "oslo"]
LAST = ("contradiction", "neutral", "entailment")
FIRST = ("ENTAILMENT", "neutral", "contradiction")
TWO = ("not_entailment", "entailment")

Inferred = Callable[..., Path]


@pytest.fixture(scope="module")
def checkpoint(checkpoints: Any, tmp_path_factory: pytest.TempPathFactory) -> Inferred:
    """Make a model of natural language inference with these labels."""

    @cache
    def make(labels: tuple[str, ...], kind: str) -> Path:
        folder = tmp_path_factory.mktemp("inference") / "model"
        named = {"id2label": dict(enumerate(labels))}
        named["label2id"] = {label: i for i, label in enumerate(labels)}  # type: ignore[dict-item]
        source = checkpoints(kind, Task.TEXT_CLASSIFICATION)
        if len(labels) == len(LAST):
            shutil.copytree(source, folder)
            path = folder / "config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | named))
            return folder
        config = transformers.AutoConfig.from_pretrained(source, **named)
        model = transformers.AutoModelForSequenceClassification.from_config(config)
        model.save_pretrained(folder)
        transformers.AutoTokenizer.from_pretrained(source).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="module")
def bundle(checkpoint: Inferred, tmp_path_factory: pytest.TempPathFactory) -> Inferred:
    """Export such a model; nothing says that it reads pairs, but its labels."""

    @cache
    def make(labels: tuple[str, ...] = LAST, kind: str = "bert") -> Path:
        output = tmp_path_factory.mktemp("bundles") / "bundle"
        folder = str(checkpoint(labels, kind))
        export(ExportConfig(checkpoint=folder, output=output, exporter=Exporter.DIRECT))
        return output

    return make


def by_pipeline(folder: Path, **asked: Any) -> list[dict[str, Any]]:
    classify = transformers.pipeline("zero-shot-classification", model=str(folder), device="cpu")
    found: list[dict[str, Any]] = [classify(text, **asked) for text in TEXTS if text]
    return found


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("labels", [LAST, FIRST])
def test_labels_and_scores_are_those_of_the_pipeline(
    bundle: Inferred,
    checkpoint: Inferred,
    labels: tuple[str, ...],
    multi_label: bool,
    kind: str,
) -> None:
    asked = {"candidate_labels": CANDIDATES, "multi_label": multi_label}
    wanted = by_pipeline(checkpoint(labels, kind), **asked)
    model = bertedge.load(bundle(labels, kind), device="cpu", threads=1)
    together = model.zero_shot(TEXTS, CANDIDATES, multi_label=multi_label)
    alone = [model.zero_shot([text], CANDIDATES, multi_label=multi_label)[0] for text in TEXTS]
    for answers in (together, alone):
        found = [each for each, text in zip(answers, TEXTS, strict=True) if text]
        for own, other in zip(found, wanted, strict=True):
            assert list(own.scores) == other["labels"]
            np.testing.assert_allclose(list(own.scores.values()), other["scores"], atol=1e-5)
    assert [each.truncated for each in together] == [False, False, False, True]
    for each in together:
        if isinstance(each, MultiLabelClassification):
            best = {name for name, score in each.scores.items() if score >= 0.5}
            assert multi_label and set(each.labels) == best
        else:
            assert (each.label, each.score) == next(iter(each.scores.items()))


@pytest.mark.parametrize("multi_label", [False, True])
def test_one_label_alone_is_weighed_against_its_contradiction(
    bundle: Inferred, checkpoint: Inferred, multi_label: bool
) -> None:
    asked = {"candidate_labels": "good", "hypothesis_template": "it was {}, not bad"}
    wanted = by_pipeline(checkpoint(TWO, "bert"), multi_label=multi_label, **asked)
    model = bertedge.load(bundle(TWO), device="cpu", threads=1)
    found = model.zero_shot(
        filter(None, TEXTS),
        "good",
        hypothesis_template="it was {}, not bad",
        multi_label=multi_label,
    )
    scores = [each.scores["good"] for each in found]
    np.testing.assert_allclose(scores, [each["scores"][0] for each in wanted], atol=1e-5)
    assert {type(each) for each in found} == {
        MultiLabelClassification if multi_label else Classification
    }


def test_a_stream_gives_what_a_list_does(bundle: Inferred) -> None:
    model = bertedge.load(bundle(), device="cpu", threads=1)
    whole = model.zero_shot(TEXTS * 3, CANDIDATES)
    for chunk in (1, 2, 5, 100):
        found = list(model.zero_shot_iter(iter(TEXTS * 3), CANDIDATES, chunk=chunk))
        for one, other in zip(found, whole, strict=True):
            assert list(one.scores) == list(other.scores)
            np.testing.assert_allclose(
                list(one.scores.values()), list(other.scores.values()), atol=1e-5
            )
    assert model.zero_shot([], CANDIDATES) == []


@pytest.mark.parametrize(
    ("candidates", "template", "said"),
    [
        ("", "{}", "give one label or more"),
        (" , ", "{}", "give one label or more"),
        (["good", " "], "{}", "none empty"),
        (["good", "bad", "good"], "{}", "'good' is there twice"),
        (["good", 3], "{}", "candidate label 3 is no string"),
        ("good,bad", "this is good", r"hypothesis_template is 'this is good'.*\{\} once"),
        ("good,bad", "{} and {}", r"\{\} once"),
        ("good,bad", "{0}", r"\{\} once"),
        (["good", "bad " * 40], "{}", "hypothesis of .* tokens"),
        ([str(i) for i in range(1001)], "{}", "1,001 candidate labels"),
    ],
)
def test_labels_and_templates_that_cannot_be_are_refused(
    bundle: Inferred, candidates: Any, template: str, said: str
) -> None:
    model = bertedge.load(bundle(), device="cpu", threads=1)
    with pytest.raises(SettingError, match=said) as raised:
        model.zero_shot(["good"], candidates, hypothesis_template=template)
    assert len(str(raised.value)) <= 300


def test_long_texts_are_tokenized_a_few_at_a_time(
    bundle: Inferred, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = bertedge.load(bundle(), device="cpu", threads=1)
    whole = model.zero_shot(TEXTS, CANDIDATES)
    monkeypatch.setattr(zero_shot, "_CHARACTERS", 2 * max(map(len, TEXTS)))
    held: list[int] = []
    encode = Tokenizer.encode

    def watched(self: Tokenizer, texts: Any) -> Any:
        held.append(len(texts))
        return encode(self, texts)

    monkeypatch.setattr(Tokenizer, "encode", watched)
    assert model.zero_shot(TEXTS, CANDIDATES) == whole
    assert held == [len(CANDIDATES), *[2] * (len(TEXTS) * len(CANDIDATES) // 2)]


def test_what_is_no_text_is_refused(bundle: Inferred) -> None:
    model = bertedge.load(bundle(), device="cpu", threads=1)
    with pytest.raises(DataError, match="text 2 is a pair; this model takes single texts"):
        model.zero_shot(["good", "bad", ("good", "bad")], CANDIDATES)  # type: ignore[list-item]
    with pytest.raises(DataError, match="texts is one string"):
        model.zero_shot("good", CANDIDATES)


def test_models_that_infer_nothing_are_refused(checkpoints: Any, tmp_path: Path) -> None:
    output = tmp_path / "bundle"
    source = checkpoints("bert", Task.TEXT_CLASSIFICATION)
    settings: dict[str, Any] = {"exporter": Exporter.DIRECT, "pair": True}
    export(ExportConfig(checkpoint=str(source), output=output, **settings))
    with pytest.raises(SettingError, match=r"begins with 'entail'.*\(bad, fair, good\)"):
        bertedge.load(output).zero_shot(["good"], CANDIDATES)
    tiny = Path(__file__).parents[2] / "models" / "tiny" / "token-classification"
    with pytest.raises(SettingError, match="this one is for token-classification"):
        bertedge.load(tiny).zero_shot(["good"], CANDIDATES)


def test_the_command_writes_a_row_a_text(bundle: Inferred, tmp_path: Path) -> None:
    def run(*arguments: str | Path) -> Result:
        command = ["predict", str(bundle()), *map(str, arguments)]
        return CliRunner().invoke(main, command)

    def rows(*arguments: str | Path) -> list[dict[str, Any]]:
        result = run(*arguments)
        assert result.exit_code == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    asked = ("--candidate-labels", "good, bad,paris")
    one, other = rows("anna met", "no hotel", *asked)
    assert list(one) == ["text", "label", "score", "scores", "truncated"]
    assert one["text"] == "anna met" and set(one["scores"]) == {"good", "bad", "paris"}
    assert list(one["scores"].values()) == sorted(one["scores"].values(), reverse=True)
    assert sum(one["scores"].values()) == pytest.approx(1, abs=1e-5)
    lines = tmp_path / "texts.txt"
    lines.write_text("anna met\nno hotel\n")
    for chunk in ("1", "1024"):
        assert rows("--input", lines, "--chunk", chunk, *asked) == [one, other]
    table = tmp_path / "texts.csv"
    table.write_text("id,text\n1,anna met\n2,no hotel\n")
    assert rows("--input", table, *asked) == [one, other]
    several = rows("anna met", *asked, "--multi-label", "--hypothesis-template", "{}")[0]
    assert list(several) == ["text", "labels", "scores", "truncated"]
    for arguments, said in (
        (("a", "--multi-label"), "--multi-label is for --candidate-labels"),
        (("a", "--hypothesis-template", "{}"), "--hypothesis-template is for --candidate-labels"),
        (("a", *asked, "--explain"), "--explain and --candidate-labels exclude each other"),
        (("a", *asked, "--top-k", "2"), "--candidate-labels and --top-k exclude each other"),
        (("--input", table, "--output", "x/", *asked), "--candidate-labels writes JSON lines"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2 and said in result.stderr.splitlines()[-1]
    refused = run("a", "--candidate-labels", ",")
    assert refused.exit_code == 1 and refused.stderr.count("\n") == 1
