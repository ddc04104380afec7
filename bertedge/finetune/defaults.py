"""The settings that nobody gave: from what is known of the data and the base before training.

What each rule comes from was measured by `benchmarks/finetune_bars.py`; `docs/results.md` has the
figures.
"""

import math
from dataclasses import dataclass, fields

from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.settings.optimization import LRScheduler, Optimizer
from bertedge.spec import LabelKind, ProblemType

EVALUATIONS = 6
"""On the dev data at most, where the epochs are chosen here: with twenty epochs of a small file,
most of the time would go into evaluating and saving."""
_RATE = 2e-4
"""The learning rate of MiniLM (6 layers of 384) in batches of 16, by AdamW."""
RATES = {Optimizer.ADAMW: 1.0, Optimizer.SGD: 200.0, Optimizer.MUON: 1.0}
"""Learning rate of each optimizer, as a multiple of AdamW's."""
PEFT_RATES = {"lora": 10, "dora": 10, "ia3": 30, "adapter": 10, "prompt": 30, "p-tuning": 10}
"""Learning rate of each method of `--peft`, as a multiple of that of training all."""
FITTED_EPOCHS = 0.4
"""Of the usual ones, where the head starts at a linear model of the base's embeddings: there is
less to learn, and more to lose."""
LABEL_RATE = 0.5
"""Of the usual one, where a base learns one label for a whole text, or its head was fitted. Tags
and answers teach it at every token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known before the first step."""

    rows: int
    """Of the training data, as the model is given them: windows count one by one."""
    hidden_size: int
    layers: int
    fitted: bool = False
    """Whether the head starts at a linear model of the base's embeddings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperparameters:
    """The settings of a run that depend on the data and the base, all of them settled."""

    epochs: float
    batch_size: int
    learning_rate: float
    warmup_ratio: float
    weight_decay: float
    layer_decay: float
    early_stopping_patience: int
    """0: training goes on to its end."""
    evaluate_every: int = 1
    """Epochs from one evaluation on the dev data to the next."""
    prefer_later: bool = False
    """Whether of the evaluations within two standard errors of the best the last is kept, and not
    the best (as the rule of one standard error of Breiman et al. 1984, "Classification and
    Regression Trees", 3.4.3)."""


def choose_hyperparameters(config: FinetuneConfig, facts: Facts) -> Hyperparameters:
    """Return what the config says, and where it is silent what the data and the base ask for."""
    batch_size = config.batch_size or usual_batch_size(facts.rows)
    effective = batch_size * config.gradient_accumulation_steps
    epochs = config.epochs or usual_epochs(facts.rows, fitted=facts.fitted)
    usual = usual_learning_rate(facts, effective) * RATES[config.optimizer]
    usual *= LABEL_RATE if facts.fitted or learns_labels(config) else 1.0
    usual *= PEFT_RATES.get(config.peft or "", 1)
    # Smith's cycle rises for as long as torch's does.
    warmup = 0.3 if config.lr_scheduler is LRScheduler.ONE_CYCLE else 0.1
    decay = 0.0 if config.peft else 0.01  # factors and norms, which start at other than zero, stay
    return Hyperparameters(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=config.learning_rate or float(f"{min(usual, 1.0):.1e}"),
        warmup_ratio=warmup if config.warmup_ratio is None else config.warmup_ratio,
        weight_decay=decay if config.weight_decay is None else config.weight_decay,
        layer_decay=config.layer_decay or 1.0,
        early_stopping_patience=usual_patience(config),
        prefer_later=config.epochs is None,
        evaluate_every=1 if config.epochs else math.ceil(epochs / EVALUATIONS),
    )


def usual_batch_size(rows: int) -> int:
    """Return a batch size that leaves a small file enough steps."""
    return 8 if rows < 200 else 16 if rows < 5_000 else 32


def usual_patience(config: FinetuneConfig) -> int:
    """Return the patience that was given, or 3 for epochs that were."""
    if config.early_stopping_patience is not None:
        return config.early_stopping_patience
    return 3 if config.epochs else 0


def usual_epochs(rows: int, *, fitted: bool = False) -> int:
    """Return how often rows are passed over: 20 times where they are few, twice where many.

    The number falls with the square root of the rows, so that steps still grow with it. From a
    `fitted` head on it is 8 times where they are few.
    """
    most = min(20.0, 4 * math.sqrt(9_000 / max(rows, 1)))
    return max(2, round(most * (FITTED_EPOCHS if fitted else 1.0)))


def usual_learning_rate(facts: Facts, batch_size: int) -> float:
    """Return the peak of the learning rate, to two digits.

    It falls with the width and with the depth of the base, and rises with the square root of the
    batch (Malladi et al. 2022, arXiv:2205.10287, for Adam): BERT-base in batches of 16 has 5e-5.
    """
    rate = _RATE * (384 / facts.hidden_size) * (6 / facts.layers) * math.sqrt(batch_size / 16)
    return float(f"{min(rate, 2e-3):.1e}")


def learns_labels(config: FinetuneConfig) -> bool:
    """Return whether all of a base learns one label for each text."""
    one_label = config.problem_type is ProblemType.SINGLE_LABEL
    base = config.model is not None and config.peft is None
    return config.task.labels_are is LabelKind.CLASSES and one_label and base


def describe_chosen(config: FinetuneConfig, chosen: Hyperparameters) -> str:
    """Return what was chosen here, in words; "" where the config has said all of it."""
    own = [
        f"{each.name.replace('_', ' ')} {getattr(chosen, each.name):g}"
        for each in fields(chosen)
        if each.name in ("epochs", "batch_size", "learning_rate")
        and getattr(config, each.name) is None
    ]
    return ", ".join(own)
