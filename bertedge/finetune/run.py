"""One fine-tuning run, from the labelled files to the finished checkpoint directory."""

import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import accelerate
import torch

from bertedge import checkpoint as checkpoints
from bertedge import evaluation, serialization
from bertedge.checkpoint import DataFile, Setting, Training
from bertedge.checkpoint.tokenizer import save_tokenizer
from bertedge.checkpoint.training import path_from
from bertedge.data import ExampleFile
from bertedge.errors import SettingError
from bertedge.finetune import features, training
from bertedge.finetune.adaptation import adapt
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.data import Data, open_data
from bertedge.finetune.defaults import describe_chosen
from bertedge.finetune.distill import comparable
from bertedge.finetune.few_shot import settle_few_shot
from bertedge.finetune.folds import cross_validate, write_folds
from bertedge.finetune.head_choice import choose_head
from bertedge.finetune.inputs import Inputs, open_inputs
from bertedge.finetune.judging import Judged, judge
from bertedge.finetune.outcome import Outcome
from bertedge.finetune.preparation import Prepared, load_material, prepare
from bertedge.finetune.replay import measure_forgetting
from bertedge.finetune.search.run import search
from bertedge.finetune.search.trials import TRIALS, Trials
from bertedge.finetune.self_training import self_train
from bertedge.progress import SILENT, Progress
from bertedge.spec import LabelKind, Task
from bertedge.training.curves import CURVES, check_log_dir
from bertedge.training.place import check_output
from bertedge.training.run_directory import RunDirectory, open_run_directory, publish_output
from bertedge.training.third_party import quiet_libraries
from bertedge.version import __version__

_NOT_RECORDED = {
    *(
        "task",
        "train",
        "dev",
        "replay",
        "unlabelled",
        "model",
        "output",
        "max_length",
        "label_map",
    ),  # in other fields
    "log_dir",  # a place of this machine
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finetuned:
    """The finished run."""

    output: Path
    training: Training
    dev: evaluation.Evaluation | None
    trials: Trials | None = None
    """Of a search."""


def finetune(
    config: FinetuneConfig,
    progress: Progress = SILENT,
    *,
    overwrite: bool = False,
    resume: bool = False,
    data: Data | None = None,
) -> Finetuned | None:
    """Train as `config` says and leave the checkpoint at `config.output`.

    Everything is checked before the first step; `data` is what `open_data` gave, if it was asked.
    The run lives in a hidden sibling of the output until it is finished; `resume` continues one
    that was interrupted. In a distributed launch the processes other than the first return None.
    Raises a BertedgeError for each mistake.

    Examples:
        >>> from pathlib import Path
        >>> from bertedge.finetune import FinetuneConfig, finetune
        >>> files = {"train": Path("train.csv"), "output": Path("runs/example")}
        >>> config = FinetuneConfig(task="text-classification", model="bert-base-uncased", **files)
        >>> finetune(config).training.model.labels
        ('device_status', 'lights_off', 'music_play')
    """
    work = RunDirectory(output=config.output, overwrite=overwrite, resume=resume)
    check_output(config.output, config.sources, overwrite=overwrite)
    check_log_dir(config.log_dir, config.output)
    with quiet_libraries():
        data = data or open_data(config)
        inputs = open_inputs(config, data)
        launch = accelerate.PartialState(cpu=not torch.cuda.is_available())
        alone = [name for name in ("auto", "folds", "unlabelled") if getattr(config, name)]
        if launch.num_processes > 1 and alone:
            raise SettingError(
                f"--{alone[0]} trains in one process, and this launch has {launch.num_processes}; "
                "start bertedge without torchrun"
            )
        if launch.is_main_process:
            say_data(config, inputs, data, progress)
        with open_run_directory(work, resumed_settings(config, inputs), progress):
            return _run(config, inputs, work, progress)


def say_data(config: FinetuneConfig, inputs: Inputs, data: Data, progress: Progress) -> None:
    """Report what is trained on."""
    own = f"; {len(inputs.labels)} labels" if config.task.fixed_labels is None else ""
    progress.say(f"{inputs.train.description}{own}")
    if inputs.dev and inputs.dev.findings:
        progress.say(f"{inputs.dev.path.name}: {inputs.dev.findings}")
    elif inputs.dev and inputs.dev.label_map != inputs.train.label_map:
        progress.say(f"{inputs.dev.path.name}: {inputs.dev.description}")
    for line in data.table:
        progress.say(line)
    if inputs.old:
        new = len(set(inputs.labels) - set(inputs.old.checkpoint.model.labels))
        progress.say(
            f"{new} of the {len(inputs.labels)} labels are new; "
            f"what is forgotten is measured on {inputs.old.note}"
        )
    if inputs.unlabelled:
        progress.say(f"{inputs.unlabelled.path.name}: {inputs.unlabelled.description}")
    for hint in data.hints:
        progress.say(f"{inputs.train.path.name}: {hint}")


def resumed_settings(config: FinetuneConfig, inputs: Inputs) -> dict[str, object]:
    """Return what a resumed run must have in common with the interrupted one."""
    settings: dict[str, object] = serialization.to_plain(config)
    settings["train_sha256"] = inputs.train.sha256()
    if inputs.dev:
        settings["dev_sha256"] = inputs.dev.sha256()
    if inputs.old:
        settings["replay_sha256"] = inputs.old.replayed.sha256()
    if inputs.unlabelled:
        settings["unlabelled_sha256"] = inputs.unlabelled.sha256()
    if inputs.teachers:
        settings["teacher_sha256"] = [each.source.sha256 for each in inputs.teachers]
    return settings


def _run(
    config: FinetuneConfig, inputs: Inputs, work: RunDirectory, progress: Progress
) -> Finetuned | None:
    checkpoints.use_threads()
    if config.adapt:
        inputs = adapt(config, inputs, work.folder / "adapt", progress)
    prepared = prepare(inputs, work.folder, cached=config.cache)
    if work.first:
        say_lengths(config.task, prepared.train, inputs.max_length, progress)
    if work.first and prepared.train.pool:
        progress.say(
            f"each epoch replays {prepared.train.drawn:,} of {prepared.train.pool:,} old rows "
            "(--replay-share)"
        )
    began = time.perf_counter()
    settled, prepared = settle_few_shot(config, prepared, work.folder, progress)
    prepared = choose_head(config, prepared, progress)
    prepared = replace(prepared, seconds=time.perf_counter() - began)
    if config.auto:
        few = settled if settled.learns_from_few else None
        outcome = search(config, prepared, work.folder / "trials", progress, few=few)
    else:
        outcome = _train(settled, prepared, work.folder, progress)
        if inputs.unlabelled:
            outcome = self_train(outcome, prepared, work.folder / "self-training", progress)
    accelerate.PartialState().wait_for_everyone()  # all have read the best weights from there
    if not work.first:
        return None
    judged = (
        Judged(fitted=outcome.folds.fitted, dev=None)
        if outcome.folds
        else judge(outcome.config, outcome.material, progress)
    )
    record = make_record(inputs, outcome, judged)
    record = replace(record, seconds=round(record.seconds + prepared.seconds, 3))
    if inputs.old:
        rule = judged.fitted.rule
        forgotten = measure_forgetting(inputs.old, outcome.material, rule, progress)
        record = replace(record, forgetting=forgotten)
    with publish_output(work) as done:
        write_checkpoint(done, inputs, outcome, record)
    return Finetuned(output=config.output, training=record, dev=judged.dev, trials=outcome.trials)


def _train(config: FinetuneConfig, prepared: Prepared, folder: Path, progress: Progress) -> Outcome:
    """Train one model; where folds are asked for, on all rows as long as was best in them."""
    folds = None
    if config.folds:
        folds = cross_validate(config, prepared.inputs, folder / "folds", progress)
        config = replace(config, epochs=folds.record.epochs)
        progress.say(f"training on all rows, epochs: {folds.record.epochs:.3g}")
    material = load_material(config, prepared, progress)
    first = accelerate.PartialState().is_main_process
    if first and material.teachers and not comparable(material.model, material.teachers[0]):
        progress.say(
            f"{prepared.inputs.teachers[0].name} has another width or fewer layers than the "
            "student: hidden states are not compared, labels are"
        )
    told = describe_chosen(config, material.hyperparameters)
    if first and told:
        progress.say(f"by the data and the base: {told}")
    trained = training.train(config, material, folder, progress)
    return Outcome(config=config, material=material, trained=trained, folds=folds)


def say_lengths(task: Task, train: features.Features, max_length: int, progress: Progress) -> None:
    """Report how many texts are too long to be read whole, or at once."""
    if train.truncated and task.labels_are is LabelKind.SPANS:
        progress.say(
            f"{train.truncated:,} of {train.rows:,} training questions are too long to stand "
            f"before windows of {max_length} tokens; their ends are not seen (--max-length)"
        )
    elif train.truncated:
        share = train.truncated / train.rows
        progress.say(
            f"{train.truncated:,} of {train.rows:,} training texts ({share:.1%}) are longer than "
            f"{max_length} tokens; their ends are not seen (--max-length)"
        )
    if train.windowed:
        progress.say(
            f"{train.windowed:,} of {train.rows:,} training texts are longer than {max_length} "
            "tokens; they are read in overlapping windows"
        )


def make_record(inputs: Inputs, outcome: Outcome, judged: Judged) -> Training:
    """Return what is recorded of a run."""
    config, material, trained = outcome.config, outcome.material, outcome.trained
    settings: dict[str, Setting] = {
        name: value
        for name, value in serialization.to_plain(config).items()
        if name not in _NOT_RECORDED
    }
    settings |= asdict(material.hyperparameters)
    settings["precision"] = trained.precision.value
    if outcome.trials:
        settings |= {"auto": True, "minutes": outcome.trials.minutes}
    settings["teacher"] = tuple(each.name for each in inputs.teachers)
    return Training(
        model=replace(material.spec, rule=judged.fitted.rule),
        base=Path(config.base).resolve().name if Path(config.base).is_dir() else config.base,
        train=_data_file(config.output, inputs.train, material.train.rows),
        dev=_data_file(config.output, inputs.dev, material.dev.rows)
        if inputs.dev and material.dev
        else None,
        settings=settings,
        seconds=round(trained.seconds + material.head_seconds, 3),
        epochs=trained.epochs,
        best_epoch=trained.best_epoch,
        parameters=trained.parameters.all,
        trained_parameters=trained.parameters.trained,
        trained_layers=trained.trained_layers,
        truncated=material.train.truncated,
        dev_scores=judged.dev.scores if judged.dev else None,
        versions={"bertedge": __version__}
        | {name: version(name) for name in ("torch", "transformers", "datasets", "tokenizers")},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        calibration=judged.fitted.calibration,
        cross_validation=outcome.folds.record if outcome.folds else None,
        dev_baseline=judged.dev.baseline if judged.dev else None,
        replay=_data_file(outcome.config.output, inputs.old.replayed, outcome.material.train.pool)
        if inputs.old
        else None,
        unlabelled=_data_file(config.output, inputs.unlabelled, inputs.unlabelled.rows.count(1))
        if inputs.unlabelled and inputs.unlabelled.rows
        else None,
        self_training=outcome.self_training,
    )


def _data_file(output: Path, examples: ExampleFile, rows: int) -> DataFile:
    return DataFile(
        path=path_from(output, examples.path),
        sha256=examples.sha256(),
        rows=rows,
        columns=examples.columns,
        label_map=dict(examples.label_map),
        part=examples.part,
    )


def write_checkpoint(folder: Path, inputs: Inputs, outcome: Outcome, record: Training) -> None:
    """Write a checkpoint and what was recorded of its making into a new folder."""
    outcome.material.model.save_pretrained(folder)
    inputs.tokenizer.model_max_length = inputs.max_length
    save_tokenizer(inputs.tokenizer, folder)
    (folder / checkpoints.TRAINING).write_text(serialization.to_json(record), encoding="utf-8")
    (folder / CURVES).write_text(outcome.trained.curves, encoding="utf-8")
    if outcome.folds:
        write_folds(folder, outcome.folds, record.model)
    if outcome.trials:
        text = serialization.to_json(outcome.trials)
        (folder / TRIALS).write_text(text, encoding="utf-8")
