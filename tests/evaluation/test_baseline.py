"""A score stands beside that of the best constant answer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bertedge.cli import main
from bertedge.cli.scores import render_scores
from bertedge.metrics import Baseline, classification_scores, value_scores
from bertedge.metrics.squad import FOUND, SPAN
from bertedge.spec import DecisionRule, ModelSpec, ProblemType, Task
from bertedge.tasks import task_module


def baseline(
    task: Task, labels: tuple[str, ...], gold: list[Any], predicted: list[Any], **rule: Any
) -> Baseline | None:
    spec = ModelSpec(task=task, labels=labels, pair=False, max_length=8, pad_token_id=0,
                     rule=DecisionRule(**rule))  # fmt: skip
    arrays = ([np.asarray(each) for each in side] for side in (gold, predicted))
    return task_module(task).baseline(spec, *arrays)


TEXTS = Task.TEXT_CLASSIFICATION


def test_the_commonest_label_of_classes() -> None:
    gold = [[0, 1, 1], [1, 2]]
    found = baseline(TEXTS, ("a", "b", "c"), gold, [[0, 1, 1], [1, 1]])
    assert found == Baseline(answer="b", value=3 / 5)
    found = baseline(TEXTS, ("a", "b", "c"), gold, [[0, 0, 0], [0, 0]])
    assert found == Baseline(answer="b", value=3 / 5, always="a")


def test_data_with_one_label_are_no_sign_of_a_model_that_has_learnt_nothing() -> None:
    found = baseline(TEXTS, ("a", "b"), [[1, 1]], [[1, 1]])
    assert found == Baseline(answer="b", value=1.0)


def test_texts_out_of_scope_are_a_label_too() -> None:
    found = baseline(TEXTS, ("a", "b"), [[2, 2, 0]], [[2, 2, 2]], out_of_scope="oos")
    assert found == Baseline(answer="oos", value=2 / 3, always="oos")


def test_the_commonest_of_several_labels() -> None:
    gold = [[[True, False], [True, True], [False, False]]]
    several = {"problem_type": ProblemType.MULTI_LABEL}
    none = [np.zeros((3, 2), np.bool_)]
    found = baseline(TEXTS, ("a", "b"), gold, none, **several)
    assert found is not None and found.always == "no label"
    # 2 of the 3 labels given are right, and the texts have 3: micro F1 = 2 * 2 / (3 + 3)
    assert (found.answer, found.value) == ("a", pytest.approx(2 / 3))
    assert baseline(TEXTS, ("a", "b"), gold, gold, **several).always is None


def test_the_mean_value() -> None:
    gold = [[1.0, 2.0, 6.0]]
    value = {"problem_type": ProblemType.REGRESSION}
    found = baseline(TEXTS, ("value",), gold, [[1.0, 3.0, 5.0]], **value)
    assert found is not None and (found.answer, found.value, found.always) == ("3", 0.0, None)
    assert found.rmse == pytest.approx(np.sqrt((4 + 1 + 9) / 3))
    still = baseline(TEXTS, ("value",), gold, [[2.5, 2.5001, 2.4999]], **value)
    assert still is not None and still.always == "2.5"


def test_no_entity_and_the_words_that_have_none() -> None:
    tags = ("O", "B-X", "I-X")
    gold = [[0, 1, 2, 0], [0]]
    found = baseline(Task.TOKEN_CLASSIFICATION, tags, gold, [[0, 1, 0, 0], [0]])
    assert found == Baseline(answer="O", value=0.0, accuracy=3 / 5)
    found = baseline(Task.TOKEN_CLASSIFICATION, tags, gold, [[0] * 4, [0]])
    assert found is not None and found.always == "O"


def test_the_commonest_intent_without_slots() -> None:
    labels = ("intent:go", "intent:stop", "O", "B-X")
    gold = [[1, 2, 2], [1, 3], [0, 2], [1, 2]]
    found = baseline(Task.INTENT_SLOTS, labels, gold, gold)
    assert found == Baseline(answer="stop without slots", value=2 / 4)


def test_no_answer_and_the_first_choice() -> None:
    gold = np.zeros(4, FOUND)
    gold["impossible"] = [True, False, False, False]
    spans = np.array([(-1, -1)] * 4, SPAN)
    found = baseline(Task.QUESTION_ANSWERING, ("start", "end"), [gold], [spans])
    assert found == Baseline(answer="no answer", value=0.25, always="no answer")
    found = baseline(Task.MULTIPLE_CHOICE, ("choice",), [[0, 2, 2, 1]], [[2, 2, 2, 2]])
    assert found == Baseline(answer="choice 2", value=0.5, always="choice 2")


def test_it_is_shown_below_the_score_and_what_to_do_about_a_model_with_one_answer() -> None:
    scores = classification_scores(np.array([0, 1, 1]), np.array([1, 1, 1]), ("a", "b"))
    found = Baseline(answer="b", value=2 / 3, always="b")
    lines = render_scores(scores, rows=3, baseline=found).splitlines()
    assert lines[1] == "always b: accuracy 0.6667"
    assert lines[2].startswith("warning: this model has learnt nothing, all 3 answers are b;")
    assert len(lines[2]) <= 300
    values = value_scores(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    found = Baseline(answer="1.5", value=0.0, rmse=0.5)
    assert render_scores(values, rows=2, baseline=found).endswith(
        "\nalways 1.5: root mean squared error 0.5000"
    )


def test_evaluate_has_it_in_json(text_bundle: Path, tmp_path: Path) -> None:
    manifest = json.loads((text_bundle / "bertedge.json").read_text())
    first, second = manifest["model"]["labels"][:2]
    data = tmp_path / "a.csv"
    data.write_text("text,label\n" + f"turn it off,{first}\nplay,{first}\nlock,{second}\n")
    done = CliRunner().invoke(main, ["evaluate", str(text_bundle), "--data", str(data), "--json"])
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)["baseline"]
    assert (found["answer"], found["value"]) == (first, pytest.approx(2 / 3))
