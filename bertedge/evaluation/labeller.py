"""An engine put to work: with the tokenizer before it and the decisions after it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.errors import DataError
from bertedge.runtime.batching import TOKEN_BUDGET
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.engine import Engine, Keep, infer
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import DecisionRule, ModelSpec, Task

MOST_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Labeller:
    """An engine with what turns text into its batches and its logits into labels."""

    engine: Engine
    tokenizer: Tokenizer
    task: Task
    labels: tuple[str, ...]
    pad_token_id: int
    decision: DecisionRule = DecisionRule()  # noqa: RUF009 (frozen)
    token_budget: int = TOKEN_BUDGET
    """Padded tokens in a batch; with 1 every text goes alone."""

    @classmethod
    def of(cls, model: ModelSpec, tokenizer_json: str, engine: Engine) -> "Labeller":
        """Put an engine to work for a checkpoint or a bundle's manifest."""
        return cls(
            engine=engine,
            tokenizer=Tokenizer(tokenizer_json, max_length=model.max_length),
            task=model.task,
            labels=model.labels,
            pad_token_id=model.pad_token_id,
            decision=model.rule,
        )

    def infer(
        self, encoded: Sequence[Encoded], *, keep: Keep | None = None
    ) -> list[NDArray[np.float32]]:
        """Run the engine in batches of `token_budget`; see `runtime.engine.infer`."""
        return infer(
            self.engine,
            encoded,
            pad_token_id=self.pad_token_id,
            token_budget=self.token_budget,
            keep=keep,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What came of some examples; arrays are of texts, or one for the words of each text.

    Of questions `gold` is what each best answer is worth, `answers.FOUND`.
    """

    gold: list[NDArray[Any]]
    predicted: list[NDArray[Any]]
    truncated: int
    bins: NDArray[Any] | None = None
    """See `texts.judge`; None where there are no scores to calibrate."""
    entropy: list[NDArray[Any]] | None = None
    """Cross entropy of what is right; of hidden tokens alone."""


def unknown_label(where: str, names: Iterable[str], labels: tuple[str, ...]) -> DataError:
    """Say which of a row's labels is none of the model's."""
    known = set(labels)
    unknown = next(name for name in names if name not in known)
    listed = ", ".join(labels[:MOST_NAMED]) + (", …" if len(labels) > MOST_NAMED else "")
    return DataError(
        f"{where}: the model does not know the label {unknown!r}; its {len(labels)} labels are "
        f"{listed}; fix or delete the row, or train on rows of this label"
    )
