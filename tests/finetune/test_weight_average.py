"""What is evaluated, saved, chosen among and kept is the average of the weights."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bertedge.errors import SettingError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.run import finetune
from bertedge.finetune.weight_average import TRAINED, WeightAverage, exponential, uniform
from bertedge.spec import Task

Weights = dict[str, torch.Tensor]
STEPS = 10
"""Of a run."""


def mean(weights: list[Weights], shares: list[float]) -> Weights:
    total = sum(shares)
    names = weights[0]
    return {
        name: sum((s * each[name] for s, each in zip(shares, weights, strict=True))) / total  # type: ignore[misc]
        for name in names
    }


def moving(weights: list[Weights]) -> Weights:
    return mean(weights, [0.8 ** (len(weights) - i) for i in range(1, len(weights) + 1)])


def from_half(weights: list[Weights]) -> Weights:
    """Of ten steps, the fifth and those after it; before, the last."""
    return mean(weights[4:], [1.0] * len(weights[4:])) if len(weights) > 4 else weights[-1]


WAYS: dict[str, tuple[dict[str, Any], Callable[[list[Weights]], Weights]]] = {
    "moving": ({"ema_decay": 0.8}, moving),
    "uniform": ({"swa_start": 0.5}, from_half),
}


def close(one: Weights, other: Weights) -> bool:
    return all(torch.allclose(one[name], other[name], atol=1e-6) for name in other)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Weights]]:
    """The weights after each step of the run."""
    found: list[Weights] = []
    original = WeightAverage.on_step_end

    def spy(self: WeightAverage, *arguments: Any, **more: Any) -> None:
        found.append({n: p.detach().clone() for n, p in more["model"].named_parameters()})
        original(self, *arguments, **more)

    monkeypatch.setattr(WeightAverage, "on_step_end", spy)
    yield found


def config_of(base: Path, texts: dict[str, Path], output: Path, **changes: Any) -> FinetuneConfig:
    plain = {"task": Task.TEXT_CLASSIFICATION, "model": str(base), "output": output}
    plain |= {"train": texts["train"], "epochs": 1, "batch_size": 32, "learning_rate": 3e-3}
    return FinetuneConfig(**{**plain, **changes})


@pytest.mark.parametrize("way", WAYS)
def test_the_average_is_evaluated_saved_and_kept(
    way: str,
    base: Path,
    texts: dict[str, Path],
    tmp_path: Path,
    steps: list[Weights],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, expected = WAYS[way]
    seen = []

    def on_evaluate(self: WeightAverage, *_: Any, **more: Any) -> None:
        found = {n: p.detach().clone() for n, p in more["model"].named_parameters()}
        seen.append(close(found, expected(steps)) and not close(found, steps[-1]))

    original = WeightAverage.on_save

    def on_save(self: WeightAverage, args: Any, state: Any, *rest: Any, **more: Any) -> None:
        original(self, args, state, *rest, **more)
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        seen.append(close(load_file(folder / "model.safetensors"), expected(steps)))
        seen.append(close(load_file(folder / TRAINED), steps[-1]))

    monkeypatch.setattr(WeightAverage, "on_evaluate", on_evaluate)
    monkeypatch.setattr(WeightAverage, "on_save", on_save)
    finetune(config_of(base, texts, tmp_path / "run", dev=texts["dev"], **settings))
    assert len(steps) == STEPS and seen == [True] * 3
    kept = load_file(tmp_path / "run" / "model.safetensors")
    own = {n: w for n, w in expected(steps).items() if "word_embeddings" not in n}
    assert close(kept, own) and not close(kept, {n: steps[-1][n] for n in own})


def test_without_dev_data_the_last_average_is_kept_and_training_is_as_without(
    base: Path, texts: dict[str, Path], tmp_path: Path, steps: list[Weights]
) -> None:
    run = config_of(base, texts, tmp_path / "run", ema_decay=0.8, dev_share=0.0)
    finetune(run)
    kept = load_file(tmp_path / "run" / "model.safetensors")
    own = [n for n in steps[0] if "word_embeddings" not in n]
    average = moving(steps)
    assert close(kept, {n: average[n] for n in own})
    finetune(config_of(base, texts, tmp_path / "plain", dev_share=0.0))
    plain = load_file(tmp_path / "plain" / "model.safetensors")
    assert close(plain, {n: steps[-1][n] for n in own})


def test_the_first_steps_share_is_whole_whatever_the_decay() -> None:
    assert exponential(0.999)(1, 10) == pytest.approx(1.0)
    assert exponential(0.9)(2, 10) == pytest.approx(1 / 1.9)
    assert [uniform(0.0)(step, 4) for step in (1, 2, 4)] == [1, 1 / 2, 1 / 4]


def test_two_averages_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="--ema-decay and --swa-start cannot be combined"):
        config_of(tmp_path, {"train": tmp_path}, tmp_path, ema_decay=0.9, swa_start=0.5)
    with pytest.raises(SettingError, match=r"ema_decay is 1\.0; it must be at least 0"):
        config_of(tmp_path, {"train": tmp_path}, tmp_path, ema_decay=1.0)
    with pytest.raises(SettingError, match=r"swa_start is -0\.1; it must be at least 0"):
        config_of(tmp_path, {"train": tmp_path}, tmp_path, swa_start=-0.1)
