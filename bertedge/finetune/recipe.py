"""What a fine-tuning run is: one flat record, read from a TOML recipe, overridden by flags."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bertedge.data import BadRows, Columns
from bertedge.data.task import guess_task
from bertedge.errors import SettingError
from bertedge.progress import Progress, Silent
from bertedge.spec import DecisionRule, ProblemType, Task
from bertedge.training.precision import Precision
from bertedge.training.recipe import OPTIMIZER, Limits, check_given, merge, read


class ClassWeights(StrEnum):
    """How much an example of each class counts in the loss."""

    NONE = "none"
    BALANCED = "balanced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Every setting of `finetune`; each is a key of the recipe and a flag of the command."""

    task: Task
    train: Path
    output: Path
    model: str | None = None
    """The base to start from; or else `teacher` is given."""
    teacher: str | None = None
    """A checkpoint of this very task, to distill to a student of fewer layers."""
    dev: Path | None = None
    problem_type: ProblemType = ProblemType.SINGLE_LABEL
    """Of text classification: one label a text, several, or a value."""

    text_column: str | None = None
    pair_column: str | None = None
    label_column: str | None = None
    intent_column: str | None = None
    separator: str | None = None
    header: bool | None = None
    format: str | None = None
    label_separator: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    label_map: Path | None = None
    """A JSON object or two columns: what a label is called in the files, and in the model."""
    bad_rows: BadRows = BadRows.ERROR
    """Whether rows that cannot be read are an error, or are left out and counted."""
    out_of_scope: str | None = None
    """The label, in the files, of texts that none of the labels fits: no row of it is trained
    on; a threshold chosen on the dev data gives it to texts of low scores."""

    max_length: int | None = None
    """In tokens; None is the most that the model reads."""
    epochs: float = 3.0
    batch_size: int = 32
    accumulate: int = 1
    """Batches whose gradients are summed for one step of the optimizer."""
    learning_rate: float = 5e-5
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises from zero; it falls linearly after."""
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest norm of the gradient."""
    patience: int | None = 3
    """Evaluations without a better dev metric before training stops; None never stops early."""
    precision: Precision = Precision.AUTO
    freeze: str | int | None = None
    """"embeddings", or the number of lowest layers frozen along with the embeddings."""
    class_weights: ClassWeights = ClassWeights.NONE
    layers: int | None = None
    """Of the student, spread evenly over the teacher's; None keeps all."""
    temperature: float = 2.0
    """That softens the teacher's labels."""
    soft: float = 0.5
    """Share of the teacher's soft labels in the loss; the labels of the file have the rest."""
    hidden: float = 1.0
    """Weight in the loss of the distance between the teacher's hidden states and the student's."""
    calibrate: bool = False
    """Whether scores take the temperature that fits the dev data best; labels never change."""
    seed: int = 42

    @property
    def base(self) -> str:
        """What the weights start from: the model, or the teacher."""
        return self.model or self.teacher or ""

    def columns(self) -> Columns:
        """The columns asked for."""
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
        """How logits are decided on, before the dev data has set any number."""
        return DecisionRule(problem_type=self.problem_type, out_of_scope=self.out_of_scope)


_LIMITS = Limits(
    paths=("train", "dev", "label_map", "output"),
    either=("model", "teacher"),
    bounds=OPTIMIZER
    | {
        "epochs": (0.0, 10_000.0),
        "patience": (1, 10_000),
        "max_length": (3, 1_000_000),
        "layers": (1, 1000),
        "temperature": (0.0, 1000.0),
        "soft": (0.0, 1.0),
        "hidden": (0.0, 1_000_000.0),
    },
    above=("epochs", "learning_rate", "clip", "temperature"),
)


def read_recipe(
    path: Path | None, flags: Mapping[str, object], progress: Progress | None = None
) -> Recipe:
    """Merge a TOML recipe with flags; see `training.recipe.read`.

    A task that neither names is told by the training file, which is said to `progress`.
    """
    table = merge(path, flags, _LIMITS)
    train, told = table.get("train"), table.get("format")
    if table.get("task") is None and isinstance(train, str):
        check_given(Recipe, path, {**table, "task": None}, _LIMITS)
        encoding = table.get("encoding")
        task = guess_task(
            Path(train),
            told if isinstance(told, str) else None,
            encoding if isinstance(encoding, str) else None,
        )
        (progress or Silent()).say(f"task {task.value}, as {Path(train).name} shows (--task)")
        flags = {**flags, "task": task.value}
    recipe = read(Recipe, path, flags, _LIMITS)
    if recipe.task is Task.FILL_MASK:
        raise SettingError("task is fill-mask, which needs no labels: use bertedge pretrain")
    if recipe.task is Task.FEATURE_EXTRACTION:
        raise SettingError(
            "task is feature-extraction, which needs no training: export any encoder with "
            "bertedge export BASE --task feature-extraction"
        )
    if recipe.model is not None and recipe.teacher is not None:
        raise SettingError("a student is made of its teacher's layers; leave --model out")
    if recipe.layers is not None and recipe.teacher is None:
        raise SettingError("--layers is for a student; give --teacher, a checkpoint of this task")
    _check_problem(recipe)
    freeze = recipe.freeze
    if freeze is not None and freeze != "embeddings" and (isinstance(freeze, str) or freeze < 0):
        raise SettingError(f"freeze is {freeze!r}; give embeddings, or a number of layers")
    return recipe


def _check_problem(recipe: Recipe) -> None:
    """Check the settings of how texts are decided on against each other."""
    single = recipe.problem_type is ProblemType.SINGLE_LABEL
    texts = recipe.task is Task.TEXT_CLASSIFICATION
    if not texts and not single:
        raise SettingError(
            f"problem_type is {recipe.problem_type}, which is for text-classification; "
            f"{recipe.task} takes none"
        )
    needs_dev = {"out_of_scope": recipe.out_of_scope is not None, "calibrate": recipe.calibrate}
    for name, asked in needs_dev.items():
        if asked and (not texts or recipe.problem_type is ProblemType.REGRESSION):
            raise SettingError(f"{name} is for labels of texts, which this task has not")
        if asked and recipe.dev is None:
            raise SettingError(f"{name} is settled on labelled dev data; give --dev FILE")
    if not single and recipe.out_of_scope is not None:
        raise SettingError(
            f"out_of_scope is for one label a text; with {recipe.problem_type} a text that "
            "nothing fits simply has no label"
        )
    classless = {
        "regression has": recipe.problem_type is ProblemType.REGRESSION,
        "answers have": recipe.task is Task.QUESTION_ANSWERING,
    }
    for what, asked in classless.items():
        if asked and recipe.class_weights is not ClassWeights.NONE:
            raise SettingError(f"class_weights is balanced, but {what} no classes")
