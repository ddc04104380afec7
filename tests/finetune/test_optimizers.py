"""The optimizers and schedules do what their papers say, and a resumed run goes on with them."""

import csv
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.numpy import load_file

from bertedge.errors import SettingError, StoppedError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.optimizers import OneCycle, optimizer_of
from bertedge.finetune.run import finetune
from bertedge.finetune.settings.optimization import LRScheduler, Optimizer
from bertedge.progress import Silent
from bertedge.spec import Task

STEPS = 20
PEAK = 1e-3


class Stop(Silent):
    """Keeps the names of what the optimizer holds of a weight in the state that it stops at."""

    def __init__(self, step: int) -> None:
        self.step, self.done = step, -(10**9)

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        self.done = done if what == "training" else -(10**9)

    def advance(self, by: int, note: str = "") -> None:
        self.done += by
        if self.done == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def few(texts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("few") / "train.csv"
    path.write_text("\n".join(texts["train"].read_text().splitlines()[: 1 + 2 * STEPS]) + "\n")
    return path


def config(train: Path, base: Path, output: Path, **changes: Any) -> FinetuneConfig:
    plain: dict[str, Any] = {"task": Task.TEXT_CLASSIFICATION, "train": train, "model": str(base)}
    plain |= {"output": output, "batch_size": 2, "epochs": 1.0, "learning_rate": PEAK}
    plain |= {"dev_share": 0.0}
    return FinetuneConfig(**plain | changes)


def tiny() -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=20, intermediate_size=16, **sizes)
    return transformers.BertForSequenceClassification(config)


def test_muon_moves_the_matrices_of_the_layers_and_adamw_all_else() -> None:
    models = [tiny() for _ in range(3)]
    muons = (models[0], *optimizer_of(Optimizer.MUON, models[0]))
    adamws = (models[1], *optimizer_of(Optimizer.ADAMW, models[1]))
    for model, kind, settings in (muons, adamws):
        named = list(model.named_parameters())
        groups = [
            {"params": [each for _, each in named if each.dim() == 2], "weight_decay": 0.5},
            {"params": [each for _, each in named if each.dim() != 2], "weight_decay": 0.0},
        ]
        optimizer = kind([{**group, "lr": 0.01} for group in groups], **settings)
        torch.manual_seed(1)
        for _, each in named:
            each.grad = torch.randn_like(each)
        optimizer.step()
    before = dict(models[2].named_parameters())
    other = dict(models[1].named_parameters())
    for name, weight in models[0].named_parameters():
        if ".layer." not in name or weight.dim() != 2:
            assert torch.equal(weight, other[name]), name
            continue
        # What is left of the step without decay is 0.2 * sqrt(longer side) times a matrix that is
        # nearly orthogonal: its singular values lie around 1.
        step = (before[name] * (1 - 0.01 * 0.5) - weight) / (0.01 * 0.2 * max(weight.shape) ** 0.5)
        found = torch.linalg.svdvals(step.detach())
        assert (found > 0.3).all() and (found < 1.6).all(), name


def test_a_torch_without_muon_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(SettingError, match=r"which torch .* does not have; install torch 2.9"):
        optimizer_of(Optimizer.MUON, tiny())


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_one_cycle_is_that_of_torch(kind: Any) -> None:
    """Whose phases end a step before their share of the steps is over."""
    steps, share = 41, 0.25
    settings = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    groups = [[{"params": [torch.nn.Parameter(torch.ones(1))], "lr": r} for r in (1.0, 0.1)]] * 2
    own, other = (kind([dict(group) for group in each], **settings) for each in groups)
    ours = OneCycle(own, steps - 1, (share * steps - 1) / (steps - 1))
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        other, [1.0, 0.1], total_steps=steps, pct_start=share
    )
    for _ in range(steps - 1):
        for one, two in zip(own.param_groups, other.param_groups, strict=True):
            assert one["lr"] == pytest.approx(two["lr"], rel=1e-6)
            assert one.get("momentum") == pytest.approx(two.get("momentum"))
            assert one.get("betas") == pytest.approx(two.get("betas"))
        for each in (own, other, ours, theirs):
            each.step()


@pytest.mark.parametrize("steps", [1, 2, 10])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_one_cycle_has_a_rate_at_every_step_of_any_run(steps: int, share: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0, momentum=0.9)
    schedule = OneCycle(optimizer, steps, share)
    for _ in range(steps):
        assert 0 < optimizer.param_groups[0]["lr"] <= 1
        optimizer.step()
        schedule.step()


def after(step: int) -> float:
    """The share of the way down, for a warm-up of a fifth."""
    return (step - STEPS / 5) / (STEPS - STEPS / 5)


RATES: dict[LRScheduler, Callable[[int], float]] = {
    LRScheduler.LINEAR: lambda step: 1 - after(step),
    LRScheduler.COSINE: lambda step: (1 + math.cos(math.pi * after(step))) / 2,
    LRScheduler.CONSTANT: lambda step: 1.0,
    LRScheduler.ONE_CYCLE: lambda step: (1 + math.cos(math.pi * after(step))) / 2,
}


@pytest.mark.parametrize("name", LRScheduler)
def test_the_learning_rate_of_a_run_goes_as_its_schedule_says(
    base: Path, few: Path, tmp_path: Path, name: LRScheduler
) -> None:
    changes = {"lr_scheduler": name, "warmup_ratio": 0.2}
    finetune(config(few, base, tmp_path / "out", **changes), Silent())
    with (tmp_path / "out" / "training.csv").open(newline="") as file:
        found = {int(row["step"]): float(row["learning_rate"]) for row in csv.DictReader(file)}
    assert set(found) == set(range(2, STEPS + 1, 2))
    for step in range(6, STEPS + 1, 2):  # a row has the rate of its own step, counted from 0
        assert found[step] == pytest.approx(PEAK * RATES[name](step - 1), rel=1e-3), step
    assert found[2] < 0.6 * PEAK


HELD = {
    Optimizer.ADAMW: {"step", "exp_avg", "exp_avg_sq"},
    Optimizer.SGD: {"momentum_buffer"},
    Optimizer.MUON: {"momentum_buffer", "step", "exp_avg", "exp_avg_sq"},
}


@pytest.mark.parametrize("name", Optimizer)
def test_a_run_with_each_optimizer_is_resumed_to_the_weights_of_an_unbroken_one(
    base: Path, few: Path, tmp_path: Path, name: Optimizer
) -> None:
    changes = {"optimizer": name, "lr_scheduler": "one-cycle", "layer_decay": 0.9}
    finetune(config(few, base, tmp_path / "whole", **changes), Silent())
    broken = config(few, base, tmp_path / "broken", **changes)
    with pytest.raises(StoppedError):
        finetune(broken, Stop(7))
    saved = torch.load(tmp_path / ".broken.partial" / "checkpoint-7" / "optimizer.pt")
    parts = saved.get("parts", [saved])
    assert {key for part in parts for each in part["state"].values() for key in each} == HELD[name]
    finetune(broken, Silent(), resume=True)
    weights = [load_file(tmp_path / run / "model.safetensors") for run in ("whole", "broken")]
    before = load_file(base / "model.safetensors")
    for key, weight in weights[0].items():
        assert (weights[1][key] == weight).all(), key
    key = "encoder.layer.0.output.dense.weight"
    assert (weights[0][f"bert.{key}"] != before[key]).any()


def test_sgd_has_momentum() -> None:
    kind, settings = optimizer_of(Optimizer.SGD, tiny())
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = kind([weight], lr=1.0, **settings)
    for _ in range(2):
        weight.grad = torch.ones(1)
        optimizer.step()
    # Nesterov's: the step is gradient + 0.9 * velocity, with velocities 1 and 1.9.
    assert weight.item() == pytest.approx(-(1 + 0.9) - (1 + 0.9 * 1.9))


@pytest.mark.parametrize(
    ("field", "value"),
    [("optimizer", "adam"), ("lr_scheduler", "one_cycle"), ("gradient_checkpointing", "maybe")],
)
def test_what_is_no_such_name_is_refused_in_one_line(field: str, value: str) -> None:
    with pytest.raises(SettingError, match=field) as caught:
        config(Path("t"), Path("b"), Path("o"), **{field: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", ["texts", "tags"])
def test_gradient_checkpointing_keeps_fewer_activations_and_trains_the_same_weights(
    base: Path, data: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    train = tmp_path / f"train{request.getfixturevalue(data)['train'].suffix}"
    lines = request.getfixturevalue(data)["train"].read_text().splitlines()[:25]
    train.write_text("\n".join(lines) + "\n")
    kept, weights = [], []
    for checkpointed in (False, True):
        found = 0

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal found
            found += tensor.nbytes
            return tensor

        task = Task.TOKEN_CLASSIFICATION if data == "tags" else Task.TEXT_CLASSIFICATION
        output = tmp_path / str(checkpointed)
        changes = {"task": task, "gradient_checkpointing": checkpointed, "rdrop_alpha": 1.0}
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            finetune(config(train, base, output, **changes), Silent())
        kept.append(found)
        weights.append(load_file(output / "model.safetensors"))
    assert kept[1] < 0.5 * kept[0]
    for key, weight in weights[0].items():
        assert weights[1][key] == pytest.approx(weight, abs=1e-6), key
