"""What a fine-tuning run is: one flat record, from Python, a TOML file or flags."""

from dataclasses import dataclass
from pathlib import Path

from bertedge.errors import SettingError
from bertedge.fields import setting
from bertedge.finetune.settings.adaptation import AdaptationConfig, check_adaptation
from bertedge.finetune.settings.adapters import AdaptersConfig, check_adapters
from bertedge.finetune.settings.augmentation import AugmentationConfig, check_augmentation
from bertedge.finetune.settings.combinations import check_together
from bertedge.finetune.settings.continual import ContinualLearningConfig, check_continual
from bertedge.finetune.settings.data import DataConfig, check_data
from bertedge.finetune.settings.distillation import DistillationConfig, check_distillation
from bertedge.finetune.settings.few_shot import FewShotConfig, check_few_shot
from bertedge.finetune.settings.optimization import OptimizationConfig
from bertedge.finetune.settings.regularization import (
    ClassWeights,
    RegularizationConfig,
    check_regularization,
)
from bertedge.finetune.settings.search import SearchConfig, check_search
from bertedge.finetune.settings.self_training import SelfTrainingConfig, check_self_training
from bertedge.finetune.settings.trained import TrainedParametersConfig, check_trained
from bertedge.spec import CLASSIFIER_POOLING, DecisionRule, LabelKind, PoolingMode, ProblemType
from bertedge.training.config import TrainingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class FinetuneConfig(
    TrainingConfig,
    DistillationConfig,
    AugmentationConfig,
    RegularizationConfig,
    AdaptersConfig,
    TrainedParametersConfig,
    ContinualLearningConfig,
    SelfTrainingConfig,
    AdaptationConfig,
    OptimizationConfig,
    FewShotConfig,
    SearchConfig,
    DataConfig,  # the last one's fields come first
):
    """Every setting of `finetune`; each is a key of the config file and a flag of the command.

    Raises SettingError for values that cannot work, alone or together.

    Examples:
        >>> from pathlib import Path
        >>> from bertedge.finetune import FinetuneConfig
        >>> files = {"train": Path("train.csv"), "output": Path("runs/example")}
        >>> start = {"task": "text-classification", "model": "bert-base-uncased"}
        >>> config = FinetuneConfig(**start, **files)
        >>> config.epochs, config.learning_rate
        (None, None)
        >>> FinetuneConfig(**start, **files, epochs=-1)
        Traceback (most recent call last):
        bertedge.errors.SettingError: ...epochs...
    """

    model: str | None = setting(None, "Base model to start from.", metavar="DIR|HUB-ID")
    max_length: int | None = setting(
        None, "Tokens.", unset="all that it reads; questions 384", ge=3, le=1_000_000
    )
    pooling: PoolingMode | None = setting(
        None,
        "What a classifier of texts reads.",
        choices=CLASSIFIER_POOLING,
        unset="by the base and the data",
    )
    """cls: the head of the architecture, which reads [CLS]. mean: a linear layer on the mean of the
    last hidden states, which a base of sentence embeddings was trained to be read by."""
    calibrate: bool = setting(False, "Scores that fit the dev data.")
    """Whether scores take the temperature that fits the dev data best; labels never change."""

    def __post_init__(self) -> None:
        """Check every field, and then the fields against each other."""
        TrainingConfig.__post_init__(self)
        _check_task(self)
        _check_start(self)
        check_data(self)
        check_search(self)
        check_continual(self)
        check_adaptation(self)
        check_self_training(self)
        _check_problem(self)
        check_trained(self)
        check_few_shot(self)
        check_regularization(self)
        check_adapters(self)
        check_augmentation(self)
        check_distillation(self)
        check_together(self)

    @property
    def base(self) -> str:
        """What the weights start from: the model, or the first teacher."""
        return self.model or next(iter(self.teacher), "")

    @property
    def sources(self) -> tuple[Path | str | None, ...]:
        """All that is read."""
        files = (self.train, self.dev, self.label_map, self.replay, self.unlabelled)
        return (*files, self.model, *self.teacher)

    def decision(self) -> DecisionRule:
        """Return how logits are decided on, before the dev data has set any number."""
        return DecisionRule(problem_type=self.problem_type, out_of_scope=self.out_of_scope)


def _check_task(config: FinetuneConfig) -> None:
    from bertedge.tasks import trainable_task  # brings numpy, which reading flags need not

    trainable_task(config.task)  # raises for the others


def _check_start(config: FinetuneConfig) -> None:
    """Check what the weights start from."""
    if config.model is None and not config.teacher:
        raise SettingError("model is missing; give a base model, or a teacher to distill")


def _check_problem(config: FinetuneConfig) -> None:
    """Check the settings of how texts are decided on against each other."""
    single = config.problem_type is ProblemType.SINGLE_LABEL
    texts = config.task.labels_are is LabelKind.CLASSES
    if not texts and not single:
        raise SettingError(
            f"problem_type is {config.problem_type}, which is for text-classification; "
            f"{config.task} takes none"
        )
    if config.pooling is not None and not texts:
        raise SettingError(f"pooling is for text-classification; {config.task} takes none")
    needs_dev = {"out_of_scope": config.out_of_scope is not None, "calibrate": config.calibrate}
    for name, asked in needs_dev.items():
        if asked and (not texts or config.problem_type is ProblemType.REGRESSION):
            raise SettingError(f"{name} is for labels of texts, which this task has not")
        if asked and config.dev is None and not (config.holds_out or config.folds):
            raise SettingError(
                f"{name} is settled on labelled dev data; give --dev FILE, or leave --dev-share out"
            )
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
