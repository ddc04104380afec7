"""`explain`: the weight of a word is what its absence does to the score that `predict` gives."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import bertedge
from bertedge.cli import main
from bertedge.cli.marked import mark
from bertedge.errors import DataError, SettingError
from bertedge.explanation import MOST_WORDS, Explanation, WordWeight, explain, find_words
from bertedge.model import TextModel
from bertedge.predictions import Classification
from bertedge.predictor import Predictor
from bertedge.runtime.encoding import Batch
from bertedge.spec import DecisionRule, ProblemType

TINY = Path(__file__).parents[1] / "models" / "tiny"
TEXT = "Turn the hall lights off, please"
WITHOUT = {
    "Turn": "the hall lights off, please",
    "the": "Turn hall lights off, please",
    "hall": "Turn the lights off, please",
    "lights": "Turn the hall off, please",
    "off": "Turn the hall lights, please",
    ",": "Turn the hall lights off please",
    "please": "Turn the hall lights off,",
}


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


def test_a_weight_is_the_score_with_the_word_less_that_without_it(classifier: Predictor) -> None:
    found = classifier.explain(TEXT)
    whole = classifier.predict_one(TEXT)
    assert found.prediction == whole
    assert (found.label, found.left_out) == (whole.label, 0)
    assert found.score == pytest.approx(whole.score, abs=1e-6)
    assert [each.word for each in found.words] == list(WITHOUT)
    for each in found.words:
        assert TEXT[each.start : each.end] == each.word and each.part == 0
        less = classifier.predict_one(WITHOUT[each.word]).scores[whole.label]
        assert each.weight == pytest.approx(whole.score - less, abs=1e-5)
    assert len({round(each.weight, 5) for each in found.words}) > 4  # they do differ


def test_another_label_is_explained_where_it_is_asked_for(classifier: Predictor) -> None:
    whole = classifier.predict_one(TEXT)
    other = min(whole.scores, key=whole.scores.__getitem__)
    found = classifier.explain(TEXT, label=other)
    less = classifier.predict_one(WITHOUT["lights"]).scores[other]
    assert found.label == other and found.prediction == whole
    assert found.words[3].weight == pytest.approx(whole.scores[other] - less, abs=1e-5)
    with pytest.raises(SettingError, match=r"no label 'x'; it has lights, music, heating, other"):
        classifier.explain(TEXT, label="x")


def test_words_of_both_texts_of_a_pair_have_weights(altered: Any, text_bundle: Path) -> None:
    with Predictor.open(altered(text_bundle, pair=True), device="cpu") as model:
        found = model.explain(("lights off", "the hall"))
        whole = model.predict_one(("lights off", "the hall"))
        assert [(each.part, each.word) for each in found.words] == [
            (0, "lights"), (0, "off"), (1, "the"), (1, "hall"),
        ]  # fmt: skip
        less = model.predict_one(("lights off", "hall"))
        assert found.words[2].weight == pytest.approx(
            whole.score - less.scores[whole.label], abs=1e-5
        )
        with pytest.raises(DataError, match="pairs"):
            model.explain("one text alone")


def test_of_several_labels_the_best_is_explained(altered: Any, text_bundle: Path) -> None:
    rule = DecisionRule(problem_type=ProblemType.MULTI_LABEL)
    with Predictor.open(altered(text_bundle, rule=rule), device="cpu") as model:
        found, whole = model.explain(TEXT), model.predict_one(TEXT)
        less = model.predict_one(WITHOUT["lights"])
        best = max(whole.scores, key=whole.scores.__getitem__)
        assert found.label == best
        change = whole.scores[best] - less.scores[best]
        assert found.words[3].weight == pytest.approx(change, abs=1e-5)


class Count:
    """The value of a text is how many tokens it has."""

    def logits(self, batch: Batch) -> np.ndarray:
        return batch.attention_mask.sum(axis=1, keepdims=True).astype(np.float32)


def test_of_a_value_the_weight_is_the_difference_of_the_value(classifier: Predictor) -> None:
    spec = replace(
        classifier.manifest.model,
        labels=("value",),
        rule=DecisionRule(problem_type=ProblemType.REGRESSION),
    )
    model = TextModel(spec=spec, tokenizer=classifier.tokenizer, engine=Count())
    found = explain(model, "turn lights")
    tokens = [len(row.ids) - 2 for row in classifier.tokenizer.encode(["turn", "lights"])]
    assert found.label == "value" and found.score == 2 + sum(tokens)
    assert [each.weight for each in found.words] == tokens


def test_the_intent_of_a_text_is_explained_and_tags_are_refused(tagger: Predictor) -> None:
    with bertedge.load(TINY / "intent-slots", task="intent-slots", device="cpu") as model:
        found, whole = model.explain(TEXT), model.predict_one(TEXT)
        less = model.predict_one(WITHOUT["lights"]).scores[whole.intent]
        assert found.label == whole.intent
        assert found.words[3].weight == pytest.approx(whole.score - less, abs=1e-5)
    with pytest.raises(SettingError, match="only labels of whole texts are explained"):
        tagger.explain(TEXT)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don't stop", ["don't", "stop"]),
        ("a well-known so\u2019n (fix-it)", ["a", "well-known", "so\u2019n", "(", "fix-it", ")"]),
        ("rock'n'roll 'tis 5 - 3", ["rock'n'roll", "'", "tis", "5", "-", "3"]),
        ("打开客厅灯 now", ["打", "开", "客", "厅", "灯", "now"]),
        ("北-京", ["北", "-", "京"]),
        ("Kälter naïve हिन्दी", ["Kälter", "naïve", "हिन्दी"]),
        (" \n\t ", []),
    ],
)
def test_words_are_what_a_reader_calls_so(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in find_words(text)] == words


def test_a_text_without_words_and_one_with_too_many(classifier: Predictor) -> None:
    assert classifier.explain("").words == ()
    found = classifier.explain("on " * (MOST_WORDS + 88))
    assert len(found.words) == MOST_WORDS and found.left_out == 88
    assert "  88 more words are not explained" in mark(found, "on " * 600)


def test_json_has_the_prediction_and_the_words(classifier: Predictor, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text(f"{TEXT}\nplay\n")
    result = run(TINY / "text-classification", "--explain", "--input", tmp_path / "texts.txt")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    for row, text in zip(rows, (TEXT, "play"), strict=True):
        plain = {"text": text} | classifier.predict_one(text).to_dict()
        assert {key: row[key] for key in plain} == plain
        assert row["explains"]["label"] == row["label"] and row["left_out"] == 0
        assert list(row["explanation"][0]) == ["word", "start", "end", "weight", "part"]
    other = run(TINY / "text-classification", "--explain-label", "music", TEXT)
    assert json.loads(other.stdout)["explains"]["label"] == "music"


@pytest.mark.parametrize(
    ("bundle", "more", "code", "said"),
    [
        ("token-classification", [], 1, "only labels of whole texts are explained"),
        ("text-classification", ["--explain-label", "x"], 1, "no label 'x'"),
        ("text-classification", ["--top-k", "2"], 2, "leave --top-k out"),
        ("text-classification", ["--against", "x"], 2, "leave --against out"),
    ],
)
def test_what_cannot_be_explained_is_one_line(
    bundle: str, more: list[str], code: int, said: str
) -> None:
    result = run(TINY / bundle, "--explain", *more, TEXT)
    assert result.exit_code == code and result.stdout == ""
    assert said in result.stderr.splitlines()[-1]


def test_marks_are_as_strong_as_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"play": 0.4, "some": -0.001, "jazz\x1b": -0.2}
    text = "play some jazz\x1b!"
    words = [
        WordWeight(word=word, start=text.index(word), end=text.index(word) + len(word), weight=w)
        for word, w in weights.items()
    ]
    prediction = Classification(label="music", score=0.9, scores={"music": 0.9})
    found = Explanation(prediction=prediction, label="music", score=0.9, words=tuple(words))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    coloured = mark(found, text).splitlines()[1]
    blue, orange = "\x1b[38;5;16m\x1b[48;5;75m", "\x1b[38;5;16m\x1b[48;5;216m"
    assert coloured == f"  {blue}play\x1b[0m some {orange}jazz\\x1b\x1b[0m!"
    monkeypatch.setenv("NO_COLOR", "1")
    assert mark(found, text).splitlines() == [
        "music 0.9000",
        "  play[+0.40] some jazz\\x1b[-0.20]!",
        "  play +0.4000  jazz\\x1b -0.2000  some -0.0010",
    ]
