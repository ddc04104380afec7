"""A variant of a bundle, run by the predictor as any user runs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bertedge.bench.backends import Prepared
from bertedge.bench.backends.torch import prepare_tokens
from bertedge.bench.config import FILLS_MASKS
from bertedge.bench.messages import Open, TextWorkload, TokenWorkload
from bertedge.bench.spans import span_label
from bertedge.bench.vectors import as_labels
from bertedge.errors import SettingError
from bertedge.heads import intent_label
from bertedge.predictions import (
    Answers,
    Classification,
    Entities,
    IntentSlots,
    MultiLabelClassification,
    Prediction,
    Regression,
)
from bertedge.runtime.predictor import Predictor
from bertedge.spec import OUTSIDE, Aggregation, Task, Text

if TYPE_CHECKING:
    from bertedge.bench.backends import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleBackend:
    """The predictor; see `Backend`."""

    predictor: Predictor
    ids: dict[str, int]
    """Of the labels' names."""

    @property
    def runs_on(self) -> str:
        """The execution provider."""
        return self.predictor.engine.providers[0]

    def tokens(self, workload: TokenWorkload) -> Prepared:
        """Make batches of token ids ready to run."""
        predictor = self.predictor
        return prepare_tokens(predictor.engine, predictor.task, predictor.labels, workload)

    def texts(self, workload: TextWorkload) -> Prepared:
        """Make texts ready to run, one by one or all at once."""
        texts = [text[0] if len(text) == 1 else (text[0], text[1]) for text in workload.texts]
        starts = self._token_starts(workload.texts)
        if not workload.at_once:
            return Prepared(
                inputs=len(texts), run=lambda i: self._label([texts[i]], starts[i : i + 1])
            )
        return Prepared(
            inputs=1,
            run=lambda _: self._label(texts, starts),
            batching="as the predictor packs them, sorted by length",
        )

    def _label(self, texts: Sequence[Text], starts: Sequence[Sequence[int]]) -> "Labels":
        match self.predictor.task:
            case Task.TEXT_CLASSIFICATION:
                found = self.predictor.predict(texts)
                return np.array([self._classified(each) for each in found], np.int64)
            case Task.TOKEN_CLASSIFICATION | Task.INTENT_SLOTS:
                # Every token's label, as the pipelines are asked for it.
                found = self.predictor.predict(texts, aggregation=Aggregation.NONE)
                rows = [self._tagged(*row) for row in zip(found, starts, strict=True)]
                return np.array([label for row in rows for label in row], np.int64)
            case Task.QUESTION_ANSWERING:
                return np.array([_answered(each) for each in self.predictor.predict(texts)])
            case Task.FILL_MASK:
                raise SettingError(FILLS_MASKS)
            case Task.FEATURE_EXTRACTION:
                return as_labels(self.predictor.embed(texts))

    def _classified(self, prediction: Prediction) -> int:
        """Give the best label's number, as the other engines do, whatever is decided on it."""
        if isinstance(prediction, Regression):
            return 0  # values are timed, not compared
        assert isinstance(prediction, Classification | MultiLabelClassification)
        scores = prediction.scores
        return self.ids[max(scores, key=scores.__getitem__)]

    def _tagged(self, prediction: Prediction, starts: Sequence[int]) -> list[int]:
        """Give each token its label; what the predictor leaves out is outside.

        An intent comes before them.
        """
        whole: list[int] = []
        if isinstance(prediction, IntentSlots):
            whole, entities = [self.ids[intent_label(prediction.intent)]], prediction.slots
        else:
            assert isinstance(prediction, Entities)
            entities = prediction.entities
        at = {entity.start: self.ids[entity.label] for entity in entities}
        outside = self.ids.get(OUTSIDE, 0)
        return [*whole, *(at.get(start, outside) for start in starts)]

    def _token_starts(self, texts: Sequence[tuple[str, ...]]) -> list[list[int]]:
        """Tell where the tokens of each text begin, in characters; nothing for whole texts."""
        if not self.predictor.task.tags_words:
            return [[]] * len(texts)
        tokenizer = self.predictor.tokenizer
        starts: list[list[int]] = [[] for _ in texts]
        windows = tokenizer.encode_windows([text for (text,) in texts])
        for window in windows:
            places = starts[window.text]
            own = window.offsets[window.content, 0].tolist()
            places += own[len(places) - window.first :]  # what the windows before had not reached
        return starts


def _answered(prediction: Prediction) -> int:
    """Give the best answer, as the other engines do, whatever is decided on it."""
    assert isinstance(prediction, Answers)
    return span_label(next(iter(prediction.answers), None))


def load(request: Open) -> BundleBackend:
    """Open the bundle as a user would: verified, golden inputs and all."""
    predictor = Predictor.open(
        request.path, device=request.device, threads=request.threads, variant=request.variant
    )
    return BundleBackend(
        predictor=predictor,
        ids={name: number for number, name in enumerate(request.labels)},
    )
