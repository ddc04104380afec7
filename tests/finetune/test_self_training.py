"""Texts that a model labels itself are trained on, where that helps."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import transformers
from numpy.typing import NDArray

from bertedge import checkpoint as checkpoints
from bertedge.data import Example, ExampleFile, open_examples
from bertedge.data.unlabelled import leave_out_known, open_unlabelled
from bertedge.errors import DataError, SettingError, StoppedError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.pseudo_labels import Sureness, choose_balanced, pseudo_label
from bertedge.finetune.run import Finetuned, finetune
from bertedge.model import TextModel
from bertedge.predictions import Classification
from bertedge.progress import Silent
from bertedge.runtime.encoding import Batch
from bertedge.spec import DecisionRule, ModelSpec, ProblemType, Task

LABELLED, UNLABELLED = 16, 160
STEPS = 8
"""Of the first training: four epochs of 16 rows, 8 a batch."""
FIRST = 2 * LABELLED // 8
"""Steps of the first training, of two epochs."""


class Watched(Silent):
    """Keeps the lines and counts steps of training; sends a signal after so many."""

    def __init__(self, step: int | None = None, number: int = signal.SIGINT) -> None:
        self.stop, self.number = step, number
        self.training, self.steps, self.lines = False, 0, list[str]()

    def say(self, line: str) -> None:
        self.lines.append(line)

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        self.training = "training" in what.rsplit(", ", 1)[-1]

    def advance(self, by: int, note: str = "") -> None:
        self.steps += by * self.training
        if self.training and self.steps == self.stop:
            os.kill(os.getpid(), self.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    folder: Path
    base: Path

    @property
    def teacher(self) -> Path:
        """A checkpoint that knows the task."""
        return self.folder / "teacher"

    @property
    def unlabelled(self) -> Path:
        return self.folder / "unlabelled.txt"

    def run(self, name: str, progress: Silent | None = None, **changes: object) -> Finetuned:
        resume = bool(changes.pop("resume", False))
        settings: dict[str, object] = {
            "task": Task.TEXT_CLASSIFICATION,
            "train": self.folder / "labelled.csv",
            "dev": self.folder / "dev.csv",
            "model": str(self.base),
            "epochs": 4,
            "batch_size": 8,
            "learning_rate": 3e-3,
        }
        config = FinetuneConfig(**settings | changes, output=self.folder / name)  # type: ignore[arg-type]
        found = finetune(config, progress or Silent(), resume=resume)
        assert found is not None
        return found

    def weights(self, name: str) -> bytes:
        return (self.folder / name / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, base: Path, texts: dict[str, Path]) -> Lab:
    folder = tmp_path_factory.mktemp("self-training")
    head, *rows = texts["train"].read_text().splitlines()
    dev = texts["dev"].read_text().splitlines()[:41]
    known = {row.rpartition(",")[0] for row in dev}
    alone = {row.rpartition(",")[0]: row for row in rows}  # no text twice
    rows = [row for text, row in alone.items() if text not in known]
    (folder / "labelled.csv").write_text("\n".join([head, *rows[:LABELLED], ""]))
    (folder / "dev.csv").write_text("\n".join([*dev, ""]))
    others = [row.rpartition(",")[0] for row in rows[LABELLED : LABELLED + UNLABELLED]]
    (folder / "unlabelled.txt").write_text("\n".join([*others, ""]))
    lab = Lab(folder=folder, base=base)
    lab.run("teacher", train=texts["train"], epochs=4)
    return lab


def test_it_ends_as_a_training_on_the_labelled_rows_and_those_that_the_teacher_labels(
    lab: Lab,
) -> None:
    """A given teacher, so that the second model is much better than the first."""
    given = {"teacher": str(lab.teacher), "train": lab.folder / "labelled.csv", "pooling": "cls"}
    progress = Watched()
    texts = lab.unlabelled
    given |= {"unlabelled_threshold": 0.5, "unlabelled_share": 1}
    found = lab.run("self", progress, unlabelled=texts, **given).training
    record = found.self_training
    assert record is not None and record.after is not None and found.dev_scores is not None
    assert record.kept and record.before < record.after == found.dev_scores.value
    assert found.train.rows == LABELLED
    own = texts.read_text().splitlines()
    labels = labels_by(lab.teacher, own)
    assert record.taken == Counter(labels)
    rows = [f"{text},{label}\n" for text, label in zip(own, labels, strict=True)]
    labelled = (lab.folder / "labelled.csv").read_text()
    (lab.folder / "joined.csv").write_text(labelled + "".join(rows))
    lab.run("joined", **given | {"train": lab.folder / "joined.csv"})
    assert lab.weights("self") == lab.weights("joined")
    said = f"{len(own)} texts of unlabelled.txt are trained on"
    assert any(line.startswith(said) for line in progress.lines)


def labels_by(folder: Path, texts: Sequence[str]) -> list[str]:
    found = checkpoints.open_checkpoint(str(folder))
    engine = checkpoints.TorchEngine(checkpoints.load_model(found))
    predictions = TextModel.of(found.model, found.tokenizer_json, engine).predict(texts)
    return [each.label for each in predictions if isinstance(each, Classification)]


def test_a_model_that_is_no_better_gives_way_to_that_of_the_labelled_rows(lab: Lab) -> None:
    """One step at a rate of nothing: what is trained second is as bad as what is trained first."""
    same = {"epochs": 0.1, "learning_rate": 1e-12}
    progress = Watched()
    found = lab.run(
        "worse", progress, unlabelled=lab.unlabelled, unlabelled_threshold=0.0, **same
    ).training
    assert found.self_training is not None and found.self_training.after is not None
    assert not found.self_training.kept
    assert any("the first model is kept" in line for line in progress.lines)
    lab.run("plain", **same)
    assert lab.weights("worse") == lab.weights("plain")


def test_where_no_text_is_sure_the_first_model_is_left(lab: Lab) -> None:
    progress = Watched()
    same = {"epochs": 0.1, "learning_rate": 1e-12}
    found = lab.run("unsure", progress, unlabelled=lab.unlabelled, unlabelled_threshold=1, **same)
    record = found.training.self_training
    assert record is not None and record.after is None and not record.taken
    assert any("no text of unlabelled.txt" in line for line in progress.lines)
    assert progress.steps == 1


def test_tagged_sentences_are_taken_too_and_the_base_is_adapted_to_them(
    lab: Lab, tags: dict[str, Path]
) -> None:
    rows = [json.loads(line) for line in tags["train"].read_text().splitlines()]
    for name, part in (("tagged", rows[:60]), ("words", rows[60:100])):
        lines = [json.dumps({key: row[key] for key in ("tokens", "tags")}) for row in part]
        (lab.folder / f"{name}.jsonl").write_text("\n".join([*lines, ""]))
    progress = Watched()
    found = lab.run(
        "tags",
        progress,
        task=Task.TOKEN_CLASSIFICATION,
        train=lab.folder / "tagged.jsonl",
        dev=tags["dev"],
        unlabelled=lab.folder / "words.jsonl",
        unlabelled_threshold=0.4,
        epochs=6,
        adapt=True,
        adapt_epochs=0.5,
    ).training
    record = found.self_training
    assert record is not None and record.metric == "entity_f1" and record.after is not None
    assert record.taken and set(record.taken) <= {"COLOR", "PLACE"}
    assert record.kept is (record.after > record.before)
    said = "adapting the base to the texts of tagged.jsonl and words.jsonl"
    assert said in progress.lines


class Crash(Silent):
    """Fails where labelling begins."""

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        if what == "unlabelled.txt, evaluating":
            raise RuntimeError(what)


def test_a_run_that_ends_in_any_part_goes_on_as_if_it_had_not(lab: Lab) -> None:
    given = {"teacher": str(lab.teacher), "unlabelled": lab.unlabelled, "epochs": 2}
    whole = Watched()
    lab.run("whole", whole, **given)
    for progress, done in ((Watched(3), 3), (Crash(), 4), (Watched(9), 9)):
        with pytest.raises(RuntimeError if done == 4 else StoppedError):
            lab.run("broken", progress, **given)
        resumed = Watched()
        lab.run("broken", resumed, resume=True, **given)
        assert lab.weights("broken") == lab.weights("whole"), done
        assert resumed.steps == whole.steps - done
        shutil.rmtree(lab.folder / "broken")


def test_a_killed_run_goes_on(lab: Lab) -> None:
    """Killed outright where the second training has saved its first epoch."""
    given = {"teacher": str(lab.teacher), "unlabelled": lab.unlabelled, "epochs": 2}
    whole = Watched()
    lab.run("undisturbed", whole, **given)
    epoch = (whole.steps - FIRST) // 2
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import test_self_training as module
lab = module.Lab(folder=Path({str(lab.folder)!r}), base=Path({str(lab.base)!r}))
given = {{"teacher": str(lab.teacher), "unlabelled": lab.unlabelled, "epochs": 2}}
lab.run("killed", module.Watched({FIRST + epoch + 2}, 9), **given)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    resumed = Watched()
    lab.run("killed", resumed, resume=True, **given)
    assert lab.weights("killed") == lab.weights("undisturbed")
    assert resumed.steps == epoch


# What is taken.


def test_no_label_has_more_than_twice_what_those_with_few_have() -> None:
    labelled = np.array([0] * 10 + [1] * 20 + [2] * 10)
    found = np.array([0] * 3 + [1] * 50 + [2] * 50 + [3] * 9)  # the last label has no labelled row
    scores = np.linspace(0.9, 1, len(found))
    chosen = choose_balanced((labelled, found), scores, 1)
    assert np.bincount(found[chosen], minlength=4).tolist() == [3, 12, 6, 0]
    assert chosen[47:53].all() and chosen[97:103].all()  # the surest ones
    even = choose_balanced((labelled, np.array([0] * 8 + [1] * 30 + [2] * 8)), np.ones(46), 1)
    assert even.all()
    one = choose_balanced((np.array([0, 1]), np.zeros(9, np.int64)), np.ones(9), 1)
    assert one.sum() == 2  # of the other label no text is there


def test_of_each_label_the_surest_share_is_taken() -> None:
    labelled = np.array([0] * 10 + [1] * 10)
    found = np.array([0] * 5 + [1] * 8)
    scores = np.array([0.9, 0.95, 0.99, 0.91, 0.92, *np.linspace(0.99, 0.9, 8)])
    chosen = choose_balanced((labelled, found), scores, 0.5)
    assert np.flatnonzero(chosen).tolist() == [1, 2, 4, 5, 6, 7, 8]


SURE = Sureness(threshold=0.9, share=1)


@dataclass(frozen=True, slots=True)
class Known:
    """An engine that knows the logits of each token."""

    rows: NDArray[np.float32]
    tokens: bool

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        found = self.rows[batch.input_ids]
        return found if self.tokens else found[:, 1]


def labelled_by(
    rows: dict[str, list[float]], like: ExampleFile, texts: ExampleFile, folder: Path, base: Path
) -> list[Example]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    names = sorted({name for example in like for name in example.names})
    logits = np.zeros((len(tokenizer), len(names)), np.float32)
    for word, own in rows.items():
        logits[tokenizer.convert_tokens_to_ids(word)] = own
    rule = DecisionRule(problem_type=like.problem_type)
    spec = ModelSpec(
        task=like.task, labels=tuple(names), pair=False, max_length=32, pad_token_id=0, rule=rule
    )
    json = tokenizer.backend_tokenizer.to_str()
    model = TextModel.of(spec, json, Known(logits, like.task.tags_words))
    found = pseudo_label([model], texts, like, SURE, folder / "labelled", Silent())
    return [] if found is None else list(found)


def test_of_several_labels_each_must_be_sure(tmp_path: Path, base: Path) -> None:
    (tmp_path / "train.csv").write_text('text,labels\nred,"a,b"\nblue,b\npear,\nplum,a\n')
    (tmp_path / "texts.csv").write_text("text\ngreen\nwhite\napple\ngrape\n")
    kind = {"problem_type": ProblemType.MULTI_LABEL}
    train = open_examples(tmp_path / "train.csv", Task.TEXT_CLASSIFICATION, **kind)  # type: ignore[arg-type]
    texts = open_unlabelled(tmp_path / "texts.csv", train, None)
    sure = {"green": [5, 5], "white": [-5, 5], "apple": [-5, -5], "grape": [0, 9]}
    found = labelled_by(sure, train, texts, tmp_path, base)  # type: ignore[arg-type]
    assert [(each.text, each.labels) for each in found] == [  # type: ignore[union-attr]
        ("green", ("a", "b")),
        ("white", ("b",)),
        ("apple", ()),
    ]


def test_of_tags_each_must_be_sure_and_go_on_with_the_one_before(
    tmp_path: Path, base: Path
) -> None:
    (tmp_path / "train.conll").write_text("the O\nred B-X\nold I-X\n\nsee O\n")
    sentences = ("the red old", "see the", "the old", "red plum", "red")
    rows = "".join("\n".join(each.split()) + "\n\n" for each in sentences)
    (tmp_path / "texts.conll").write_text(rows)
    train = open_examples(tmp_path / "train.conll", Task.TOKEN_CLASSIFICATION)
    texts = open_unlabelled(tmp_path / "texts.conll", train, None)
    logits = {"the": [0, 0, 9], "see": [0, 0, 9], "red": [9, 0, 0], "old": [0, 9, 0]}
    found = labelled_by(logits, train, texts, tmp_path, base)  # type: ignore[arg-type]
    assert [(each.tokens, each.tags) for each in found] == [  # type: ignore[union-attr]
        (("the", "red", "old"), ("O", "B-X", "I-X")),
        (("see", "the"), ("O", "O")),
        (("red",), ("B-X",)),
    ]


# What is read, and what is refused.


def test_texts_that_are_known_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\nred,a\nblue,b\n")
    (tmp_path / "dev.csv").write_text("text,label\npear,a\n")
    (tmp_path / "more.txt").write_text("Red\nplum\n\ngrape, ripe\n pear\nplum\nwhite\n")
    files = (tmp_path / "train.csv", tmp_path / "dev.csv")
    train, dev = (open_examples(path, Task.TEXT_CLASSIFICATION) for path in files)
    texts = open_unlabelled(tmp_path / "more.txt", train, None)
    found = leave_out_known(texts, [train, dev])
    assert [each.text for each in found] == ["plum", "grape, ripe", "white"]  # type: ignore[union-attr]
    said = "3 texts; 2 that are in the training or dev data are left out; 1 that"
    assert said in found.description
    with pytest.raises(DataError, match="no text that is not in"):
        leave_out_known(texts, [train, dev, texts])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("more.csv", "label,text\nx,plum\ny,pear\n"),
        ("more.csv", "text\nplum\npear\n"),
        ("more.tsv", "plum\npear\n"),
        ("more.jsonl", '{"text": "plum", "label": "z"}\n{"text": "pear"}\n'),
        ("more.txt", "plum\npear\n"),
        ("more.txt", "id\ttext\n1\tplum\n2\tpear\n"),
    ],
)
def test_labels_beside_the_texts_are_not_read(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "train.csv").write_text("text,label\nred,a\nblue,b\n")
    (tmp_path / name).write_text(content)
    train = open_examples(tmp_path / "train.csv", Task.TEXT_CLASSIFICATION)
    found = list(open_unlabelled(tmp_path / name, train, None))
    assert [each.text for each in found] == ["plum", "pear"]  # type: ignore[union-attr]
    assert [each.names for each in found] == [(), ()]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"unlabelled_threshold": 1.5}, "unlabelled_threshold is 1.5"),
        ({"unlabelled_share": 0}, "unlabelled_share is 0"),
        ({"task": "question-answering"}, "question-answering takes none"),
        ({"task": "intent-slots"}, "intent-slots takes none"),
        ({"problem_type": "regression"}, "of a value no model says how sure"),
        ({"dev_share": 0}, "give --dev FILE, or leave --dev-share out"),
        ({"auto": True}, "--unlabelled and --auto cannot be combined"),
        ({"folds": 3}, "--unlabelled and --folds cannot be combined"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, object], match: str) -> None:
    plain: dict[str, object] = {"task": "text-classification", "train": "t", "output": "o"}
    with pytest.raises(SettingError, match=match) as caught:
        FinetuneConfig(**plain | {"model": "m", "unlabelled": "u.txt"} | changes)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value) and len(str(caught.value)) <= 300


def test_rows_that_are_too_few_to_hold_some_out_are_refused(lab: Lab) -> None:
    with pytest.raises(SettingError, match="give --dev FILE, or --dev-share X"):
        lab.run("few", dev=None, unlabelled=lab.unlabelled)
    assert not (lab.folder / "few").exists()
