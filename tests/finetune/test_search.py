"""`--auto`: trials within minutes, of which the best is the model, whatever interrupts them."""

import json
import math
import os
import random
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from bertedge.checkpoint import TRAINING
from bertedge.errors import MissingExtraError, SettingError, StoppedError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.defaults import Facts, Hyperparameters, choose_hyperparameters
from bertedge.finetune.run import Finetuned, finetune
from bertedge.finetune.search import budget
from bertedge.finetune.search.budget import Budget, fit_epochs, seconds_an_epoch
from bertedge.finetune.search.trials import (
    TRIALS,
    Trial,
    Trials,
    TrialState,
    best_of,
    keeps_up,
    rung_of,
)
from bertedge.progress import Silent
from bertedge.serialization import from_plain
from bertedge.spec import Task

pytest.importorskip("optuna", reason="pip install 'bertedge[auto]' searches settings")

from bertedge.finetune.search.space import (
    RATES,
    cost_of,
    default_params,
    propose,
    search_space,
)

SEEDS = (0, 1, 2)
STEPS = 15
"""Of a trial with the defaults: three epochs of 40 rows, 8 a batch."""


class Watched(Silent):
    """Keeps the lines and counts training steps; sends a signal after so many."""

    def __init__(self, step: int | None = None) -> None:
        self.step, self.training, self.steps, self.lines = step, False, 0, list[str]()

    def say(self, line: str) -> None:
        self.lines.append(line)

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        self.training = "training" in what

    def advance(self, by: int, note: str = "") -> None:
        self.steps += by * self.training
        if self.training and self.steps == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    folder: Path
    base: Path

    def run(
        self, name: str, progress: Watched, *, ticks: float, resume: bool = False, **changes: object
    ) -> Finetuned:
        settings = {
            "task": Task.TEXT_CLASSIFICATION,
            "train": self.folder / "train.csv",
            "dev": self.folder / "dev.csv",
            "model": str(self.base),
            "batch_size": 8,
            "epochs": 3,
            "precision": "fp32",
            "auto": True,
            "minutes": ticks / 60,
        } | changes
        config = FinetuneConfig(output=self.folder / name, **settings)  # type: ignore[arg-type]
        finished = finetune(config, progress, resume=resume)
        assert finished is not None
        return finished

    def trials(self, name: str) -> Trials:
        return from_plain(Trials, json.loads((self.folder / name / TRIALS).read_text()))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, base: Path, texts: dict[str, Path]) -> Lab:
    folder = tmp_path_factory.mktemp("search")
    for name, rows in (("train", 40), ("dev", 20)):
        lines = texts[name].read_text().splitlines()[: rows + 1]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n")
    return Lab(folder=folder, base=base)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves on by a second each time that it is read, so by about two a step."""
    now = iter(range(10**9))
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: float(next(now))))


@pytest.mark.usefixtures("ticking")
def test_the_model_is_that_of_the_best_trial_and_the_first_has_the_defaults(lab: Lab) -> None:
    progress = Watched()
    finished = lab.run("out", progress, ticks=170)
    found = lab.trials("out")
    assert found == finished.trials and len(found.trials) >= 3
    first = found.trials[0]
    best = found.trials[found.best - 1]
    scores = [each.score for each in found.trials if each.score is not None]
    facts = Facts(rows=40, hidden_size=32, layers=2)
    defaults = choose_hyperparameters(plain(batch_size=8), facts)
    assert first.params["learning_rate"] == defaults.learning_rate and first.epochs == 3
    assert best.score == max(scores) and first.score is not None and best.score >= first.score
    record = json.loads((lab.folder / "out" / TRAINING).read_text())
    assert record["dev_scores"]["accuracy"] == pytest.approx(best.score)
    for name in ("learning_rate", "layer_decay", "label_smoothing", "rdrop_alpha"):
        assert record["settings"][name] == pytest.approx(best.params[name])
    assert record["settings"]["auto"] is True
    assert sum(line.startswith("trial ") for line in progress.lines) == len(found.trials)
    assert found.seconds <= 1.1 * 60 * found.minutes
    assert not (lab.folder / ".out.partial").exists()


@pytest.mark.usefixtures("ticking")
def test_with_few_rows_the_first_trial_is_what_is_done_without_a_search(lab: Lab) -> None:
    usual = {"epochs": None, "batch_size": None}
    alone = lab.run("alone", Watched(), ticks=600, **usual, auto=False, minutes=None)
    finished = lab.run("few", Watched(), ticks=600, **usual)
    trials = lab.trials("few").trials
    assert alone.dev is not None and trials[0].score == pytest.approx(alone.dev.scores.value)
    assert trials[0].trained_epochs == alone.training.epochs == 1
    assert len(trials) > 1 and trials[1].trained_epochs > 1
    assert trials[1].params == trials[0].params  # the plain defaults of fine-tuning all
    first = lab.trials("few").best == 1
    expected = alone.training.settings["few_shot"] if first else None
    assert finished.training.settings["few_shot"] == expected


@pytest.mark.usefixtures("ticking")
def test_a_killed_search_goes_on_with_the_trials_that_are_there(lab: Lab) -> None:
    lab.run("whole", Watched(), ticks=110)
    with pytest.raises(StoppedError, match="--resume"):
        lab.run("broken", Watched(STEPS + 7), ticks=110)
    resumed = Watched()
    lab.run("broken", resumed, ticks=110, resume=True)
    whole, broken = lab.trials("whole"), lab.trials("broken")
    assert whole.trials[0] == broken.trials[0]  # its seconds too: it was not trained again
    second = [(each.params, each.score, each.rungs) for each in (whole.trials[1], broken.trials[1])]
    assert second[0] == second[1]
    steps = sum(round(each.trained_epochs * STEPS / 3) for each in broken.trials)
    assert resumed.steps == steps - STEPS - 7  # no step is trained again
    shutil.rmtree(lab.folder / "broken")


@pytest.mark.usefixtures("ticking")
def test_defaults_that_take_too_long_are_cut_to_what_fits(lab: Lab) -> None:
    progress = Watched()
    lab.run("cut", progress, ticks=120, epochs=30)
    (trial,) = lab.trials("cut").trials
    assert trial.epochs < 30 and trial.score is not None
    assert trial.elapsed <= 1.1 * 120
    assert any("the defaults alone would take" in line for line in progress.lines)


@pytest.mark.usefixtures("ticking")
def test_without_dev_data_trials_are_cross_validated_and_all_rows_trained_on(lab: Lab) -> None:
    finished = lab.run("folds", Watched(), ticks=330, dev=None)
    found, record = finished.trials, finished.training
    assert found is not None and found.folds == 4 and len(found.trials) >= 2
    assert record.train.rows == 40 and record.cross_validation is not None
    best = found.trials[found.best - 1]
    assert best.score == pytest.approx(record.cross_validation.mean)
    assert record.epochs == pytest.approx(record.cross_validation.epochs)
    assert found.seconds <= 1.1 * 330


@pytest.mark.usefixtures("ticking")
def test_what_is_given_is_not_searched(lab: Lab) -> None:
    given = {"learning_rate": 2e-3, "label_smoothing": 0.05}
    lab.run("given", Watched(), ticks=90, **given)
    for trial in lab.trials("given").trials:
        assert trial.params.keys() == {"layer_decay", "rdrop_alpha"}
    record = json.loads((lab.folder / "given" / TRAINING).read_text())
    assert {name: record["settings"][name] for name in given} == given


@pytest.mark.usefixtures("ticking")
def test_tags_are_searched_too(base: Path, tags: dict[str, Path], tmp_path: Path) -> None:
    for name, rows in (("train", 24), ("dev", 12)):
        lines = tags[name].read_text().splitlines()[:rows]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    config = FinetuneConfig(
        task=Task.TOKEN_CLASSIFICATION,
        train=tmp_path / "train.jsonl",
        dev=tmp_path / "dev.jsonl",
        model=str(base),
        output=tmp_path / "out",
        batch_size=8,
        epochs=3,
        auto=True,
        minutes=1,
    )
    finished = finetune(config)
    assert finished is not None and finished.trials is not None
    assert finished.trials.metric == "entity_f1" and len(finished.trials.trials) >= 2


# What is planned and given up.


def plain(**changes: object) -> FinetuneConfig:
    settings = {"task": Task.TEXT_CLASSIFICATION, "model": "x"} | changes
    return FinetuneConfig(train=Path("t"), output=Path("o"), **settings)  # type: ignore[arg-type]


def trial(number: int, score: float | None, **changes: object) -> Trial:
    plain: dict[str, object] = {
        "params": {},
        "epochs": 3.0,
        "state": TrialState.FINISHED,
        "best_epoch": 3.0,
        "trained_epochs": 3.0,
        "evaluation_seconds": 1.0,
        "seconds": 30.0,
        "elapsed": 30.0,
    }
    return Trial(number=number, score=score, **(plain | changes))  # type: ignore[arg-type]


def test_the_first_of_equals_is_best_and_none_that_was_given_up() -> None:
    pruned = trial(1, 0.9, state=TrialState.PRUNED)
    cut = trial(4, 0.8, state=TrialState.OUT_OF_TIME)
    assert best_of([pruned, trial(2, 0.7), trial(3, 0.7), trial(5, None)]) == trial(2, 0.7)
    assert best_of([trial(2, 0.7), cut]) == cut
    assert best_of([]) is None


@pytest.mark.parametrize(
    ("score", "others", "kept"),
    [
        (0.1, [], True),
        (0.5, [0.5], True),
        (0.4, [0.5], False),
        (0.4, [0.5, 0.3], False),  # one of three
        (0.4, [0.5, 0.3, 0.2], True),  # two of four
        (0.4, [0.5, 0.6, 0.2], False),
    ],
)
def test_the_better_half_keeps_up(score: float, others: list[float], kept: bool) -> None:
    assert keeps_up(score, others) is kept


def test_rungs_are_at_a_quarter_and_a_half() -> None:
    shares = (0.1, 0.25, 0.4, 0.5, 0.9, 1.0)
    assert [rung_of(share) for share in shares] == [None, 0.25, 0.25, 0.5, 0.5, None]


def test_as_many_epochs_are_planned_as_fit_and_half_the_defaults_at_least() -> None:
    assert fit_epochs(4, 10, 40, 4) == 4
    assert fit_epochs(4, 10, 39, 4) == 3
    assert fit_epochs(4, 10, 19, 4) is None
    assert fit_epochs(8, 10, 25, 4) == 2
    assert fit_epochs(1, 10, 6, 1) == pytest.approx(0.6)


def test_an_epoch_takes_what_the_trials_took_less_their_techniques() -> None:
    double = {"rdrop_alpha": 1.0}
    assert cost_of(double) == 2 and cost_of({"rdrop_alpha": 0.0}) == 1
    trials = [trial(1, 0.5), trial(2, 0.5, params=double, trained_epochs=1.0, seconds=25.0)]
    assert seconds_an_epoch(trials) == pytest.approx((30 + 25) / (3 + 2))


def test_a_budget_counts_what_an_interrupted_search_has_spent() -> None:
    now = iter((100.0, 107.0, 109.0))
    found = Budget(60, spent=20, clock=lambda: next(now))
    assert found.elapsed == 27 and found.left == 60 - 29


CHOSEN = Hyperparameters(
    epochs=3.0,
    batch_size=32,
    learning_rate=1e-4,
    warmup_ratio=0.1,
    weight_decay=0.01,
    layer_decay=1.0,
    early_stopping_patience=3,
)


def test_what_the_task_or_another_setting_refuses_is_not_searched() -> None:
    assert "label_smoothing" in search_space(plain(), CHOSEN)
    assert "label_smoothing" not in search_space(plain(problem_type="regression"), CHOSEN)


@pytest.mark.parametrize("seed", SEEDS)
def test_proposals_follow_from_the_trials_and_the_seed_and_come_near_to_the_best(
    seed: int,
) -> None:
    """The best learning rate here is at a third of the defaults; nothing else matters."""
    config = plain()
    space = search_space(config, CHOSEN)
    defaults = default_params(config, CHOSEN, space)
    best, trials = CHOSEN.learning_rate / 3, list[Trial]()

    def off(params: dict[str, object]) -> float:
        return abs(math.log(float(params["learning_rate"]) / best))  # type: ignore[arg-type]

    for number in range(1, 31):
        params = propose(trials, space, defaults, seed)
        assert params == propose(trials, space, defaults, seed)
        trials.append(trial(number, -off(params), params=params))
    assert trials[0].params == defaults
    rates = [float(each.params["learning_rate"]) for each in trials]  # type: ignore[arg-type]
    assert all(CHOSEN.learning_rate / RATES <= rate for rate in rates)
    assert all(rate <= CHOSEN.learning_rate * RATES for rate in rates)
    rng = random.Random(seed)
    spread = [rng.uniform(-math.log(RATES), math.log(RATES)) for _ in range(1000)]
    by_chance = sum(abs(each + math.log(3)) for each in spread) / len(spread)
    assert sum(off(each.params) for each in trials[-10:]) / 10 < by_chance / 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minutes": 5}, "minutes is 5, but nothing is searched; add --auto"),
        ({"auto": True, "minutes": 0}, "minutes is 0.0; it must be above 0"),
        ({"auto": True, "minutes": math.inf}, "minutes is inf"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        plain(**changes)


def test_a_search_without_optuna_says_what_to_install(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertedge.finetune.search.run.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bertedge\[auto\]'"):
        lab.run("missing", Watched(), ticks=60)
    assert not (lab.folder / ".missing.partial").exists()
