"""What a model is: its task, its labels, and how its logits are decided."""

from dataclasses import dataclass, replace
from enum import StrEnum


class LabelKind(StrEnum):
    """What the labels of a task are, which says how its files and its logits are read."""

    CLASSES = "classes"
    """Of whole texts: one, several, or a value."""
    TAGS = "tags"
    """One a word."""
    INTENT_AND_TAGS = "intent and tags"
    """One of the text, and one a word; see `bertedge.joint_labels`."""
    SPANS = "spans"
    """Start and end of an answer in a context."""
    CHOICES = "choices"
    """Which of an input's own texts is right."""
    VOCABULARY = "vocabulary"
    """The tokens themselves."""
    VECTOR = "vector"
    """None: the outputs are an embedding."""


class Task(StrEnum):
    """A task, by its Hugging Face name; what it does stands in its module in `bertedge.tasks`."""

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
    MULTIPLE_CHOICE = "multiple-choice"
    """One of several texts goes with a context."""
    INTENT_SLOTS = "intent-slots"
    """Each text has an intent, each word a tag; one token classifier has both blocks of labels.
    The name is bertedge's, not Hugging Face's."""

    @property
    def labels_are(self) -> LabelKind:
        """The kind of its labels."""
        return _LABEL_KINDS[self]

    @property
    def tags_words(self) -> bool:
        """Whether words have tags, and texts are read in windows, so that none is cut."""
        return self.labels_are in (LabelKind.TAGS, LabelKind.INTENT_AND_TAGS)

    @property
    def has_token_logits(self) -> bool:
        """Whether a text has logits for each of its tokens, not for itself."""
        return self.tags_words or self.labels_are in (LabelKind.SPANS, LabelKind.VOCABULARY)

    @property
    def reads_single_texts(self) -> bool:
        """Whether its inputs are never pairs."""
        return self.tags_words or self.labels_are is LabelKind.VECTOR

    @property
    def reads_pairs(self) -> bool:
        """Whether the rows of its inputs are always pairs."""
        return self.labels_are in (LabelKind.SPANS, LabelKind.CHOICES)

    @property
    def fixed_labels(self) -> tuple[str, ...] | None:
        """The names of its logits where they are those of every model; None: the data's."""
        return _FIXED_LABELS.get(self.labels_are)

    @property
    def needs_labels(self) -> bool:
        """Whether it is trained on labelled data."""
        return self.fixed_labels != ()

    @classmethod
    def of(cls, kind: LabelKind) -> "Task":
        """Return the task whose labels are of this kind."""
        return next(task for task, own in _LABEL_KINDS.items() if own is kind)


_LABEL_KINDS = {
    Task.TEXT_CLASSIFICATION: LabelKind.CLASSES,
    Task.TOKEN_CLASSIFICATION: LabelKind.TAGS,
    Task.INTENT_SLOTS: LabelKind.INTENT_AND_TAGS,
    Task.QUESTION_ANSWERING: LabelKind.SPANS,
    Task.MULTIPLE_CHOICE: LabelKind.CHOICES,
    Task.FILL_MASK: LabelKind.VOCABULARY,
    Task.FEATURE_EXTRACTION: LabelKind.VECTOR,
}


SPAN_LABELS = ("start", "end")
"""What the two logits of each token stand for in a model that answers questions."""
CHOICE_LABELS = ("choice",)
"""What the one logit of each choice stands for."""
_FIXED_LABELS: dict[LabelKind, tuple[str, ...]] = {
    LabelKind.SPANS: SPAN_LABELS,
    LabelKind.CHOICES: CHOICE_LABELS,
    LabelKind.VOCABULARY: (),
    LabelKind.VECTOR: (),
}


class ProblemType(StrEnum):
    """What the logits of a text classifier stand for, by the names in Hugging Face configs."""

    SINGLE_LABEL = "single_label_classification"
    """One label a text; scores are a softmax."""
    MULTI_LABEL = "multi_label_classification"
    """None, one or more labels a text; scores are sigmoids."""
    REGRESSION = "regression"
    """A value a text."""


class Activation(StrEnum):
    """What makes the one logit of a text its value."""

    IDENTITY = "identity"
    """The logit itself."""
    SIGMOID = "sigmoid"
    """A score from 0 to 1."""
    TANH = "tanh"
    """A score from -1 to 1."""


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
    activation: Activation = Activation.IDENTITY
    """Of a value: what is made of its logit."""


class PoolingMode(StrEnum):
    """Which hidden states of a text its embedding is made of."""

    MEAN = "mean"
    """The mean over the tokens of a text."""
    CLS = "cls"
    """That of the first token, [CLS]."""
    MAX = "max"
    """The largest of each number over the tokens of a text."""
    MEAN_SQRT_LEN = "mean_sqrt_len_tokens"
    """The sum over the tokens of a text, divided by the square root of their count."""


CLASSIFIER_POOLING = (PoolingMode.MEAN, PoolingMode.CLS)
"""Those that a classifier is trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseLayer:
    """A layer between pooling and normalization, in a folder of its own in the checkpoint."""

    folder: str
    """Its name."""
    inputs: int
    """Width of what it reads."""
    size: int
    """Width of what it gives."""
    activation: str
    """By transformers' names; "linear" for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling:
    """How the last hidden states of a text become its embedding, inside the graph."""

    mode: PoolingMode = PoolingMode.MEAN
    """Which hidden states, those of special tokens included."""
    normalized: bool = True
    """Whether the embedding is divided by its length, so that dot products are cosines."""
    dense: tuple[DenseLayer, ...] = ()
    """What the pooled hidden states go through before that."""


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


OUTSIDE = "O"
"""The tag of a word that is in no entity, in every scheme."""

Text = str | tuple[str, ...]
"""One input: a text, or a pair of texts; a question comes before its context, and a context before
its choices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputShape:
    """How many texts one input of a model is made of."""

    least: int
    most: int | None
    """None: any number."""
    keys: tuple[str, ...]
    """What they are called in JSON where nothing else is said; the last has all that follow."""
    description: str
    """For messages."""

    def accepts(self, parts: int) -> bool:
        """Return whether so many texts are one input."""
        return self.least <= parts and (self.most is None or parts <= self.most)


SINGLE = InputShape(least=1, most=1, keys=("text",), description="single texts: give a string")
PAIR = InputShape(
    least=2, most=2, keys=("text", "pair"), description="pairs: give a tuple of two strings"
)
QUESTION = replace(PAIR, keys=("question", "context"))
CHOICES = InputShape(
    least=2,
    most=None,
    keys=("context", "endings"),
    description="a context with its choices: give a tuple of strings",
)


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
    """What the graph makes of hidden states, for embeddings and for the linear head of a SetFit
    model; None for others."""
    classifier_pooling: PoolingMode | None = None
    """Which hidden states a classifier of texts reads; None: what its architecture's own head does,
    which is mostly [CLS] through a layer of its own."""

    @property
    def input_shape(self) -> InputShape:
        """How many texts one input is made of."""
        own = {LabelKind.SPANS: QUESTION, LabelKind.CHOICES: CHOICES}
        return own.get(self.task.labels_are, PAIR if self.pair else SINGLE)
