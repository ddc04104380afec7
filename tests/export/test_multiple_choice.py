"""Checkpoints that choose among texts, from export to choice, against transformers' own model."""

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from click.testing import CliRunner

import bertedge
from bertedge.cli import main
from bertedge.errors import DataError, SettingError
from bertedge.export import ExportConfig, ExportReport, export
from bertedge.predictions import MultipleChoice
from bertedge.spec import Task

Export = Callable[..., ExportReport]
WORDS = ("hall", "lights", "music", "play", "on", "off", "Berlin", "kälter", "臺灣", "🙂")


def inputs(count: int) -> list[tuple[str, ...]]:
    """Contexts with two to five choices each, some longer than the model reads."""
    dice = random.Random(3)

    def text() -> str:
        return " ".join(dice.choices(WORDS, k=dice.choice([1, 4, 9, 60])))

    return [tuple(text() for _ in range(1 + dice.randint(2, 5))) for _ in range(count)]


@pytest.fixture(scope="module")
def exported(checkpoints: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Export (once) the checkpoint of an architecture."""

    @cache
    def make(kind: str, *, quantize: bool = False) -> ExportReport:
        output = tmp_path_factory.mktemp("bundles") / kind
        checkpoint = str(checkpoints(kind, Task.MULTIPLE_CHOICE))
        loose = {"max_drop": 100.0, "min_agreement": 0.0} if quantize else {}
        return export(
            ExportConfig(checkpoint=checkpoint, output=output, quantize=quantize, **loose)  # type: ignore[arg-type]
        )

    return make


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "electra"])
def test_choices_are_those_of_transformers_own_model(
    kind: str, exported: Export, checkpoints: Callable[..., Path]
) -> None:
    folder = checkpoints(kind, Task.MULTIPLE_CHOICE)
    theirs = transformers.AutoModelForMultipleChoice.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    asked = inputs(25)
    found = bertedge.load(exported(kind).output, task="multiple-choice").predict(asked)
    cut = 0
    for (context, *choices), own in zip(asked, found, strict=True):
        rows = tokenizer([context] * len(choices), choices, truncation=True, padding=True)
        names = ("input_ids", "attention_mask", "token_type_ids")[: 2 if kind != "bert" else 3]
        batch = {name: torch.tensor([rows[name]]) for name in names}
        if kind == "electra":
            batch["token_type_ids"] = torch.tensor([rows["token_type_ids"]])
        with torch.no_grad():
            logits = theirs(**batch).logits[0]
        assert own.scores == pytest.approx(logits.softmax(-1).tolist(), abs=1e-5)
        assert own.choice == int(logits.argmax()) and own.chosen == choices[own.choice]
        assert own.score == max(own.scores)
        whole = tokenizer([context] * len(choices), choices)["input_ids"]
        assert own.truncated == any(len(row) > tokenizer.model_max_length for row in whole)
        cut += own.truncated
    assert 0 < cut < len(asked)


def test_an_int8_bundle_chooses_nearly_as_its_checkpoint(exported: Export) -> None:
    asked = inputs(25)
    whole = bertedge.load(exported("bert").output).predict(asked)
    int8 = bertedge.load(exported("bert", quantize=True).output)
    assert int8.variant.precision == "int8"
    for one, other in zip(whole, int8.predict(asked), strict=True):
        assert isinstance(one, MultipleChoice) and isinstance(other, MultipleChoice)
        np.testing.assert_allclose(one.scores, other.scores, atol=0.25)


def test_an_input_is_answered_alike_whatever_is_beside_it(exported: Export) -> None:
    predictor = bertedge.load(exported("bert").output)
    asked = inputs(12)
    for each, together in zip(asked, predictor.predict(asked), strict=True):
        alone = predictor.predict_one(each)
        assert isinstance(alone, MultipleChoice) and isinstance(together, MultipleChoice)
        assert alone.choice == together.choice
        assert alone.scores == pytest.approx(together.scores, abs=1e-6)


@pytest.mark.parametrize("text", ["hall", ("hall",), ("hall", 3), ("hall", ["on", "off"])])
def test_an_input_without_choices_is_refused(exported: Export, text: object) -> None:
    predictor = bertedge.load(exported("bert").output)
    with pytest.raises(DataError, match="takes a context with its choices"):
        predictor.predict_one(text)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="top_k is 2"):
        predictor.predict_one(("hall", "on", "off"), top_k=2)


def test_the_command_reads_arguments_lines_with_tabs_and_json(
    exported: Export, tmp_path: Path
) -> None:
    bundle = str(exported("bert").output)
    by_lines, by_json = tmp_path / "lines.txt", tmp_path / "lines.jsonl"
    by_lines.write_text("hall\ton\toff\nmusic\tplay\tlights\toff\n")
    by_json.write_text(
        '{"context": "hall", "endings": ["on", "off"]}\n'
        '{"context": "music", "endings": ["play", "lights", "off"]}\n'
    )
    run = CliRunner().invoke
    alone = run(main, ["predict", bundle, "hall", "on", "off"]).stdout
    lines = run(main, ["predict", bundle, "--input", str(by_lines)]).stdout
    assert '"text": "hall", "pair": ["on", "off"], "choice": ' in alone
    assert lines.startswith(alone) and lines.count("\n") == 2
    assert run(main, ["predict", bundle, "--input", str(by_json)]).stdout == lines
    lone = run(main, ["predict", bundle, "hall"])
    assert lone.exit_code == 1 and "there is 1; give context and endings in turn" in lone.output
    table = tmp_path / "table.csv"
    table.write_text("text,pair\nhall,on\n")
    refused = run(main, ["predict", bundle, "--input", str(table)])
    assert refused.exit_code == 1 and "write JSON lines" in refused.output
    by_lines.write_text("hall\n")
    refused = run(main, ["predict", bundle, "--input", str(by_lines)])
    assert refused.exit_code == 1 and "there are 0 TABs in the line" in refused.output
