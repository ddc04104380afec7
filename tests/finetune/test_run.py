import csv
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file
from transformers import AutoTokenizer

from bertedge import evaluation
from bertedge.checkpoint import TorchEngine, load_model, open_checkpoint
from bertedge.cli import main
from bertedge.data import open_examples
from bertedge.errors import OutputError, SettingError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.run import finetune
from bertedge.finetune.settings.regularization import ClassWeights
from bertedge.progress import Silent
from bertedge.spec import Task


class Said(Silent):
    """Keeps the lines that were said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def config(files: dict[str, Path], base: Path, output: Path, **changes: object) -> FinetuneConfig:
    plain: dict[str, object] = {
        "task": Task.TEXT_CLASSIFICATION,
        "train": files["train"],
        "dev": files["dev"],
        "model": str(base),
        "output": output,
        "epochs": 4,
        "learning_rate": 2e-3,
        "batch_size": 16,
    }
    return FinetuneConfig(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def colors(base: Path, texts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "colors"
    finetune(config(texts, base, output), Silent())
    return output


def test_a_checkpoint_that_learned_its_task_is_left(colors: Path) -> None:
    names = {path.name for path in colors.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "training.json"} <= names
    checkpoint = open_checkpoint(str(colors))
    assert checkpoint.model.task is Task.TEXT_CLASSIFICATION
    assert checkpoint.model.labels == ("color", "fruit")
    assert not checkpoint.model.pair
    assert checkpoint.model.max_length == 32
    training = checkpoint.training
    assert training is not None
    assert training.train.rows == 320
    assert training.dev is not None and training.dev_scores is not None
    assert training.dev_scores.value >= 0.95
    path = training.dev.locate(colors)
    assert training.dev.sha256 == open_examples(path, training.model.task).sha256()
    assert not Path(training.dev.path).is_absolute()


def test_nothing_but_the_checkpoint_is_left(colors: Path) -> None:
    assert [path.name for path in colors.parent.iterdir()] == [colors.name]


def test_the_recorded_dev_score_is_what_an_evaluation_gives(
    colors: Path, texts: dict[str, Path]
) -> None:
    checkpoint = open_checkpoint(str(colors))
    engine = TorchEngine(load_model(checkpoint))
    labeller = evaluation.TextModel.of(checkpoint.model, checkpoint.tokenizer_json, engine)
    labelling = evaluation.evaluate(labeller, open_examples(texts["dev"], checkpoint.model.task))
    assert checkpoint.training is not None
    assert labelling.scores == checkpoint.training.dev_scores


def test_two_runs_with_one_seed_agree_and_another_seed_differs(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    weights = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        finetune(config(texts, base, tmp_path / name, epochs=1, seed=seed), Silent())
        weights.append((tmp_path / name / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def test_pairs_are_told_apart_by_their_second_text(
    base: Path, pairs: dict[str, Path], tmp_path: Path
) -> None:
    finished = finetune(
        config(pairs, base, tmp_path / "out", epochs=20, early_stopping_patience=0), Silent()
    )
    assert finished is not None and finished.dev is not None
    assert finished.training.model.pair
    assert finished.dev.scores.value >= 0.9


def test_tags_are_learned_by_words(base: Path, tags: dict[str, Path], tmp_path: Path) -> None:
    changes = {"task": Task.TOKEN_CLASSIFICATION}
    finished = finetune(config(tags, base, tmp_path / "out", **changes), Silent())
    assert finished is not None and finished.dev is not None
    assert finished.training.model.labels == ("O", "B-COLOR", "I-COLOR", "B-PLACE", "I-PLACE")
    assert finished.dev.scores.metric == "entity_f1"
    assert finished.dev.scores.value >= 0.9


def test_without_dev_data_the_last_epoch_is_kept(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    changes = {"dev": None, "dev_share": 0.0, "epochs": 1}
    finished = finetune(config(texts, base, tmp_path / "out", **changes), Silent())
    assert finished is not None and finished.training.train.rows == 320
    assert finished.dev is None and finished.training.best_epoch is None


def test_training_stops_early_and_keeps_the_best_epoch(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    changes = {"epochs": 40, "early_stopping_patience": 2}
    finished = finetune(config(texts, base, tmp_path / "out", **changes), Silent())
    assert finished is not None
    record = finished.training
    with (tmp_path / "out" / "training.csv").open() as file:
        curve = [(row["epoch"], row["dev_accuracy"]) for row in csv.DictReader(file)]
    scores = [(float(score), float(epoch)) for epoch, score in curve if score]
    best, first = max(scores, key=lambda each: (each[0], -each[1]))
    assert record.epochs == pytest.approx(first + 2)
    assert record.best_epoch == max(epoch for score, epoch in scores if score == best)
    assert record.epochs < 40


def test_frozen_layers_keep_the_weights_of_the_base(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    before = load_file(base / "model.safetensors")
    for what, frozen in (("embeddings", ["embeddings"]), (1, ["embeddings", "encoder.layer.0"])):
        output = tmp_path / str(what)
        finetune(config(texts, base, output, epochs=1, freeze=what, pooling="cls"), Silent())
        after = load_file(output / "model.safetensors")
        for name, tensor in before.items():
            changed = (after[f"bert.{name}"] != tensor).any()
            if name.endswith("key.bias"):  # softmax does not see it, so its gradient is noise
                continue
            assert changed == (not any(name.startswith(part) for part in frozen)), name


def test_more_frozen_layers_than_there_are_is_an_error(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match="freeze is 3, but the model has 2 layers"):
        finetune(config(texts, base, tmp_path / "out", freeze=3), Silent())


def test_balanced_class_weights_rescue_a_rare_class(base: Path, tmp_path: Path) -> None:
    train = tmp_path / "train.csv"
    rows = ["see the old red here,common"] * 152 + ["see the old plum here,rare"] * 8
    train.write_text("\n".join(["text,label", *rows]) + "\n")
    rare = {}
    for weights in ClassWeights:
        plain = FinetuneConfig(
            task=Task.TEXT_CLASSIFICATION,
            train=train,
            model=str(base),
            output=tmp_path / weights,
            epochs=4,
            seed=44,
            learning_rate=4e-3,
            pooling="cls",
            class_weights=weights,
        )
        finetune(plain, Silent())
        checkpoint = open_checkpoint(str(plain.output))
        tokenizer = AutoTokenizer.from_pretrained(plain.output)
        batch = tokenizer("see the old plum here", return_tensors="pt")
        logits = load_model(checkpoint)(**batch).logits
        rare[weights] = float(logits.softmax(-1)[0, checkpoint.model.labels.index("rare")])
    assert rare[ClassWeights.NONE] < 0.3 and rare[ClassWeights.BALANCED] > 0.4


def test_truncation_is_counted_and_said(base: Path, texts: dict[str, Path], tmp_path: Path) -> None:
    train = tmp_path / "train.csv"
    long = " ".join(["see"] * 60)
    train.write_text(texts["train"].read_text() + f"{long},fruit\n")
    said = Said()
    files = {"train": train, "dev": texts["dev"]}
    finished = finetune(config(files, base, tmp_path / "out", epochs=1), said)
    assert finished is not None and finished.training.truncated == 1
    assert any(line.startswith("1 of 321 training texts") for line in said.lines)


def test_an_existing_output_is_refused_and_replaced_on_demand(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    finetune(config(texts, base, output, epochs=1), Silent())
    before = (output / "training.json").read_text()
    with pytest.raises(OutputError, match="exists already"):
        finetune(config(texts, base, output, epochs=1, seed=1), Silent())
    assert (output / "training.json").read_text() == before
    finetune(config(texts, base, output, epochs=1, seed=1), Silent(), overwrite=True)
    assert '"seed": 1' in (output / "training.json").read_text()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in output.iterdir()}
    assert modes == {stat.S_IMODE(output.stat().st_mode) & 0o666}
    (output / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds 'notes\.txt'"):
        finetune(config(texts, base, output, epochs=1), Silent(), overwrite=True)


def arguments(files: dict[str, Path], base: Path, output: Path, *more: str) -> list[str]:
    return [
        *("finetune", "--task", "text-classification"),
        *("--train", str(files["train"]), "--dev", str(files["dev"]), "--model", str(base)),
        *("--output", str(output), "--batch-size", "4", "--epochs", "6", *more),
    ]


def wait_for(folder: Path, pattern: str, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 300
    while not list(folder.glob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_stopped_process_is_resumed_to_the_weights_of_an_unbroken_one(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    """test_resume.py stops a run around its epochs, tests/campaigns/test_kills.py kills it."""
    broken, unbroken = tmp_path / "broken", tmp_path / "unbroken"
    typed = arguments(texts, base, broken)
    command = [sys.executable, "-m", "bertedge", *typed]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path, ".broken.partial/checkpoint-*/sealed.json", process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1 and not broken.exists()
    assert "--resume continues there" in errors and "Traceback" not in errors
    again = CliRunner().invoke(main, typed)
    assert again.exit_code == 1 and "continue it with --resume" in again.stderr
    refused = CliRunner().invoke(main, [*typed, "--resume", "--seed", "1"])
    assert refused.exit_code == 1 and "the interrupted run had seed 42" in refused.stderr
    done = CliRunner().invoke(main, [*typed, "--resume"])
    assert done.exit_code == 0 and "resuming at step" in done.stderr, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"broken"}
    done = CliRunner().invoke(main, arguments(texts, base, unbroken))
    assert done.exit_code == 0, done.stderr
    weights = [(output / "model.safetensors").read_bytes() for output in (unbroken, broken)]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_a_distributed_launch_trains_one_checkpoint(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    plain = arguments(texts, base, tmp_path / "out", "--json", "--epochs", "2")
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2"]
    launch += ["-m", "bertedge", *plain]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(launch, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["train"]["rows"] == 320
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert open_checkpoint(str(tmp_path / "out")).model.labels == ("color", "fruit")
