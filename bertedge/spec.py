"""What a model is: its task, its labels, and how its logits are decided."""

from dataclasses import dataclass
from enum import StrEnum


class Task(StrEnum):
    """A task, by its Hugging Face name."""

    TEXT_CLASSIFICATION = "text-classification"
    """A text or a pair has a label, several, or a value: see ProblemType."""
    TOKEN_CLASSIFICATION = "token-classification"
    """Each word of a text has a tag."""
    FILL_MASK = "fill-mask"
    """A [MASK] stands for a word of the vocabulary."""
    FEATURE_EXTRACTION = "feature-extraction"
    """A text has an embedding."""
    QUESTION_ANSWERING = "question-answering"
    """A span of a context answers a question."""
    INTENT_SLOTS = "intent-slots"
    """Each text has an intent, each word a tag; one token classifier has both blocks of labels.
    The name is bertedge's, not Hugging Face's."""

    @property
    def tags_words(self) -> bool:
        """True where words have tags, and texts are read in windows, so that none is cut."""
        return self in (Task.TOKEN_CLASSIFICATION, Task.INTENT_SLOTS)

    @property
    def gives_a_row_a_token(self) -> bool:
        """True where a text has logits for each of its tokens, not for itself."""
        return self.tags_words or self in (Task.QUESTION_ANSWERING, Task.FILL_MASK)


class ProblemType(StrEnum):
    """What the logits of a text classifier stand for, by the names in Hugging Face configs."""

    SINGLE_LABEL = "single_label_classification"
    """One label a text; scores are a softmax."""
    MULTI_LABEL = "multi_label_classification"
    """None, one or more labels a text; scores are sigmoids."""
    REGRESSION = "regression"
    """A value a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRule:
    """How the logits of a text become its prediction; token labels have no such choice."""

    problem_type: ProblemType = ProblemType.SINGLE_LABEL
    """What the logits stand for."""
    temperature: float = 1.0
    """What logits are divided by before they become scores; it changes no order of labels."""
    threshold: float | None = None
    """The least score of a label that is given; None: the best label is, however low. Of a
    question: how far the score of no answer may be above the best answer's; None: any."""
    out_of_scope: str | None = None
    """The label of a text for which no label reaches the threshold; not one of the model's."""


class PoolingMode(StrEnum):
    """Which hidden states of a text its embedding is made of."""

    MEAN = "mean"
    """The mean over the tokens of a text."""
    CLS = "cls"
    """That of the first token, [CLS]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling:
    """How the last hidden states of a text become its embedding, inside the graph."""

    mode: PoolingMode = PoolingMode.MEAN
    """The mean over its tokens, special tokens included; or that of the first token, [CLS]."""
    normalized: bool = True
    """Whether the embedding is divided by its length, so that dot products are cosines."""


class Aggregation(StrEnum):
    """How token labels become entities, by the names transformers' pipeline gives them."""

    NONE = "none"
    """Every token by itself."""
    SIMPLE = "simple"
    """Adjacent tokens with one label."""
    FIRST = "first"
    """A word takes the label of its first token."""
    AVERAGE = "average"
    """A word takes the label of its tokens' mean scores."""
    MAX = "max"
    """A word takes the label of its token with the highest score."""


SPAN_LABELS = ("start", "end")
"""What the two logits of each token stand for in a model that answers questions."""
OUTSIDE = "O"
"""The tag of a word that is in no entity, in every scheme."""

Text = str | tuple[str, str]
"""One input: a text, or a pair of texts; a question comes before its context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What a bundle, a checkpoint and a training record all say of a model."""

    task: Task
    """What it does."""
    labels: tuple[str, ...]
    """In the order of the logits; none where they are of the tokenizer's vocabulary, or are an
    embedding."""
    pair: bool
    """True where the model was trained on pairs of texts."""
    max_length: int
    """Longest input in tokens, special tokens included."""
    pad_token_id: int
    """Token that shorter rows of a batch are filled with."""
    rule: DecisionRule = DecisionRule()
    """How the logits of a text become its prediction."""
    pooling: Pooling | None = None
    """What the graph makes of hidden states, for embeddings; None for other tasks."""
