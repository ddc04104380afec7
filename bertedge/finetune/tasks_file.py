"""A config file with several tasks: what they share, and a table [tasks.NAME] for each."""

from collections.abc import Mapping
from pathlib import Path

from bertedge.errors import SettingError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.data import settle_config
from bertedge.finetune.multi_task_config import TASK_SAMPLING, MultiTaskConfig
from bertedge.finetune.part_progress import TaskProgress
from bertedge.progress import SILENT, Progress
from bertedge.training.config_file import given, read_toml, settle


def read_tasks(
    path: Path | None, flags: Mapping[str, object], progress: Progress = SILENT
) -> MultiTaskConfig | None:
    """Return the tasks of a TOML file; None where it is of one task.

    Keys above the tables hold for all tasks, those of a table for its task before them, and flags
    (None: not given) before both. Raises SettingError as `read_config` does, and names the task.
    """
    shared = {} if path is None else read_toml(path)
    if path is None or "tasks" not in shared:
        return None
    tables, sampling = shared.pop("tasks"), shared.pop("task_sampling", TASK_SAMPLING)
    if not isinstance(tables, dict) or not all(isinstance(each, dict) for each in tables.values()):
        raise SettingError(f"{path}: tasks is no table of tables; write [tasks.NAME] for each task")
    common = settle(FinetuneConfig, path, shared)
    found = {}
    for name, own in tables.items():
        table = common | settle(FinetuneConfig, path, own) | given(flags)
        try:
            found[name] = settle_config(table, TaskProgress(progress, name))
        except SettingError as error:
            raise SettingError(f"task {name[:40]}: {error}") from None
    return MultiTaskConfig(tasks=found, task_sampling=sampling)  # type: ignore[arg-type]
