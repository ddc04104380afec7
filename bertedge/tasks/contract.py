"""What a module of `bertedge.tasks` holds: all that tells its task from the others, but for torch.

Its functions are pure: texts to rows of tokens, logits to predictions, examples to gold answers.
Whoever calls them runs the engine. A task's half in torch is a row of `finetune.objectives`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bertedge.errors import DataError, SettingError
from bertedge.predictions import Prediction
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.engine import Keep
from bertedge.runtime.logits import Floats
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Aggregation, DecisionRule, ModelSpec, ProblemType, Text

if TYPE_CHECKING:
    from bertedge.data import Example, ExampleFile
    from bertedge.data.example import TextExample
    from bertedge.data.labels import Survey
    from bertedge.metrics import AnyScores, Baseline

MOST_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """How texts are to be answered; what is None is the task's default."""

    aggregation: Aggregation | str | None = None
    """How tokens become entities (first: a word takes the label of its first token)."""
    top_k: int | None = None
    """How many tokens a mask gets (5), or answers a question (1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRows:
    """Labelled examples, tokenized, beside what is right of them."""

    rows: Sequence[Encoded]
    gold: Sequence[NDArray[Any]]
    """In the form that the module's `score` takes; empty where nothing is known."""
    keep: Keep | None = None
    """What of each row's logits is kept; None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What an engine made of labelled examples, before the rule decides.

    One array an example, or one of all examples in turn.
    """

    gold: Sequence[NDArray[Any]]
    answers: Sequence[NDArray[Any]]
    rows: int
    """Examples."""
    truncated: int
    """Texts whose end was not seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a model says of one example beside what is right of it, both in words.

    Of tags what differs alone: entities that only one of the two has.
    """

    gold: str
    predicted: str
    wrong: bool
    score: float
    """How sure the model is of what it says, from 0 to 1: where it is wrong, of the surest of its
    wrong decisions. Of values how far the prediction is off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialEvaluation:
    """What was predicted of some examples, beside what is right; arrays as in `Outputs`."""

    gold: Sequence[NDArray[Any]]
    predicted: Sequence[NDArray[Any]]
    rows: int
    truncated: int
    bins: NDArray[Any] | None = None
    """Scores by confidence, raw and at the rule's temperature `(2, 3, bins)`; None where there are
    no scores to calibrate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementBounds:
    """What export asks of the agreement of an int8 variant with the checkpoint."""

    good: float
    """A recipe that has it beyond doubt is taken at once."""
    least: float
    """A recipe that has less beyond doubt is refused, whatever the budget."""
    unit: str = "labels"
    counted: bool = True
    """Whether it is a share of rows, of which chance decides the more the fewer there are."""


Judge = Callable[
    [ModelSpec, "Sequence[Example]", LabelledRows, Sequence[Floats]], "Iterator[Judged]"
]
judge_none: Judge | None = None
"""`judge` where no example is right or wrong by itself."""
KeepOf = Callable[[Tokenizer, Sequence[Encoded]], Keep]
keep_all: KeepOf | None = None
"""`keep` where the logits are few."""
LABEL_BOUNDS = AgreementBounds(good=0.995, least=0.98)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRows:
    """Tokenized examples to train on."""

    rows: Sequence[Encoded]
    labels: Sequence[Any]
    """What the loss compares with, one a row; or one a group of rows."""
    groups: Sequence[int] | None = None
    """How many rows, in turn, are trained on together; None: each by itself."""


if TYPE_CHECKING:  # nothing else reads the contract itself, and a start need not wait for it

    class TaskModule(Protocol):
        """The contract; each member is a constant or a function of the module."""

        AUTO_MODEL: str
        """The class of transformers that loads a model with its head."""
        HEADS: tuple[str, ...]
        """How the architecture of such a model's config ends."""
        ONNX_TASK: str
        """The task of Optimum's export whose graph has the same inputs and outputs."""
        BOUNDS: AgreementBounds

        def metric(self, rule: DecisionRule) -> str:
            """Return the name of what `score` calls its value."""

        def check(self, spec: ModelSpec, tokenizer: Tokenizer) -> None:
            """Raise BundleError where the labels or the tokenizer cannot serve the task."""

        def settle(self, options: PredictOptions) -> PredictOptions:
            """Fill in what is left open; SettingError for what the task does not take."""

        def encode(self, tokenizer: Tokenizer, inputs: Sequence[Text], first: int) -> list[Encoded]:
            """Tokenize inputs; DataError names the one at fault, counted from `first`."""

        @property
        def keep(self) -> KeepOf | None:
            """What tells, for rows, which of their logits `decode` needs; None: all."""

        def decode(
            self,
            spec: ModelSpec,
            tokenizer: Tokenizer,
            inputs: Sequence[Text],
            rows: Sequence[Encoded],
            logits: Sequence[Floats],
            options: PredictOptions,
        ) -> Iterator[Prediction]:
            """Yield a prediction for each input from the logits of its rows."""

        def encode_labelled(
            self, spec: ModelSpec, tokenizer: Tokenizer, examples: Sequence["Example"], path: Path
        ) -> LabelledRows:
            """Tokenize labelled examples of the file `path`; DataError for an unknown label."""

        def outputs(
            self,
            spec: ModelSpec,
            tokenizer: Tokenizer,
            examples: Sequence["Example"],
            labelled: LabelledRows,
            logits: Sequence[NDArray[Any]],
        ) -> Outputs:
            """Put what an engine gave for the rows of examples beside what is right."""

        def decide(self, spec: ModelSpec, outputs: Outputs) -> PartialEvaluation:
            """Apply the rule."""

        @property
        def judge(self) -> Judge | None:
            """What compares each example with its prediction, from all logits of the rows.

            None where no example is right or wrong by itself.
            """

        def score(
            self, spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
        ) -> "AnyScores | None":
            """Score what was decided; None where nothing is known to be right."""

        def contributions(
            self, spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
        ) -> NDArray[np.float64] | None:
            """Return each example's part of the metric; see `Evaluation.per_text`."""

        def baseline(
            self, spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
        ) -> "Baseline | None":
            """Return what the best constant answer scores; None where there is none."""

        def choose_threshold(self, rule: DecisionRule, outputs: Outputs) -> DecisionRule:
            """Choose the threshold on labelled data, where the rule takes one."""

    class TrainableTask(TaskModule, Protocol):
        """The contract of a task that `finetune` trains."""

        def labels_of(
            self, examples: "ExampleFile", survey: "Survey", rule: DecisionRule
        ) -> tuple[str, ...]:
            """Return the labels of a training file in the model's order; DataError if too few."""

        def training_row(
            self,
            example: "Example",
            number: dict[str, int],
            problem_type: ProblemType,
            *,
            scored: bool,
        ) -> dict[str, Any] | None:
            """Return an example as columns; None where it is not trained on (nor `scored`)."""

        def encode_training(
            self, tokenizer: Tokenizer, batch: dict[str, list[Any]], numbers: Sequence[int]
        ) -> TrainingRows:
            """Tokenize columns of `training_row`, the rows `numbers` of the file."""

        def training_scores(
            self,
            spec: ModelSpec,
            gold: NDArray[Any],
            logits: Any,
            dev: "tuple[Tokenizer, ExampleFile]",
        ) -> "AnyScores":
            """Score what Trainer gathered on the dev data."""


def no_aggregation(options: PredictOptions) -> None:
    """Raise SettingError where entities are asked for of a model that labels whole texts."""
    if options.aggregation is not None:
        raise SettingError(
            f"aggregation is {options.aggregation!s}, but this model labels whole texts"
        )


def no_top_k(options: PredictOptions) -> None:
    """Raise SettingError where more than one answer is asked for of a model that gives one."""
    if options.top_k is not None:
        raise SettingError(
            f"top_k is {options.top_k}, but this model neither fills masks nor answers questions; "
            "leave it out"
        )


def settle_top_k(options: PredictOptions, default: int) -> int:
    """Return how many answers are wanted; SettingError for less than one."""
    top_k = default if options.top_k is None else options.top_k
    if top_k < 1:
        raise SettingError(f"top_k is {top_k}; give 1 or more")
    return top_k


def text_examples(examples: Sequence["Example"]) -> "list[TextExample]":
    """Return the examples of a task whose inputs are texts."""
    from bertedge.data.example import TextExample  # predicting needs none

    return [example for example in examples if isinstance(example, TextExample)]


def unknown_label(where: str, names: Sequence[str], labels: Sequence[str]) -> DataError:
    """Return the error that names which of a row's labels is none of the model's."""
    known = set(labels)
    unknown = next(name for name in names if name not in known)
    listed = ", ".join(labels[:MOST_NAMED]) + (", …" if len(labels) > MOST_NAMED else "")
    return DataError(
        f"{where}: the model does not know the label {unknown!r}; its {len(labels)} labels are "
        f"{listed}; fix or delete the row, or train on rows of this label"
    )


def no_check(spec: ModelSpec, tokenizer: Tokenizer) -> None:
    """Accept any labels and any tokenizer: `check` where a manifest's own checks are enough."""


def no_options(options: PredictOptions) -> PredictOptions:
    """Refuse the options of other tasks: `settle` where a task has none. SettingError."""
    no_aggregation(options)
    no_top_k(options)
    return options


def encode_texts(tokenizer: Tokenizer, inputs: Sequence[Text], first: int) -> list[Encoded]:
    """Return one row a text or pair, cut at its end: `encode` where any input will do."""
    return tokenizer.encode(inputs)


def no_rule(spec: ModelSpec, outputs: Outputs) -> PartialEvaluation:
    """Take what was found: `decide` where there is no rule."""
    return PartialEvaluation(
        gold=outputs.gold,
        predicted=outputs.answers,
        rows=outputs.rows,
        truncated=outputs.truncated,
    )


def no_threshold(rule: DecisionRule, outputs: Outputs) -> DecisionRule:
    """Return the rule: `choose_threshold` where it has none."""
    return rule


def no_baseline(
    spec: ModelSpec, gold: Sequence[NDArray[Any]], predicted: Sequence[NDArray[Any]]
) -> None:
    """Return nothing: `baseline` where no constant answer makes sense."""


def only(values: NDArray[Any]) -> bool:
    """Return whether all values are one: rows of `(examples, …)`."""
    return bool((values == values[:1]).all())
