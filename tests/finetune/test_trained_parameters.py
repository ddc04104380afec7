"""What is trained changes, and nothing else does."""

import json
import re
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import transformers
from safetensors.numpy import load_file

from bertedge.checkpoint.config import ARCHITECTURES
from bertedge.errors import SettingError, StoppedError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.gradual_unfreezing import GradualUnfreezing
from bertedge.finetune.layers import depth_of
from bertedge.finetune.run import finetune
from bertedge.finetune.trained_parameters import count_parameters, select_parameters
from bertedge.progress import Silent
from bertedge.spec import Task

LAYERS = 2
"""Of the tiny base."""
STEPS = 4
"""Of an epoch."""
FLAGS = {"task": "text-classification", "train": "t.csv", "model": "m", "output": "o"}


class Watch(Silent):
    """Keeps the lines that were said; sends this process a signal after so many steps."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.lines: list[str] = []
        self._stop_at, self._done = stop_at, 0

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        self._done = done if what == "training" else -(10**9)

    def advance(self, by: int, note: str = "") -> None:
        self._done += by
        if self._done == self._stop_at:
            signal.raise_signal(signal.SIGINT)

    def say(self, line: str) -> None:
        self.lines.append(line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    folder: Path
    base: Path
    said: list[str]

    def moved(self) -> set[str]:
        """Names of the base's parameters that are no longer as they were."""
        before = load_file(self.base / "model.safetensors")
        after = load_file(self.folder / "model.safetensors")
        # Softmax does not see the keys' biases, so that their gradients are noise.
        return {
            name
            for name, tensor in before.items()
            if not name.endswith("key.bias")
            and (after.get(f"bert.{name}", tensor) != tensor).any()  # taggers have no pooler
        }

    def record(self) -> dict[str, object]:
        return json.loads((self.folder / "training.json").read_text())


def run(base: Path, output: Path, *, stop_at: int | None = None, **changes: object) -> Ran:
    train = output.parent / "train.csv"
    rows = ["take the red,a", "see one plum,b", "one red,a", "the old plum here,b"] * STEPS
    train.write_text("\n".join(["text,label", *rows]) + "\n")
    settings = {"task": Task.TEXT_CLASSIFICATION, "train": train, "model": str(base)}
    settings |= {"epochs": 1, "batch_size": 4, "learning_rate": 1e-3, "precision": "fp32"}
    settings |= {"weight_decay": 0, "warmup_ratio": 0, "dev_share": 0, "output": output}
    if "task" not in changes:
        settings |= {"pooling": "cls"}
    resume = bool(changes.pop("resume", False))
    watch = Watch(stop_at)
    finetune(FinetuneConfig(**settings | changes), watch, resume=resume)  # type: ignore[arg-type]
    return Ran(folder=output, base=base, said=watch.lines)


def names(base: Path, depths: set[int]) -> set[str]:
    found = load_file(base / "model.safetensors")
    return {
        name for name in found if depth_of(name, LAYERS) in depths and not name.endswith("key.bias")
    }


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_top_layers_and_the_head_alone_are_trained(
    base: Path, tmp_path: Path, count: int
) -> None:
    ran = run(base, tmp_path / "out", train_layers=count)
    assert ran.moved() == names(base, {LAYERS + 1 - i for i in range(count + 1)})


def test_bitfit_moves_biases_and_the_head_alone(base: Path, tmp_path: Path) -> None:
    every = names(base, {0, 1, 2})
    biases = {name for name in every if name.endswith(".bias")}
    assert run(base, tmp_path / "a", bitfit=True).moved() == biases | names(base, {3})
    upper = {name for name in biases if depth_of(name, LAYERS) == 2}
    for i, way in enumerate(({"train_layers": 1}, {"freeze": 1})):
        ran = run(base, tmp_path / str(i), bitfit=True, **way)
        assert ran.moved() == upper | names(base, {3})


def test_how_much_is_trained_is_said_and_recorded(base: Path, tmp_path: Path) -> None:
    ran = run(base, tmp_path / "out", train_layers=0)
    weights = load_file(ran.folder / "model.safetensors")
    every = sum(tensor.size for tensor in weights.values())
    head = (32 * 32 + 32) + (2 * 32 + 2)  # pooler and classifier
    assert f"trains {head:,} of {every:,} parameters ({head / every:.2%})" in ran.said
    assert (ran.record()["trained_parameters"], ran.record()["parameters"]) == (head, every)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_trains_its_head_alone(kind: str) -> None:
    sizes = {"num_hidden_layers": 1, "n_layers": 1, "num_attention_heads": 2, "n_heads": 2}
    sizes |= {"vocab_size": 30, "hidden_size": 8, "dim": 8, "intermediate_size": 8}
    sizes |= {"hidden_dim": 8, "embedding_size": 4, "max_position_embeddings": 40}
    sizes |= {"pad_token_id": 0, "relative_attention": True, "norm_rel_ebd": "layer_norm"}
    config = transformers.AutoConfig.for_model(kind, **sizes)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    select_parameters(model, FinetuneConfig(**FLAGS, train_layers=0))  # type: ignore[arg-type]
    head = {id(each) for each in model.parameters()}
    base = model.base_model
    layers = {"distilbert": "transformer", "modernbert": "layers"}.get(kind, "encoder")
    parts = [base.embeddings, getattr(base, layers), getattr(base, "embeddings_project", None)]
    head -= {id(each) for part in parts if part is not None for each in part.parameters()}
    assert {id(each) for each in model.parameters() if each.requires_grad} == head
    counts = count_parameters(model)
    assert 0 < counts.trained < counts.all == model.num_parameters()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"train_layers": -1}, "train_layers is -1; it must be at least 0"),
        ({"gradual_unfreezing": 0.0}, "gradual_unfreezing is 0.0; it must be above 0"),
        ({"gradual_unfreezing": 1.5}, "gradual_unfreezing is 1.5; it must be above 0 and at most"),
        (
            {"train_layers": 0, "freeze": "embeddings"},
            "--freeze and --train-layers cannot be combined: each says which layers are trained",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=re.escape(message)):
        FinetuneConfig(**FLAGS | wrong)  # type: ignore[arg-type]


def test_more_layers_than_the_student_has_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="train_layers is 3, but the model has 2 layers"):
        run(base, tmp_path / "out", train_layers=3)
    teacher = run(base, tmp_path / "teacher").folder
    changes = {"model": None, "teacher": str(teacher), "layers": 1}
    with pytest.raises(SettingError, match="freeze is 2, but the model has 1 layers"):
        run(base, tmp_path / "out", **changes, freeze=2)
    assert run(base, tmp_path / "student", **changes, freeze=1).record()["trained_parameters"]


def unfreezing(model: transformers.PreTrainedModel, share: float, steps: int) -> list[set[int]]:
    """The depths that are trained at each step."""
    callback, state = GradualUnfreezing(share), transformers.TrainerState(max_steps=steps)
    callback.on_train_begin(None, state, transformers.TrainerControl(), model=model)
    found = []
    for state.global_step in range(steps):
        callback.on_step_begin(None, state, transformers.TrainerControl())
        trained = (name for name, each in model.named_parameters() if each.requires_grad)
        found.append({depth_of(name, 4) for name in trained})
    return found


def test_layers_are_unfrozen_one_by_one_from_the_head_down() -> None:
    config = transformers.BertConfig(
        num_hidden_layers=4, hidden_size=8, num_attention_heads=2, intermediate_size=8, vocab_size=9
    )
    model = transformers.BertForSequenceClassification(config)
    # Five depths lie below the head; in the first 10 of 12 steps each waits for two more.
    wanted = [{5}, {5, 4}, {5, 4, 3}, {5, 4, 3, 2}, {5, 4, 3, 2, 1}, {5, 4, 3, 2, 1, 0}]
    found = unfreezing(model, 10 / 12, 12)
    assert found == [each for each in wanted for _ in range(2)]
    model.requires_grad_(True)
    select_parameters(model, FinetuneConfig(**FLAGS, freeze=2))  # type: ignore[arg-type]
    assert unfreezing(model, 0.5, 8) == [{5}, {5}, {5, 4}, {5, 4}, *[{5, 4, 3}] * 4]


def test_a_layer_that_is_not_yet_unfrozen_does_not_move(base: Path, tmp_path: Path) -> None:
    """Of four steps, the first three stages have one each, and the embeddings the last."""
    rates = {"lr": 1e-3}
    ran = run(base, tmp_path / "out", gradual_unfreezing=0.75, learning_rate=rates["lr"])
    before = load_file(base / "model.safetensors")
    after = load_file(ran.folder / "model.safetensors")
    # The rate falls linearly; Adam moves by it at most, but for a little by its moments.
    left = {depth: sum(1 - i / 4 for i in range(3 - depth, 4)) for depth in range(4)}
    for name, tensor in before.items():
        if not name.endswith("key.bias"):
            moved = float(np.abs(after[f"bert.{name}"] - tensor).max())
            most = rates["lr"] * left[depth_of(name, LAYERS)]
            assert 0.5 * most < moved < 1.05 * most, name


def test_gradual_unfreezing_of_a_resumed_run_ends_in_the_same_weights(
    base: Path, tmp_path: Path
) -> None:
    settings = {"gradual_unfreezing": 0.6, "layer_decay": 0.8, "epochs": 2}
    whole = run(base, tmp_path / "whole", **settings)
    for stop in (1, 5):
        with pytest.raises(StoppedError, match=f"interrupted at step {stop} "):
            run(base, tmp_path / "broken", **settings, stop_at=stop)
        run(base, tmp_path / "broken", **settings, resume=True)
        weights = [tmp_path / name / "model.safetensors" for name in ("whole", "broken")]
        assert weights[0].read_bytes() == weights[1].read_bytes(), f"stopped at step {stop}"
        (tmp_path / "broken").rename(tmp_path / f"done-{stop}")
    assert whole.moved() == names(base, {0, 1, 2, 3})


def test_tags_and_students_are_trained_layer_by_layer_too(
    base: Path, tags: dict[str, Path], tmp_path: Path
) -> None:
    settings = {"task": Task.TOKEN_CLASSIFICATION, "train": tags["train"], "batch_size": 64}
    teacher = run(base, tmp_path / "teacher", **settings, bitfit=True)
    moved = teacher.moved()
    assert moved and all(name.endswith(".bias") for name in moved)
    student = {"model": None, "teacher": str(teacher.folder), "layers": 1, "train_layers": 1}
    ran = run(base, tmp_path / "student", **settings, **student, gradual_unfreezing=0.5)
    before = load_file(teacher.folder / "model.safetensors")
    after = load_file(ran.folder / "model.safetensors")
    copied = {name.replace("layer.1", "layer.0"): tensor for name, tensor in before.items()
              if "layer.0" not in name}  # fmt: skip
    for name, tensor in after.items():
        if not name.endswith("key.bias"):
            assert (tensor != copied[name]).any() == ("embeddings" not in name), name
