"""What a report says: the record that the page, the terminal and `--json` show."""

from dataclasses import dataclass

from bertedge.metrics import AnyScores
from bertedge.metrics.calibration import CalibrationError
from bertedge.report.intervals import Interval

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the file."""

    place: str
    """The line on which it begins; of questions their id or line."""
    texts: tuple[str, ...]
    gold: str
    predicted: str
    score: float
    """How sure the model is; of values how far the value is off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Some of the rows, and the metric of them."""

    name: str
    rows: int
    metric: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Slicing:
    """The rows cut by something."""

    by: str
    slices: tuple[Slice, ...]
    gap: Interval | None = None
    """Of groups: the best one's metric minus the worst one's."""
    best: str = ""
    worst: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbed:
    """The same texts, changed in a way that should not change what is right."""

    name: str
    example: tuple[str, str]
    """A text before and after."""
    value: float
    change: Interval
    """Of the metric, from the same texts unchanged."""
    answers_changed: float
    """Share of texts of which another answer is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Robustness:
    """What changed texts do to the metric."""

    rows: int
    """Drawn from the file."""
    value: float
    """Of the texts unchanged."""
    kinds: tuple[Perturbed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Predictions of like confidence."""

    low: float
    high: float
    count: int
    confidence: float
    """The mean."""
    right: float
    """The share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A row whose label is likely wrong."""

    place: str
    texts: tuple[str, ...]
    gold: str
    likelier: str
    quality: float
    """Of the label, from 0 to 1; cleanlab's label quality score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """Labels that are likely wrong, the likeliest first."""

    source: str
    """Of the probabilities that they were judged by; or why they were not judged."""
    count: int | None
    """How many confident learning takes for wrong; None where they were not judged."""
    listed: tuple[Doubt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Texts that are there more than once, but for case and spaces."""

    repeated: int
    """Rows whose texts stand in an earlier row."""
    contradicting: int
    """Rows whose texts have another label somewhere else."""
    train: str | None
    """The training file; None where it is not known or not there."""
    in_train: int | None
    """Rows whose texts stand in the training file."""
    fresh: Slice | None
    """The rows that do not, where some do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A column of `training.csv`."""

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningPoint:
    """The metric of a model that was trained on so many rows."""

    rows: int
    metric: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningCurve:
    """How the metric grows with the training rows."""

    points: tuple[LearningPoint, ...]
    """The fewest rows first; the last one is the model itself."""
    twice: Interval
    """What twice its rows may add to the metric, drawn out from the last points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Another model on the same rows."""

    name: str
    value: float
    change: Interval
    """The model's metric minus this one's."""
    same: float
    """Share of rows that both answer alike."""
    only_model: int
    """Rows that only the model has right."""
    only_other: int
    changed: tuple[Row, ...]
    """Rows that the other has right and the model has wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that is said of one model on one file."""

    schema: int
    model: str
    variant: str
    """The bundle's variant, or "checkpoint"."""
    data: str
    task: str
    columns: tuple[str, ...]
    """What the texts of a row are called."""
    rows: int
    metric: str
    value: Interval
    commonest: str | None
    """The commonest label, where each text has one."""
    always_commonest: float | None
    """The accuracy of always answering that."""
    answered: int | None
    """How many labels the model gives at all."""
    scores: AnyScores
    calibration: CalibrationError | None
    bins: tuple[Bin, ...]
    truncated: int
    max_length: int
    wrong: int
    errors: tuple[Row, ...]
    """The rows that are wrong, surest first; at most 200."""
    slicings: tuple[Slicing, ...]
    robustness: Robustness | None
    fairness: tuple[Slicing, ...]
    duplicates: Duplicates | None
    doubts: Doubts | None
    curves: tuple[Curve, ...]
    learning_curve: LearningCurve | None
    comparison: Comparison | None
    command: str
    created: str
    version: str
