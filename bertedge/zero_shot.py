"""Zero-shot classification: a model of entailment says which of any labels a text has.

Each label becomes a hypothesis, and the text the premise (Yin, Hay & Roth 2019, "Benchmarking
Zero-shot Text Classification", section 5). Scores are those of transformers' pipeline
"zero-shot-classification".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bertedge.errors import SettingError, shorten
from bertedge.metrics.calibration import DEFAULT_THRESHOLD
from bertedge.model import TextModel, check_inputs
from bertedge.predictions import Classification, MultiLabelClassification
from bertedge.runtime.encoding import Encoded
from bertedge.runtime.engine import Keep
from bertedge.runtime.logits import Floats, softmax
from bertedge.spec import SINGLE, LabelKind, ModelSpec, ProblemType, Text
from bertedge.tasks.contract import PredictOptions

TEMPLATE = "This example is {}."
"""The pipeline's own: where none is given."""
MOST_LABELS = 1_000
_CHARACTERS = 500_000
"""Of texts that are tokenized at once."""
_BLANK = "{}"
_ENTAILMENT = "entail"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShotModel(TextModel):
    """A model of entailment with the labels of one call: texts in, their labels out."""

    candidates: tuple[str, ...]
    hypotheses: tuple[str, ...]
    entailment: int
    """Number of that logit."""
    multi_label: bool

    def __post_init__(self) -> None:
        """Take single texts, whatever the model itself takes."""
        object.__setattr__(self, "shape", SINGLE)

    @property
    def rows_per_input(self) -> int:
        """One for each candidate."""
        return len(self.candidates)

    def encode(self, inputs: Sequence[Text], first: int = 0) -> list[Encoded]:
        """Tokenize each text with each hypothesis; DataError names the text at fault."""
        check_inputs(inputs, first, self.shape)
        pairs = [(str(text), each) for text in inputs for each in self.hypotheses]
        longest = max((len(text) for text, _ in pairs), default=0)
        step = max(_CHARACTERS // max(longest, 1), 1)
        # In slices: until it is cut, a long text is held as often as there are candidates.
        parts = (pairs[start : start + step] for start in range(0, len(pairs), step))
        rows = (row for part in parts for row in self.tokenizer.encode(part))
        count = len(self.hypotheses)
        return [replace(row, text=number // count) for number, row in enumerate(rows)]

    def keep(self, rows: Sequence[Encoded]) -> Keep | None:
        """Keep all logits."""
        return None

    def decode(
        self,
        inputs: Sequence[Text],
        rows: Sequence[Encoded],
        logits: Sequence[Floats],
        options: PredictOptions,
    ) -> Iterator[Classification | MultiLabelClassification]:
        """Yield the labels of each text, the scores best first."""
        count = len(self.candidates)
        for start in range(0, len(rows), count):
            scores = self._score(np.stack(logits[start : start + count]))
            # The pipeline's order, which puts the later of two equal ones first.
            order = scores.argsort()[::-1].tolist()
            named = {self.candidates[i]: float(scores[i]) for i in order}
            truncated = any(row.truncated for row in rows[start : start + count])
            if self.multi_label:
                reached = tuple(name for name in named if named[name] >= DEFAULT_THRESHOLD)
                yield MultiLabelClassification(labels=reached, scores=named, truncated=truncated)
            else:
                best = self.candidates[order[0]]
                yield Classification(
                    label=best, score=named[best], scores=named, truncated=truncated
                )

    def _score(self, logits: Floats) -> Floats:
        """Compute the scores `(candidates,)` of logits `(candidates, classes)`.

        One of several: a softmax of their entailment logits; else each against its contradiction.
        """
        if len(logits) > 1 and not self.multi_label:
            return softmax(logits[:, self.entailment])
        contradiction = -1 if self.entailment == 0 else 0  # as the pipeline has it
        return softmax(logits[:, [contradiction, self.entailment]])[:, 1]


def find_entailment(labels: Sequence[str]) -> int | None:
    """Return the number of the label that says entailment, as transformers' pipeline finds it."""
    found = (i for i, label in enumerate(labels) if label.lower().startswith(_ENTAILMENT))
    return next(found, None)


def zero_shot_model(
    model: TextModel,
    candidate_labels: Sequence[str] | str,
    template: str | None = None,
    *,
    multi_label: bool,
) -> ZeroShotModel:
    """Return the model of a call; a string of labels has commas between them.

    SettingError for a model that knows no entailment, and for labels or a template that cannot be.
    """
    entailment = _entailment_of(model.spec)
    labels = split_candidates(candidate_labels)
    template = TEMPLATE if template is None else template
    if template.count(_BLANK) != 1:
        raise SettingError(
            f"hypothesis_template is {shorten(repr(template))}; it must hold {_BLANK} once, where "
            "the label goes"
        )
    hypotheses = tuple(template.replace(_BLANK, label) for label in labels)
    most = model.spec.max_length // 2  # the longer one is cut, which must be the text
    for label, row in zip(labels, model.tokenizer.encode(hypotheses), strict=True):
        if len(row.ids) > most:
            raise SettingError(
                f"candidate label {shorten(repr(label), 60)} makes a hypothesis of "
                f"{len(row.ids):,} tokens; this model reads {most} beside a text: shorten it"
            )
    return ZeroShotModel(
        spec=model.spec,
        tokenizer=model.tokenizer,
        engine=model.engine,
        token_budget=model.token_budget,
        candidates=labels,
        hypotheses=hypotheses,
        entailment=entailment,
        multi_label=multi_label,
    )


def split_candidates(given: Sequence[str] | str) -> tuple[str, ...]:
    """Return candidate labels; SettingError for none, for one that is empty or there twice."""
    parts = given.split(",") if isinstance(given, str) else given
    odd = next((each for each in parts if not isinstance(each, str)), None)
    if odd is not None:
        raise SettingError(f"candidate label {shorten(repr(odd))} is no string")
    labels = tuple(parts)
    if isinstance(given, str):
        labels = tuple(each.strip() for each in parts if each.strip())
    if not labels or not all(each.strip() for each in labels):
        raise SettingError(
            f"candidate_labels is {shorten(repr(given))}; give one label or more, none empty"
        )
    if len(labels) > MOST_LABELS:
        raise SettingError(
            f"there are {len(labels):,} candidate labels; give at most {MOST_LABELS:,}"
        )
    twice = next((each for i, each in enumerate(labels) if each in labels[:i]), None)
    if twice is not None:
        raise SettingError(f"candidate label {shorten(repr(twice))} is there twice; give it once")
    return labels


def _entailment_of(spec: ModelSpec) -> int:
    """Return the number of a model's entailment logit; SettingError where it has none."""
    found = find_entailment(spec.labels)
    is_classes = spec.task.labels_are is LabelKind.CLASSES
    if not is_classes or spec.rule.problem_type is not ProblemType.SINGLE_LABEL or found is None:
        named = f" ({', '.join(spec.labels[:3])} …)" if len(spec.labels) > 3 else ""
        named = named or (f" ({', '.join(spec.labels)})" if spec.labels else "")
        raise SettingError(
            f"candidate labels need a model of natural language inference, one of whose labels "
            f"begins with {_ENTAILMENT!r}; this one is for {spec.task}{shorten(named, 80)}"
        )
    if not spec.pair:
        raise SettingError(
            "candidate labels need a model that reads pairs, and this bundle takes single texts; "
            "export its checkpoint with --pair"
        )
    return found
