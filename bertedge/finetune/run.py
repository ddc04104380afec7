"""One fine-tuning run, from the labelled files to the finished checkpoint directory."""

import os
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import accelerate
import torch
import transformers

from bertedge import checkpoint as checkpoints
from bertedge import evaluation, serialization
from bertedge.checkpoint import DataFile, Setting, Training
from bertedge.checkpoint.training import path_from
from bertedge.data import ExampleFile
from bertedge.finetune import features, training
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.data import Data, open_data
from bertedge.finetune.defaults import Facts, choose_hyperparameters
from bertedge.finetune.distill import make_student
from bertedge.finetune.initialization import initialize_bias
from bertedge.finetune.inputs import Inputs, open_inputs
from bertedge.finetune.thresholds import FittedRule, fit_rule
from bertedge.progress import SILENT, Progress
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import LabelKind, ModelSpec, Task
from bertedge.training.place import check_output
from bertedge.training.run_directory import RunDirectory, open_run_directory, publish_output
from bertedge.training.third_party import quiet_libraries
from bertedge.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How the trained model decides, and how well, on the dev data where there is any."""

    fitted: FittedRule
    dev: evaluation.Evaluation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finetuned:
    """The finished run."""

    output: Path
    training: Training
    dev: evaluation.Evaluation | None


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
    sources = (config.train, config.dev, config.label_map, config.model, config.teacher)
    check_output(config.output, sources, overwrite=overwrite)
    with quiet_libraries():
        data = data or open_data(config)
        inputs = open_inputs(config, data)
        launch = accelerate.PartialState(cpu=not torch.cuda.is_available())
        if launch.is_main_process:
            own = f"; {len(inputs.labels)} labels" if config.task.fixed_labels is None else ""
            progress.say(f"{inputs.train.description}{own}")
            if inputs.dev and inputs.dev.findings:
                progress.say(f"{inputs.dev.path.name}: {inputs.dev.findings}")
            elif inputs.dev and inputs.dev.label_map != inputs.train.label_map:
                progress.say(f"{inputs.dev.path.name}: {inputs.dev.description}")
            for hint in data.hints:
                progress.say(f"{inputs.train.path.name}: {hint}")
        with open_run_directory(work, _settings(config, inputs), progress):
            return _run(config, inputs, work, progress)


def _settings(config: FinetuneConfig, inputs: Inputs) -> dict[str, Setting]:
    """What a resumed run must have in common with the interrupted one."""
    settings: dict[str, Setting] = serialization.to_plain(config)
    settings["train_sha256"] = inputs.train.sha256()
    if inputs.dev:
        settings["dev_sha256"] = inputs.dev.sha256()
    if inputs.teacher:
        settings["teacher_sha256"] = inputs.teacher.source.sha256
    return settings


def _run(
    config: FinetuneConfig, inputs: Inputs, work: RunDirectory, progress: Progress
) -> Finetuned | None:
    checkpoints.use_threads()
    tokenizer = Tokenizer(_tokenizer_json(inputs), max_length=inputs.max_length)
    train = features.build(inputs.train, inputs.labels, tokenizer, work.folder / _cache("train"))
    dev = None
    if inputs.dev:
        dev = features.build(
            inputs.dev, inputs.labels, tokenizer, work.folder / _cache("dev"), scored=True
        )
    if work.first:
        _say_lengths(config.task, train, inputs.max_length, progress)
    transformers.set_seed(config.seed)
    teacher = checkpoints.load_model(inputs.teacher, trained=True) if inputs.teacher else None
    material = training.Material(
        model=_load_base(config, inputs, teacher, train),
        tokenizer=inputs.tokenizer,
        spec=_spec(config, inputs),
        hyperparameters=choose_hyperparameters(config, _facts(inputs, train)),
        train=train,
        dev=dev,
        teacher=teacher,
        graded=(tokenizer, inputs.dev) if inputs.dev else None,
    )
    trained = training.train(config, material, work.folder, progress)
    accelerate.PartialState().wait_for_everyone()  # all have read the best weights from there
    if not work.first:
        return None
    judged = _judge(config, material, inputs, tokenizer, progress)
    record = _record(config, inputs, material, trained, judged)
    _write(material.model, inputs, record, work)
    return Finetuned(output=config.output, training=record, dev=judged.dev)


def _facts(inputs: Inputs, train: features.Features) -> Facts:
    return Facts(
        rows=train.data.num_rows,
        classes=len(inputs.labels),
        hidden_size=int(inputs.base_config.hidden_size),
        layers=int(inputs.base_config.num_hidden_layers),
    )


def _cache(split: str) -> str:
    return f"cache-{os.environ.get('RANK', '0')}-{split}"


def _tokenizer_json(inputs: Inputs) -> str:
    backend = inputs.tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    return str(backend.to_str())


def _say_lengths(task: Task, train: features.Features, max_length: int, progress: Progress) -> None:
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


def _load_base(
    config: FinetuneConfig,
    inputs: Inputs,
    teacher: transformers.PreTrainedModel | None,
    train: features.Features,
) -> transformers.PreTrainedModel:
    built = inputs.base_config
    if teacher is not None:
        return make_student(teacher, config.layers or int(built.num_hidden_layers))
    built.num_labels = len(inputs.labels)
    built.id2label = dict(enumerate(inputs.labels))
    built.label2id = {label: i for i, label in enumerate(inputs.labels)}
    texts = config.task.labels_are is LabelKind.CLASSES
    built.problem_type = config.problem_type.value if texts else None
    model, new = checkpoints.load_base(inputs.base, built, checkpoints.auto_model(config.task))
    initialize_bias(model, new, config, train)
    return model


def _judge(
    config: FinetuneConfig,
    material: training.Material,
    inputs: Inputs,
    tokenizer: Tokenizer,
    progress: Progress,
) -> Judged:
    """Settle how logits are decided on, and score that; texts are run through the model once."""
    spec = material.spec
    if inputs.dev is None:
        return Judged(fitted=FittedRule(rule=spec.rule, calibration=None), dev=None)
    model = checkpoints.row_model(material.model, spec).eval()
    engine = checkpoints.TorchEngine(model, device="auto")
    began = time.perf_counter()
    found = evaluation.TextModel(spec=spec, tokenizer=tokenizer, engine=engine)
    outputs = evaluation.collect(found, inputs.dev, progress)
    fitted = fit_rule(spec.task, spec.rule, outputs, calibrate=config.calibrate)
    seconds = time.perf_counter() - began
    return Judged(fitted=fitted, dev=evaluation.decide(spec, outputs, fitted.rule, seconds))


def _spec(config: FinetuneConfig, inputs: Inputs) -> ModelSpec:
    return ModelSpec(
        task=config.task,
        labels=inputs.labels,
        pair=inputs.train.pair,
        max_length=inputs.max_length,
        pad_token_id=int(inputs.tokenizer.pad_token_id),
        rule=config.decision(),
    )


def _record(
    config: FinetuneConfig,
    inputs: Inputs,
    material: training.Material,
    trained: training.Trained,
    judged: Judged,
) -> Training:
    settings: dict[str, Setting] = {
        name: value
        for name, value in serialization.to_plain(config).items()
        if name not in ("task", "train", "dev", "model", "output", "max_length", "label_map")
    }
    settings |= asdict(material.hyperparameters)
    settings["precision"] = trained.precision.value
    settings["teacher"] = inputs.teacher.name if inputs.teacher else None
    return Training(
        model=replace(material.spec, rule=judged.fitted.rule),
        base=Path(config.base).resolve().name if Path(config.base).is_dir() else config.base,
        train=_data_file(config.output, inputs.train, material.train),
        dev=_data_file(config.output, inputs.dev, material.dev)
        if inputs.dev and material.dev
        else None,
        settings=settings,
        seconds=round(trained.seconds, 3),
        epochs=trained.epochs,
        best_epoch=trained.best_epoch,
        truncated=material.train.truncated,
        dev_scores=judged.dev.scores if judged.dev else None,
        versions={"bertedge": __version__}
        | {name: version(name) for name in ("torch", "transformers", "datasets", "tokenizers")},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        calibration=judged.fitted.calibration,
    )


def _data_file(output: Path, examples: ExampleFile, data: features.Features) -> DataFile:
    return DataFile(
        path=path_from(output, examples.path),
        sha256=examples.sha256(),
        rows=data.rows,
        columns=examples.columns,
        label_map=dict(examples.label_map),
    )


def _write(
    model: transformers.PreTrainedModel,
    inputs: Inputs,
    record: Training,
    work: RunDirectory,
) -> None:
    with publish_output(work) as done:
        model.save_pretrained(done, safe_serialization=True)
        inputs.tokenizer.model_max_length = inputs.max_length
        inputs.tokenizer.save_pretrained(done)
        (done / checkpoints.TRAINING).write_text(serialization.to_json(record), encoding="utf-8")
