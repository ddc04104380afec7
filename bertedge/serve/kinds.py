"""What a model predicts: the class of its predictions, before there are any."""

from bertedge.errors import DataError
from bertedge.joint_labels import split_labels
from bertedge.predictions import (
    Answers,
    Classification,
    Embedding,
    Entities,
    FilledMasks,
    IntentSlots,
    MultiLabelClassification,
    MultipleChoice,
    Prediction,
    Regression,
)
from bertedge.serve.models import ServedModel
from bertedge.spec import LabelKind, ProblemType

_OF_TASK: dict[LabelKind, type[Prediction]] = {
    LabelKind.TAGS: Entities,
    LabelKind.INTENT_AND_TAGS: IntentSlots,
    LabelKind.SPANS: Answers,
    LabelKind.CHOICES: MultipleChoice,
    LabelKind.VOCABULARY: FilledMasks,
    LabelKind.VECTOR: Embedding,
}
_OF_CLASSES: dict[ProblemType, type[Prediction]] = {
    ProblemType.SINGLE_LABEL: Classification,
    ProblemType.MULTI_LABEL: MultiLabelClassification,
    ProblemType.REGRESSION: Regression,
}


def kind_of(model: ServedModel) -> type[Prediction]:
    """Return the class of a model's predictions."""
    spec = model.predictor.manifest.model
    found = _OF_TASK.get(spec.task.labels_are)
    return found or _OF_CLASSES[spec.rule.problem_type]


def scored_labels(model: ServedModel) -> tuple[str, ...]:
    """Return the keys of `scores`: classes or intents; none where a text has no such scores."""
    labels, kind = model.predictor.manifest.model.labels, kind_of(model)
    if kind is IntentSlots:
        return split_labels(labels).intents
    return labels if kind in (Classification, MultiLabelClassification) else ()


def embedding_size(model: ServedModel) -> int:
    """Return how many numbers an embedding has."""
    return len(model.predictor.manifest.golden.logits[0])


def check_kind(found: Prediction, kinds: type[Prediction] | tuple[type[Prediction], ...]) -> None:
    """Raise DataError for a prediction that a request was not read for."""
    if not isinstance(found, kinds):
        raise DataError("the model was replaced by one of another task meanwhile; ask again")
