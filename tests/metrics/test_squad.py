"""Exact match and F1 as SQuAD's evaluation gives them, and the threshold of no answer."""

import numpy as np
import pytest

from bertedge.metrics.squad import (
    FOUND,
    SPAN,
    Records,
    best_threshold,
    decide,
    exact_match,
    f1,
    score_answers,
)


@pytest.mark.parametrize(
    ("text", "gold", "exact", "overlap"),
    [
        # By the official evaluate-v1.1.py and evaluate-v2.0.py.
        ("The Denver Broncos", ["Denver Broncos", "the Broncos!"], 1.0, 1.0),
        ("Broncos", ["Denver Broncos"], 0.0, 2 / 3),
        ("the", ["a"], 1.0, 1.0),
        ("in 1990", ["1990", "in the year 1990"], 0.0, 0.8),
        ("to be or to be", ["to be"], 0.0, 4 / 7),
        ("Beyoncé's", ["beyoncés"], 1.0, 1.0),
        ("", [], 1.0, 1.0),
        ("Denver", [], 0.0, 0.0),
        ("", ["Denver"], 0.0, 0.0),
        ("a-b", ["ab"], 1.0, 1.0),
        # Punctuation is Unicode's, whatever the script.
        ("«Denver»", ["Denver"], 1.0, 1.0),
        ("《Docking48》", ["Docking48"], 1.0, 1.0),
        ("“no”—yes…", ["noyes"], 1.0, 1.0),
        ("5 €", ["5"], 0.0, 2 / 3),
        # By CMRC 2018's evaluation: characters of Han, words between them, no punctuation.
        ("臺北市", ["臺北"], 0.0, 0.8),
        ("《臺北》。", ["臺北"], 1.0, 1.0),
        ("1990年10月", ["1990年"], 0.0, 2 / 3),
        ("Windows 95 系統", ["windows 95系統"], 1.0, 1.0),
        ("使用Windows系統", ["Windows"], 0.0, 1 / 3),
        ("カタカナ", ["カタ"], 0.0, 2 / 3),
        ("ｶﾀ々", ["々"], 0.0, 1 / 2),
        ("ภาษาไทย", ["ภาษา"], 0.0, 2 * 4 / (7 + 4)),
        ("한국 말", ["한국"], 0.0, 2 / 3),
        # "a" is an article between English words, a letter in Chinese.
        ("維生素 A", ["維生素"], 0.0, 6 / 7),
        ("the a B", ["B"], 1.0, 1.0),
    ],
)
def test_exact_match_and_f1(text: str, gold: list[str], exact: float, overlap: float) -> None:
    assert exact_match(text, gold) == exact
    assert f1(text, gold) == pytest.approx(overlap)


def test_ascii_is_scored_as_the_official_script_does() -> None:
    from transformers.data.metrics import squad_metrics

    random = np.random.default_rng(0)
    parts = ["the", "The", "a", "an", "A-b", "b", "c.", "$5", "C", " ", "  ", "-", "'s", "(", "1,0"]
    for _ in range(2000):
        text, gold = ("".join(random.choice(parts, random.integers(1, 7))) for _ in range(2))
        assert exact_match(text, [gold]) == squad_metrics.compute_exact(gold, text)
        assert f1(text, [gold]) == pytest.approx(squad_metrics.compute_f1(gold, text))


def found(*rows: tuple[float, float, float, bool]) -> Records:
    """Give margin, exact match, F1 and whether there is no answer, of answers 2 to 5."""
    spans = [(2, 5, exact, overlap, margin, none) for margin, exact, overlap, none in rows]
    return np.array(spans, FOUND)


ROWS = found((-0.9, 1, 1, False), (-0.2, 0, 0.5, False), (0.1, 0, 0, True), (0.4, 1, 1, False))


def test_without_a_threshold_every_question_is_given_its_answer() -> None:
    scores = score_answers(ROWS, None)
    assert scores.metric == "answer_f1" and scores.value == pytest.approx(2.5 / 4)
    assert scores.exact_match == 0.5 and scores.unanswerable == 0.0
    assert scores.answerable == pytest.approx(2.5 / 3)
    assert (decide(ROWS, None) == np.array([(2, 5)] * 4, SPAN)).all()


def test_no_answer_above_the_threshold_is_right_where_there_is_none() -> None:
    scores = score_answers(ROWS, 0.0)
    assert scores.value == pytest.approx(2.5 / 4) and scores.unanswerable == 1.0
    assert scores.exact_match == 0.5 and scores.answerable == pytest.approx(0.5)
    assert decide(ROWS, 0.0)["start"].tolist() == [2, 2, -1, -1]


def test_questions_that_all_have_an_answer_need_no_threshold() -> None:
    answerable = ROWS[~ROWS["impossible"]]
    assert best_threshold(answerable) is None
    scores = score_answers(answerable, None)
    assert scores.answerable is None and scores.unanswerable is None


def test_the_threshold_has_the_highest_f1_of_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        rows = found(
            *(
                (round(float(margin), 1), 0.0, 0.0 if none else float(overlap), bool(none))
                for margin, overlap, none in zip(
                    rng.normal(size=20), rng.random(20), rng.random(20) < 0.4, strict=True
                )
            )
        )
        if not rows["impossible"].any():
            continue
        best = best_threshold(rows)
        every = [score_answers(rows, t).value for t in np.arange(-5, 5, 0.05)]
        assert score_answers(rows, best).value == pytest.approx(max(every))


def test_a_question_without_any_candidate_is_given_none() -> None:
    rows = np.array([(-1, -1, 1.0, 1.0, 1.0, True)], FOUND)
    assert decide(rows, None)["start"].tolist() == [-1]
    assert score_answers(rows, None).value == 1.0


def test_nothing_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="no questions"):
        score_answers(np.empty(0, FOUND), None)
