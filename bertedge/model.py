"""A model that reads texts: what it is, its tokenizer, and the engine that runs it."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bertedge.errors import DataError
from bertedge.predictions import Prediction
from bertedge.runtime.encoding import TOKEN_BUDGET, Encoded
from bertedge.runtime.engine import Engine, Keep, infer
from bertedge.runtime.logits import Floats
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import InputShape, ModelSpec, Text
from bertedge.tasks import task_module
from bertedge.tasks.contract import PredictOptions

if TYPE_CHECKING:
    from bertedge.tasks.contract import TaskModule

DEFAULT_OPTIONS = PredictOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextModel:
    """Texts in, predictions out, over any engine: onnxruntime, PyTorch, a recorder."""

    spec: ModelSpec
    tokenizer: Tokenizer
    engine: Engine
    token_budget: int = TOKEN_BUDGET
    """Padded tokens in a batch; with 1 every text goes alone."""
    shape: InputShape = field(init=False)
    """How many texts one input is made of."""

    def __post_init__(self) -> None:
        """Settle the shape once: every call checks its inputs against it."""
        object.__setattr__(self, "shape", self.spec.input_shape)

    @classmethod
    def of(cls, spec: ModelSpec, tokenizer_json: str, engine: Engine) -> "TextModel":
        """Return the model of a checkpoint or a bundle, run by `engine`."""
        tokenizer = Tokenizer(tokenizer_json, max_length=spec.max_length)
        return cls(spec=spec, tokenizer=tokenizer, engine=engine)

    @property
    def task(self) -> "TaskModule":
        """The module of its task."""
        return task_module(self.spec.task)

    @property
    def rows_per_input(self) -> int:
        """About how many rows an input has that is read at once."""
        return 1

    def encode(self, inputs: Sequence[Text], first: int = 0) -> list[Encoded]:
        """Tokenize inputs to rows; DataError names the one at fault, counted from `first`."""
        check_inputs(inputs, first, self.shape)
        return self.task.encode(self.tokenizer, inputs, first)

    def keep(self, rows: Sequence[Encoded]) -> Keep | None:
        """Return what of the logits of `rows` its predictions need; None: all."""
        choose = self.task.keep
        return choose and choose(self.tokenizer, rows)

    def infer(
        self, rows: Sequence[Encoded], *, keep: Keep | None = None
    ) -> list[NDArray[np.float32]]:
        """Run the engine in batches of `token_budget`; see `runtime.engine.infer`."""
        return infer(
            self.engine,
            rows,
            pad_token_id=self.spec.pad_token_id,
            token_budget=self.token_budget,
            keep=keep,
        )

    def decode(
        self,
        inputs: Sequence[Text],
        rows: Sequence[Encoded],
        logits: Sequence[Floats],
        options: PredictOptions,
    ) -> Iterator[Prediction]:
        """Yield a prediction for each input from what the engine gave for its rows."""
        return self.task.decode(self.spec, self.tokenizer, inputs, rows, logits, options)

    def predict(
        self, inputs: Sequence[Text], options: PredictOptions = DEFAULT_OPTIONS
    ) -> list[Prediction]:
        """Return a prediction for each text, or pair of texts, in order.

        Raises DataError for an input that is none, SettingError for an option of another task.
        """
        settled = self.task.settle(options)
        rows = self.encode(inputs)
        if not rows:
            return []
        logits = self.infer(rows, keep=self.keep(rows))
        return list(self.decode(inputs, rows, logits, settled))


def check_inputs(inputs: Sequence[object], first: int, shape: InputShape) -> None:
    """Raise DataError for the first input that is not made of as many texts as the model reads."""
    most = shape.most or sys.maxsize
    for index, text in enumerate(inputs, first):
        parts = _parts(text)
        if shape.least <= len(parts) <= most:
            continue
        found = f"of type {type(text).__name__}"
        if len(parts) > 1:
            found = "a pair" if len(parts) == 2 else f"{len(parts)} texts"
        raise DataError(f"text {index} is {found}; this model takes {shape.description}")


def _parts(text: object) -> tuple[str, ...]:
    """Return the texts of an input; none where it is something else."""
    if isinstance(text, str):
        return (text,)
    if isinstance(text, tuple) and len(text) > 1 and all(isinstance(part, str) for part in text):
        return text
    return ()
