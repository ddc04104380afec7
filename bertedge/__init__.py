"""Fine-tuned BERTs as verified int8 ONNX bundles: `bertedge.load(path).predict(texts)`.

The names of this package are imported when they are asked for.
"""

import os
from typing import TYPE_CHECKING, Any, Literal, overload

from bertedge.lazy import lazy_exports
from bertedge.version import __version__

if TYPE_CHECKING:
    from os import PathLike

    from bertedge.errors import (
        BertedgeError,
        BundleError,
        CheckpointError,
        DataError,
        DeviceError,
        FaultsError,
        MissingExtraError,
        OutputError,
        SettingError,
        StoppedError,
        VerificationError,
    )
    from bertedge.explanation import Explanation, WordWeight
    from bertedge.predictions import (
        Answer,
        Answers,
        Classification,
        Embedding,
        Entities,
        Entity,
        Fill,
        FilledMasks,
        IntentSlots,
        MultiLabelClassification,
        MultipleChoice,
        Prediction,
        Ranked,
        Regression,
    )
    from bertedge.predictor import Predictor
    from bertedge.spec import Aggregation, ProblemType, Task

    Path = str | PathLike[str]

_HOMES = {
    "errors": (
        *("BertedgeError", "BundleError", "CheckpointError", "DataError", "DeviceError"),
        *("FaultsError", "MissingExtraError", "OutputError", "SettingError", "StoppedError"),
        "VerificationError",
    ),
    "predictions": (
        *("Answer", "Answers", "Classification", "Embedding", "Entities", "Entity", "Fill"),
        *("FilledMasks", "IntentSlots", "MultiLabelClassification", "MultipleChoice", "Prediction"),
        *("Ranked", "Regression"),
    ),
    "explanation": ("Explanation", "WordWeight"),
    "predictor": ("Predictor",),
    "spec": ("Aggregation", "ProblemType", "Task"),
}

__all__ = [
    "Aggregation",
    "Answer",
    "Answers",
    "BertedgeError",
    "BundleError",
    "CheckpointError",
    "Classification",
    "DataError",
    "DeviceError",
    "Embedding",
    "Entities",
    "Entity",
    "Explanation",
    "FaultsError",
    "Fill",
    "FilledMasks",
    "IntentSlots",
    "MissingExtraError",
    "MultiLabelClassification",
    "MultipleChoice",
    "OutputError",
    "Prediction",
    "Predictor",
    "ProblemType",
    "Ranked",
    "Regression",
    "SettingError",
    "StoppedError",
    "Task",
    "VerificationError",
    "WordWeight",
    "__version__",
    "load",
]

# onnxruntime's telemetry opens connections from every process that lives for a minute. It reads
# this when it is first imported, and every module of this package is imported after this one.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__getattr__ = lazy_exports(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__


@overload
def load(
    path: "Path",
    *,
    task: "Literal['text-classification', Task.TEXT_CLASSIFICATION]",
    problem_type: "Literal['multi_label_classification', ProblemType.MULTI_LABEL]",
    device: str = ...,
    threads: int | None = ...,
    variant: str | None = ...,
) -> "Predictor[MultiLabelClassification]": ...


@overload
def load(
    path: "Path",
    *,
    task: "Literal['text-classification', Task.TEXT_CLASSIFICATION]",
    problem_type: "Literal['regression', ProblemType.REGRESSION]",
    device: str = ...,
    threads: int | None = ...,
    variant: str | None = ...,
) -> "Predictor[Regression]": ...


@overload
def load(
    path: "Path",
    *,
    task: "Literal['text-classification', Task.TEXT_CLASSIFICATION]",
    problem_type: "Literal['single_label_classification', ProblemType.SINGLE_LABEL] | None" = None,
    device: str = ...,
    threads: int | None = ...,
    variant: str | None = ...,
) -> "Predictor[Classification]": ...


@overload
def load(
    path: "Path",
    *,
    task: "Literal['token-classification', Task.TOKEN_CLASSIFICATION]",
    device: str = ...,
    threads: int | None = ...,
    variant: str | None = ...,
) -> "Predictor[Entities]": ...


@overload
def load(
    path: "Path",
    *,
    task: "Literal['intent-slots', Task.INTENT_SLOTS]",
    device: str = ...,
    threads: int | None = ...,
    variant: str | None = ...,
) -> "Predictor[IntentSlots]": ...


@overload
def load(
    path: "Path",
    *,
    task: "Literal['question-answering', Task.QUESTION_ANSWERING]",
    device: str = ...,
    threads: int | None = ...,
    variant: str | None = ...,
) -> "Predictor[Answers]": ...


@overload
def load(
    path: "Path",
    *,
    task: "Literal['multiple-choice', Task.MULTIPLE_CHOICE]",
    device: str = ...,
    threads: int | None = ...,
    variant: str | None = ...,
) -> "Predictor[MultipleChoice]": ...


@overload
def load(
    path: "Path",
    *,
    task: "Literal['fill-mask', Task.FILL_MASK]",
    device: str = ...,
    threads: int | None = ...,
    variant: str | None = ...,
) -> "Predictor[FilledMasks]": ...


@overload
def load(
    path: "Path",
    *,
    task: "Literal['feature-extraction', Task.FEATURE_EXTRACTION]",
    device: str = ...,
    threads: int | None = ...,
    variant: str | None = ...,
) -> "Predictor[Embedding]": ...


@overload
def load(
    path: "Path",
    *,
    task: None = None,
    problem_type: None = None,
    device: str = ...,
    threads: int | None = ...,
    variant: str | None = ...,
) -> "Predictor[Prediction]": ...


def load(
    path: "Path",
    *,
    task: "Task | str | None" = None,
    problem_type: "ProblemType | str | None" = None,
    device: str = "auto",
    threads: int | None = None,
    variant: str | None = None,
) -> "Predictor[Any]":
    """Open the bundle at `path`, verified, ready to predict.

    `device` is "cpu", "cuda" or "auto" (CUDA where it works and the bundle has a variant for
    it); `threads` defaults to `$BERTEDGE_THREADS` or the cores this process may use; `variant`
    names one of the bundle's variants instead of the best for the device. The predictor is
    closed by `close()` or a `with` block.

    `task` is what the bundle must be for, and tells a type checker what is predicted; texts have
    one label unless `problem_type` says "multi_label_classification" or "regression".

    Examples:
        >>> import bertedge
        >>> with bertedge.load("bundles/mine", task="text-classification", threads=1) as model:
        ...     model.predict_one("play some jazz").label
        'music_play'

    Raises BundleError (missing, tampered, newer), DeviceError (provider not there),
    VerificationError (the golden inputs give other answers on this machine) and SettingError (the
    bundle is for another task).
    """
    from bertedge.predictor import Predictor

    return Predictor.open(
        path,
        task=task,
        problem_type=problem_type,
        device=device,
        threads=threads,
        variant=variant,
    )
