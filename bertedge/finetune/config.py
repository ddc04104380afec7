"""What a fine-tuning run is: one flat record, from Python, a TOML file or flags."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from bertedge.columns import BadRows, Columns
from bertedge.errors import SettingError
from bertedge.fields import about, setting
from bertedge.spec import DecisionRule, LabelKind, ProblemType, Task
from bertedge.training.config import TrainingConfig

FORMATS = ("csv", "tsv", "excel", "label-text", "jsonl", "conll", "squad")


class ClassWeights(StrEnum):
    """How much an example of each class counts in the loss."""

    NONE = "none"
    BALANCED = "balanced"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig(TrainingConfig):
    """Every setting of `finetune`; each is a key of the config file and a flag of the command.

    Raises SettingError for values that cannot work, alone or together.

    Examples:
        >>> from pathlib import Path
        >>> from bertedge.finetune import FinetuneConfig
        >>> files = {"train": Path("train.csv"), "output": Path("runs/example")}
        >>> start = {"task": "text-classification", "model": "bert-base-uncased"}
        >>> config = FinetuneConfig(**start, **files)
        >>> config.epochs, config.learning_rate
        (3.0, 5e-05)
        >>> FinetuneConfig(**start, **files, epochs=-1)
        Traceback (most recent call last):
        bertedge.errors.SettingError: ...epochs...
    """

    task: Task = field(
        metadata=about(
            "text- or token-classification, intent-slots …",
            metavar="NAME",
            unset="as the file shows",
        )
    )
    problem_type: ProblemType = setting(
        ProblemType.SINGLE_LABEL, "multi_label_classification, regression.", metavar="NAME"
    )
    """Of text classification: one label a text, several, or a value."""
    train: Path = field(metadata=about("Labelled file: CSV, TSV, JSON lines, CoNLL; also .gz."))
    dev: Path | None = setting(None, "Labelled file that chooses the best epoch.")
    output: Path = field(metadata=about("Directory for the checkpoint."))
    model: str | None = setting(None, "Base model to start from.", metavar="DIR|HUB-ID")
    teacher: str | None = setting(None, "Instead: checkpoint to distill.", metavar="DIR|HUB-ID")
    """A checkpoint of this very task; the student starts as a copy with fewer layers."""
    layers: int | None = setting(
        None, "Of the teacher's, that the student keeps.", unset="all", ge=1, le=1000
    )
    """Spread evenly over the teacher's."""

    text_column: str | None = setting(None, "Text, or tokens; name or number.", metavar="NAME")
    pair_column: str | None = setting(None, "Second text of a pair.", metavar="NAME")
    label_column: str | None = setting(None, "Label, labels, value, or tags.", metavar="NAME")
    intent_column: str | None = setting(None, "Intent, beside the tags.", metavar="NAME")
    label_separator: str | None = setting(None, "Between several labels of a text.", unset="comma")
    separator: str | None = setting(None, "tab, comma, space … or itself.")
    header: bool | None = setting(None, "First line names columns?", negative="no-header")
    format: str | None = setting(None, "If the extension misleads.", choices=FORMATS)
    encoding: str | None = setting(
        None, "Of a text file: cp1252, gb18030 …", metavar="NAME", unset="utf-8"
    )
    sheet: str | None = setting(None, "Of an Excel workbook.", metavar="NAME", unset="the first")
    label_map: Path | None = setting(None, "JSON or two columns: the file's label, the model's.")
    bad_rows: BadRows = setting(
        BadRows.ERROR, "skip: leave them out and count them.", choices=tuple(BadRows)
    )
    """Whether rows that cannot be read are an error, or are left out and counted."""
    out_of_scope: str | None = setting(
        None, "Label of texts that none of ours fits.", metavar="LABEL"
    )
    """No row with it is trained on; a threshold chosen on the dev data gives it to texts of low
    scores."""

    max_length: int | None = setting(
        None, "Tokens.", unset="all that it reads; questions 384", ge=3, le=1_000_000
    )
    epochs: float = setting(3.0, "Passes over the training file.", gt=0, le=10_000)
    learning_rate: float = setting(5e-5, "Peak of AdamW's learning rate.", gt=0, le=1)
    warmup_ratio: float = setting(
        0.1, "Share of steps with a rising rate.", ge=0, le=1, formerly="warmup"
    )
    """Of the steps; the learning rate falls linearly after."""
    early_stopping_patience: int | None = setting(
        3, "Epochs without a better dev metric.", metavar="N", ge=1, le=10_000, formerly="patience"
    )
    """Evaluations without a better dev metric before training stops; None never stops early."""
    freeze: str | int | None = setting(
        None, "Not to train: embeddings, N layers.", metavar="embeddings|N"
    )
    """"embeddings", or the number of lowest layers frozen along with the embeddings."""
    class_weights: ClassWeights = setting(
        ClassWeights.NONE, "For rare classes.", metavar="none|balanced"
    )
    distillation_alpha: float = setting(
        0.5, "Share of the teacher's labels in the loss.", metavar="X", ge=0, le=1, formerly="soft"
    )
    """The labels of the file have the rest."""
    distillation_temperature: float = setting(
        2.0, "Softens the teacher's labels.", metavar="T", gt=0, le=1000, formerly="temperature"
    )
    distillation_hidden_weight: float = setting(
        1.0, "Of the hidden states' distance.", metavar="X", ge=0, le=1_000_000, formerly="hidden"
    )
    """Weight in the loss of the distance between the teacher's hidden states and the student's."""
    rdrop_alpha: float = setting(
        0.0, "R-Drop: weight of the distance of two passes.", metavar="X", ge=0, le=1000
    )
    """0: none. Every batch is run twice, so training takes nearly twice as long."""
    calibrate: bool = setting(False, "Scores that fit the dev data.")
    """Whether scores take the temperature that fits the dev data best; labels never change."""

    def __post_init__(self) -> None:
        """Check every field, and then the fields against each other."""
        TrainingConfig.__post_init__(self)
        _check_task(self)
        _check_start(self)
        _check_problem(self)
        freeze = self.freeze
        if isinstance(freeze, str) and freeze.isdigit():  # as a flag has it
            freeze = int(freeze)
            object.__setattr__(self, "freeze", freeze)
        if freeze not in (None, "embeddings") and (isinstance(freeze, str) or freeze < 0):
            raise SettingError(f"freeze is {freeze!r}; give embeddings, or a number of layers")

    @property
    def base(self) -> str:
        """What the weights start from: the model, or the teacher."""
        return self.model or self.teacher or ""

    def columns(self) -> Columns:
        """Return how the files are read."""
        return Columns(
            text=self.text_column,
            pair=self.pair_column,
            label=self.label_column,
            intent=self.intent_column,
            separator=self.separator,
            header=self.header,
            format=self.format,
            label_separator=self.label_separator,
            encoding=self.encoding,
            sheet=self.sheet,
            bad_rows=self.bad_rows,
        )

    def decision(self) -> DecisionRule:
        """Return how logits are decided on, before the dev data has set any number."""
        return DecisionRule(problem_type=self.problem_type, out_of_scope=self.out_of_scope)


def _check_task(config: FinetuneConfig) -> None:
    from bertedge.tasks import trainable_task  # brings numpy, which reading flags need not

    trainable_task(config.task)  # raises for the others


def _check_start(config: FinetuneConfig) -> None:
    """Check what the weights start from."""
    if config.model is None and config.teacher is None:
        raise SettingError("model is missing; give a base model, or a teacher to distill")
    if config.model is not None and config.teacher is not None:
        raise SettingError("a student is made of its teacher's layers; leave --model out")
    if config.layers is not None and config.teacher is None:
        raise SettingError("--layers is for a student; give --teacher, a checkpoint of this task")


def _check_problem(config: FinetuneConfig) -> None:
    """Check the settings of how texts are decided on against each other."""
    single = config.problem_type is ProblemType.SINGLE_LABEL
    texts = config.task.labels_are is LabelKind.CLASSES
    if not texts and not single:
        raise SettingError(
            f"problem_type is {config.problem_type}, which is for text-classification; "
            f"{config.task} takes none"
        )
    needs_dev = {"out_of_scope": config.out_of_scope is not None, "calibrate": config.calibrate}
    for name, asked in needs_dev.items():
        if asked and (not texts or config.problem_type is ProblemType.REGRESSION):
            raise SettingError(f"{name} is for labels of texts, which this task has not")
        if asked and config.dev is None:
            raise SettingError(f"{name} is settled on labelled dev data; give --dev FILE")
    if not single and config.out_of_scope is not None:
        raise SettingError(
            f"out_of_scope is for one label a text; with {config.problem_type} a text that "
            "nothing fits simply has no label"
        )
    classless = {
        "regression has": config.problem_type is ProblemType.REGRESSION,
        f"{config.task} has": config.task.fixed_labels is not None,
    }
    for what, asked in classless.items():
        if asked and config.class_weights is not ClassWeights.NONE:
            raise SettingError(f"class_weights is balanced, but {what} no classes")
