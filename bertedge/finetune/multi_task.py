"""One encoder trained for several tasks at once, and a checkpoint for each of them.

Multi-task learning with a shared encoder and a head a task (Liu et al. 2019, "Multi-Task Deep
Neural Networks", arXiv:1901.11504, algorithm 1): each step of the optimizer is of one task, with
its loss as it is alone.
"""

from collections.abc import Mapping
from dataclasses import replace

import accelerate
import torch

from bertedge import checkpoint as checkpoints
from bertedge.checkpoint.training import SharedTask
from bertedge.errors import SettingError
from bertedge.finetune import training
from bertedge.finetune.data import Data, open_data
from bertedge.finetune.defaults import describe_chosen
from bertedge.finetune.inputs import Inputs, open_inputs
from bertedge.finetune.judging import judge
from bertedge.finetune.multi_task_config import MultiTaskConfig
from bertedge.finetune.outcome import Outcome
from bertedge.finetune.part_progress import TaskProgress
from bertedge.finetune.preparation import Prepared, load_material, prepare, settle
from bertedge.finetune.run import (
    Finetuned,
    make_record,
    resumed_settings,
    say_data,
    say_lengths,
    write_checkpoint,
)
from bertedge.finetune.shared_encoder import SharedEncoder
from bertedge.finetune.task_batches import TaskSampler
from bertedge.finetune.trained_parameters import count_parameters
from bertedge.progress import SILENT, Progress
from bertedge.training.curves import check_log_dir
from bertedge.training.place import check_output
from bertedge.training.run_directory import RunDirectory, open_run_directory, publish_output
from bertedge.training.third_party import quiet_libraries


def finetune_tasks(
    config: MultiTaskConfig,
    progress: Progress = SILENT,
    *,
    overwrite: bool = False,
    resume: bool = False,
    data: Mapping[str, Data] | None = None,
) -> dict[str, Finetuned]:
    """Train one encoder for all tasks, and leave a checkpoint for each in a folder of its name.

    The folders lie in the tasks' common output. The best epoch is that of the best mean of the
    tasks' dev metrics. All else is as in `finetune`; raises a BertedgeError for each mistake.

    Examples:
        >>> from pathlib import Path
        >>> from bertedge.finetune import FinetuneConfig, MultiTaskConfig, finetune_tasks
        >>> shared = {"model": "bert-base-uncased", "output": Path("runs/both")}
        >>> intent = FinetuneConfig(task="text-classification", train=Path("train.csv"), **shared)
        >>> tags = FinetuneConfig(task="token-classification", train=Path("tags.jsonl"), **shared)
        >>> found = finetune_tasks(MultiTaskConfig(tasks={"intent": intent, "tags": tags}))
        >>> found["tags"].output
        PosixPath('runs/both/tags')
    """
    shared, tasks = config.shared, config.checkpoints
    work = RunDirectory(output=shared.output, overwrite=overwrite, resume=resume)
    check_output(shared.output, config.sources, overwrite=overwrite)
    check_log_dir(shared.log_dir, shared.output)
    with quiet_libraries():
        data = data or {name: open_data(own) for name, own in tasks.items()}
        inputs = {name: open_inputs(own, data[name]) for name, own in tasks.items()}
        launch = accelerate.PartialState(cpu=not torch.cuda.is_available())
        if launch.num_processes > 1:
            raise SettingError(
                "several tasks are trained in one process, and this launch has "
                f"{launch.num_processes}; start bertedge without torchrun"
            )
        # Their order too: a saved state has the models by number.
        settings: dict[str, object] = {
            "tasks": list(tasks),
            "task_sampling": config.task_sampling,
        }
        for name, own in tasks.items():
            say_data(own, inputs[name], data[name], TaskProgress(progress, name))
            found = resumed_settings(own, inputs[name])
            settings |= {f"{name}.{key}": value for key, value in found.items()}
        with open_run_directory(work, settings, progress):
            return _run(config, inputs, work, progress)


def _run(
    config: MultiTaskConfig, inputs: Mapping[str, Inputs], work: RunDirectory, progress: Progress
) -> dict[str, Finetuned]:
    checkpoints.use_threads()
    prepared = {}
    for name, its in inputs.items():
        folder = work.folder / "tasks" / name
        folder.mkdir(parents=True, exist_ok=True)
        one = prepared[name] = prepare(its, folder, cached=config.shared.cache)
        say_lengths(its.train.task, one.train, its.max_length, TaskProgress(progress, name))
    material, steps = _join(config, prepared, progress)
    trained = training.train(config.shared, material, work.folder, progress)
    made = {}
    for name, (config_of_task, own) in material.tasks.items():
        outcome = Outcome(
            config=config_of_task,
            material=own,
            trained=replace(trained, parameters=count_parameters(own.model)),
        )
        made[name] = (outcome, judge(config_of_task, own, TaskProgress(progress, name)))
    every = tuple(
        SharedTask(
            name=name,
            task=outcome.config.task,
            rows=outcome.material.train.rows,
            steps=steps[name],
            metric=judged.dev.scores.metric if judged.dev and judged.dev.scores else None,
            score=judged.dev.scores.value if judged.dev and judged.dev.scores else None,
        )
        for name, (outcome, judged) in made.items()
    )
    finished = {}
    with publish_output(work) as done:
        for name, (outcome, judged) in made.items():
            record = make_record(inputs[name], outcome, judged)
            record.settings["task_sampling"] = config.task_sampling
            record = replace(record, tasks=every)
            write_checkpoint(done / name, inputs[name], outcome, record)
            output = outcome.config.output
            finished[name] = Finetuned(output=output, training=record, dev=judged.dev)
    return finished


def _join(
    config: MultiTaskConfig, prepared: Mapping[str, Prepared], progress: Progress
) -> tuple[training.Material, dict[str, int]]:
    """Load the models, one encoder for all; return with them how many steps an epoch has of each.

    The settings that are not given are those of a file of all rows.
    """
    first = next(iter(prepared.values()))
    rows = sum(each.train.epoch_rows for each in prepared.values())
    whole = replace(first.train, drawn=rows - first.train.data.num_rows)
    chosen = settle(config.shared, replace(first, train=whole))
    if told := describe_chosen(config.shared, chosen):
        progress.say(f"by the data and the base: {told}")
    tasks = {
        name: (
            own,
            replace(
                load_material(own, prepared[name], TaskProgress(progress, name)),
                hyperparameters=chosen,
            ),
        )
        for name, own in config.checkpoints.items()
    }
    sampler = TaskSampler(
        [own.train.data["length"][:] for _, own in tasks.values()],
        chosen.batch_size * config.shared.gradient_accumulation_steps,
        config.task_sampling,
    )
    steps = dict(zip(tasks, sampler.steps, strict=True))
    listed = ", ".join(f"{name} {count:,}" for name, count in steps.items())
    progress.say(f"steps of an epoch: {listed} (task_sampling)")
    model = SharedEncoder([own.model for _, own in tasks.values()])
    main = next(iter(tasks.values()))[1]
    return replace(main, model=model, sampler=sampler, tasks=tasks), steps
