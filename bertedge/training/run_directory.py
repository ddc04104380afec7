"""The folder that a run works in, and how an interrupted run is found again in it."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import accelerate

from bertedge import serialization
from bertedge.errors import OutputError, SettingError
from bertedge.outputs import created_parents, publish, remove, writing
from bertedge.progress import Progress
from bertedge.training.place import run_folder
from bertedge.training.seal import SEAL, fault_of, is_sealed, write_synced

SETTINGS = "settings.json"
PREPARED = ("corpus", "tokenizer")
"""Folders of what pretraining makes of its text before the first step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """Where a run lives until it is finished, and what becomes of it then."""

    output: Path
    overwrite: bool
    resume: bool

    @property
    def first(self) -> bool:
        """Whether this process, of those of a launch, is the one that writes and tidies up."""
        return bool(accelerate.PartialState().is_main_process)

    @property
    def folder(self) -> Path:
        """The hidden sibling of the output that the run lives in."""
        return run_folder(self.output)


@contextlib.contextmanager
def open_run_directory(
    work: RunDirectory, settings: Mapping[str, object], progress: Progress
) -> Iterator[None]:
    """Make the run's folder, or find that of the interrupted run, for the time of the block.

    A block that fails leaves the folder only where it can be resumed from. `settings` are plain
    data that an interrupted run and its continuation must have in common; SettingError where
    they differ, OutputError where a run was interrupted and is to be neither resumed nor replaced.
    """
    with created_parents(work.output):
        try:
            if work.first:
                _prepare(work, settings, progress)
            accelerate.PartialState().wait_for_everyone()
            with _kept_on_full_disk(work), writing(work.output):
                yield
        except BaseException:
            if work.first and not _resumable(work.folder):
                remove(work.folder)
            raise


@contextlib.contextmanager
def publish_output(work: RunDirectory) -> Iterator[Path]:
    """Yield the path of a folder to make, which becomes the output when the block ends well.

    The work folder is given up then. Raises OutputError as `publish` does.
    """
    done = work.folder / "done"
    remove(done)
    yield done
    publish(done, work.output, overwrite=work.overwrite)
    remove(work.folder)


def newest_state(folder: Path, progress: Progress) -> Path | None:
    """Return the newest saved state that is whole, and whose best state is; None without one.

    Those that are not are removed, which is said of each that is newer.
    """
    with accelerate.PartialState().main_process_first():  # the others find what it leaves
        return _find_state(folder, progress)


def _find_state(folder: Path, progress: Progress) -> Path | None:
    faults = {step_of(path): fault_of(path) for path in _states(folder, sealed=False)}
    for step in sorted(faults, reverse=True):
        path = folder / f"checkpoint-{step}"
        fault = faults[step]
        best = None if fault else read_best(path)
        if best not in (None, step) and faults.get(best, "is missing"):
            fault = f"needs checkpoint-{best}, which {faults.get(best, 'is missing')}"
        if fault is None:
            return path
        progress.say(f"the state saved at step {step} is left out: it {fault}")
        remove(path)
    if faults:
        progress.say("no saved state is left; the run starts from the beginning")
    return None


def clear(folder: Path, progress: Progress, why: str) -> None:
    """Remove all that an interrupted run has left but its settings."""
    if _states(folder):
        progress.say(f"{why}; the run starts from the beginning")
    for path in folder.iterdir():
        if path.name != SETTINGS:
            remove(path)


def prune(folder: Path, best: int | None) -> None:
    """Remove all states but the two newest ones and the best."""
    for path in _states(folder, sealed=False)[:-2]:
        if step_of(path) != best:
            remove(path)


def read_best(state: Path) -> int | None:
    """Return the step of the best weights, where dev data choose them."""
    found = json.loads((state / "trainer_state.json").read_text(encoding="utf-8"))
    best = found["best_global_step"]
    return None if best is None else int(best)


def step_of(state: Path) -> int:
    """Return after how many steps a state was saved, by its name."""
    return int(state.name.partition("-")[2])


def _prepare(work: RunDirectory, settings: Mapping[str, object], progress: Progress) -> None:
    path = work.folder / SETTINGS
    before = _read_settings(path)
    if work.resume and before is not None:
        _compare(before, settings)
        return
    if work.resume and work.folder.exists():
        progress.say(f"no interrupted run of {work.output} is left; starting from the beginning")
    elif not work.resume and _resumable(work.folder) and not work.overwrite:
        raise OutputError(
            f"an interrupted run of {work.output} is in {work.folder}; continue it with --resume, "
            "or start again with --overwrite"
        )
    with writing(work.output):
        remove(work.folder)
        work.folder.mkdir()
        write_synced(path, serialization.to_json(settings))


def _read_settings(path: Path) -> dict[str, object] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _compare(before: Mapping[str, object], settings: Mapping[str, object]) -> None:
    for key in sorted({**settings, **before}):
        if settings.get(key) != before.get(key):
            raise SettingError(
                f"the interrupted run had {key} {before.get(key)!r}, this has "
                f"{settings.get(key)!r}; resume with the same settings, or start again with "
                "--overwrite"
            )


@contextlib.contextmanager
def _kept_on_full_disk(work: RunDirectory) -> Iterator[None]:
    try:
        yield
    except OutputError as error:
        if not _resumable(work.folder):
            raise
        raise OutputError(f"{error}; then continue with --resume") from error


def _resumable(folder: Path) -> bool:
    """Return whether a run can go on from anything in its folder: a saved state, a finished part.

    Parts lie in folders of their own, sealed when they are finished, states of theirs within.
    What is only prepared is no reason to keep a folder: it is soon made again.
    """
    parts = (path.parent for path in folder.rglob(SEAL))
    return any(is_sealed(part) for part in parts if part.name not in PREPARED)


def _states(folder: Path, *, sealed: bool = True) -> list[Path]:
    """List the saved states, oldest first; `sealed`: only those that were saved to the end."""
    found = [path for path in folder.glob("checkpoint-*") if path.name[11:].isdecimal()]
    return sorted((path for path in found if is_sealed(path) or not sealed), key=step_of)
