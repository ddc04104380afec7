"""A finished checkpoint is trained on, sees old rows again, and what it forgets is measured."""

import json
import os
import random
import shutil
import signal
from pathlib import Path

import datasets
import pytest
import torch
import transformers

from bertedge.checkpoint import load_base, open_checkpoint
from bertedge.errors import BertedgeError, CheckpointError, DataError, SettingError, StoppedError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.features import Features
from bertedge.finetune.old_task import open_old_task, unite_labels
from bertedge.finetune.replay import ReplaySampler, add_replayed, keep_label_weights
from bertedge.finetune.run import Finetuned, finetune
from bertedge.progress import Silent
from bertedge.spec import Task

PLACES = ("paris", "oslo", "lima")


def run(output: Path, progress: Silent | None = None, **changes: object) -> Finetuned:
    plain: dict[str, object] = {
        "task": Task.TEXT_CLASSIFICATION,
        "output": output,
        "epochs": 3,
        "learning_rate": 2e-3,
        "batch_size": 16,
        "dev_share": 0.0,
    }
    resume = bool(changes.pop("resume", False))
    config = FinetuneConfig(**{**plain, **changes})  # type: ignore[arg-type]
    found = finetune(config, progress or Silent(), resume=resume)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def old(base: Path, texts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Knows colors and fruits."""
    output = tmp_path_factory.mktemp("runs") / "old"
    files = {"train": texts["train"], "dev": texts["dev"], "dev_share": None}
    run(output, model=str(base), epochs=4, **files)
    return output


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of one new label."""
    path = tmp_path_factory.mktemp("places") / "places.csv"
    rng = random.Random(3)
    rows = [f"{rng.choice(('the', 'old', 'one'))} {rng.choice(PLACES)},place" for _ in range(64)]
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


def test_what_is_replayed_is_not_forgotten(
    old: Path, places: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    given = {"train": places, "model": str(old), "replay": texts["train"], "epochs": 4}
    kept = run(tmp_path / "kept", replay_share=4.0, **given).training
    assert kept.model.labels == ("color", "fruit", "place")
    assert kept.forgetting is not None and kept.replay is not None
    found = kept.forgetting
    assert (found.metric, found.rows, kept.replay.rows) == ("accuracy", 80, 320)
    assert found.data == "dev.csv, the dev data of old"
    assert found.before == open_checkpoint(str(old)).training.dev_scores.value  # type: ignore[union-attr]
    assert found.after >= 0.9
    # Nothing but rows of one label, at a rate that makes it the answer to everything.
    alone = given | {"epochs": 8, "learning_rate": 2e-2}
    lost = run(tmp_path / "lost", replay_share=0.0, **alone).training.forgetting
    assert lost is not None and lost.before == found.before
    assert lost.after < 0.5


def test_a_run_that_is_stopped_replays_the_same_rows(
    old: Path, places: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    class Stop(Silent):
        done = 0

        def advance(self, by: int, note: str = "") -> None:
            self.done += bool(note)
            if self.done == 5:
                os.kill(os.getpid(), signal.SIGINT)

    given = {"train": places, "model": str(old), "replay": texts["train"], "epochs": 2}
    run(tmp_path / "whole", **given)
    with pytest.raises(StoppedError):
        run(tmp_path / "broken", Stop(), **given)
    run(tmp_path / "broken", resume=True, **given)
    whole, broken = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "broken")
    )
    assert whole == broken


def test_every_epoch_has_all_new_rows_and_others_of_the_old() -> None:
    def rows(count: int) -> Features:
        data = datasets.Dataset.from_dict({"length": [*range(count)]})
        return Features(data=data, rows=count, truncated=0, windowed=0)

    mixed = add_replayed(rows(20), rows(100), 0.5)
    assert (mixed.data.num_rows, mixed.epoch_rows, mixed.rows) == (120, 30, 20)
    sampler = ReplaySampler(mixed, 4)
    torch.manual_seed(0)
    one, other = list(sampler), list(sampler)
    assert len(sampler) == len(one) == len(set(one)) == 30
    for epoch in (one, other):
        assert sorted(row for row in epoch if row < 20) == list(range(20))
    assert {row for row in one if row >= 20} != {row for row in other if row >= 20}
    assert add_replayed(rows(20), rows(3), 0.5).epoch_rows == 23


HEADS = {
    "bert": transformers.BertForSequenceClassification,
    "roberta": transformers.RobertaForSequenceClassification,
    "distilbert": transformers.DistilBertForSequenceClassification,
    "electra": transformers.ElectraForSequenceClassification,
}


@pytest.mark.parametrize("kind", HEADS)
def test_the_head_keeps_the_rows_of_old_labels(kind: str, base: Path, tmp_path: Path) -> None:
    head = HEADS[kind]
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    if kind == "distilbert":
        sizes = {"dim": 16, "n_layers": 1, "n_heads": 2}
    config = head.config_class(
        vocab_size=100, max_position_embeddings=40, id2label={0: "a", 1: "b"}, **sizes
    )
    config.problem_type = "single_label_classification"
    before = head(config)
    before.save_pretrained(tmp_path / "old")
    transformers.AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "old")
    checkpoint = open_checkpoint(str(tmp_path / "old"))
    labels = unite_labels(checkpoint.model.labels, ("new", "a"))
    assert labels == ("a", "b", "new")
    config.id2label = dict(enumerate(labels))
    config.num_labels = 3
    kind_of = transformers.AutoModelForSequenceClassification
    after, new = load_base(tmp_path / "old", config, kind_of)
    keep_label_weights(after, checkpoint, labels)
    was, now = before.state_dict(), after.state_dict()
    grown = [name for name in was if was[name].shape != now[name].shape]
    assert len(grown) == 2 and new == set(grown)
    for name, tensor in was.items():
        assert torch.equal(now[name][: len(tensor)] if name in grown else now[name], tensor), name
    weight = next(now[name] for name in grown if name.endswith("weight"))
    assert weight[2].abs().sum() > 0


def test_labels_of_intents_and_tags_stay_in_their_blocks() -> None:
    found = unite_labels(("intent:a", "O", "B-x"), ("intent:b", "O", "B-y"))
    assert found == ("intent:a", "intent:b", "O", "B-x", "B-y")


def test_rows_that_the_old_training_held_out_are_not_replayed(
    base: Path, texts: dict[str, Path], places: Path, tmp_path: Path
) -> None:
    run(tmp_path / "old", train=texts["train"], model=str(base), epochs=1, dev_share=0.2)
    config = FinetuneConfig(
        task=Task.TEXT_CLASSIFICATION,
        train=places,
        output=tmp_path / "out",
        model=str(tmp_path / "old"),
        replay=texts["train"],
    )
    found = open_old_task(config, pair=False)
    assert found.asked is not None
    asked, replayed = ({each.line for each in file} for file in (found.asked, found.replayed))
    assert len(asked) == 64 and len(asked | replayed) == 320 and not asked & replayed


def test_without_its_dev_data_rows_of_the_old_file_are_held_out(
    old: Path, texts: dict[str, Path], places: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(old, copy)
    record = json.loads((copy / "training.json").read_text())
    (copy / "training.json").write_text(json.dumps(record | {"dev": None}))
    given = {"train": places, "model": str(copy), "replay": texts["train"], "epochs": 0.5}
    found = run(tmp_path / "out", **given).training
    assert found.forgetting is not None and found.replay is not None
    assert found.forgetting.rows == 32 and found.replay.rows == 288


def test_tags_are_kept_too(base: Path, tags: dict[str, Path], tmp_path: Path) -> None:
    task = {"task": Task.TOKEN_CLASSIFICATION}
    run(tmp_path / "old", train=tags["train"], model=str(base), epochs=1, **task)
    new = tmp_path / "new.jsonl"
    row = {"tokens": ["take", "apple"], "tags": ["O", "B-FRUIT"]}
    new.write_text(f"{json.dumps(row)}\n" * 32)
    given = {"train": new, "model": str(tmp_path / "old"), "replay": tags["train"]}
    found = run(tmp_path / "out", epochs=1, **given, **task).training
    own = ("B-COLOR", "I-COLOR", "B-PLACE", "I-PLACE", "B-FRUIT", "I-FRUIT")
    assert found.model.labels == ("O", *own)
    assert found.forgetting is not None and found.forgetting.metric == "entity_f1"


def refused(kind: type[BertedgeError], match: str, output: Path, **given: object) -> None:
    with pytest.raises(kind, match=match) as caught:
        run(output, **given)
    assert "\n" not in str(caught.value)
    assert not output.exists()


def test_what_cannot_be_replayed_is_refused(
    old: Path,
    base: Path,
    places: Path,
    texts: dict[str, Path],
    pairs: dict[str, Path],
    tmp_path: Path,
) -> None:
    out, file = tmp_path / "out", texts["train"]
    given = {"train": places, "model": str(old), "replay": file}
    refused(SettingError, "give --model", out, **given | {"model": None, "teacher": str(old)})
    refused(CheckpointError, "without a head", out, **given | {"model": str(base)})
    refused(DataError, "does not know the label 'place'", out, **given | {"replay": places})
    refused(CheckpointError, "reads single texts", out, **given | {"train": pairs["train"]})
    refused(SettingError, "replay_share is -1.0", out, **given | {"replay_share": -1})
    several = {"problem_type": "multi_label_classification"}
    refused(CheckpointError, "its problem_type is single", out, **given | several)
