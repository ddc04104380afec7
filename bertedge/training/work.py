"""The folder that a run works in, and how an interrupted run is found again in it."""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from bertedge import records
from bertedge.errors import OutputError, SettingError
from bertedge.staging import replace_folder, writing

SETTINGS = "settings.json"
STATE = "trainer_state.json"
"""What Trainer writes last into a checkpoint: with it, the checkpoint is whole."""


def work_folder(output: Path) -> Path:
    """Name the hidden sibling of `output` that a run lives in until it is finished."""
    return output.absolute().parent / f".{output.name}.partial"


def prepare(output: Path, settings: Mapping[str, object], *, overwrite: bool, resume: bool) -> None:
    """Make the work folder, or check that the one there is of this very run.

    `settings` are plain data that the interrupted run and its continuation must have in common.
    """
    work = work_folder(output)
    path = work / SETTINGS
    if resume and path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(k for k in {**settings, **before} if settings.get(k) != before.get(k))
        if changed:
            key = changed[0]
            raise SettingError(
                f"the interrupted run had {key} {before.get(key)!r}, this has "
                f"{settings.get(key)!r}; resume with the same settings, or start again with "
                "--overwrite"
            )
        return
    if path.exists() and not overwrite and newest_state(work):
        raise OutputError(
            f"an interrupted run of {output} is in {work}; continue it with --resume, "
            "or start again with --overwrite"
        )
    with writing(output):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        path.write_text(records.to_json(settings), encoding="utf-8")


@contextlib.contextmanager
def working(output: Path, *, first: bool) -> Iterator[Path]:
    """Yield the work folder; a block that fails leaves it only where it can be resumed from.

    `first`: of the processes of a launch, the one that tidies up.
    """
    work = work_folder(output)
    try:
        with writing(output):
            yield work
    except BaseException as error:
        resumable = newest_state(work) is not None
        if first and not resumable:
            shutil.rmtree(work, ignore_errors=True)
        if isinstance(error, OutputError) and resumable:
            raise OutputError(f"{error}; then continue with --resume") from error
        raise


@contextlib.contextmanager
def finishing(work: Path, output: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the name `output` when the block ends well.

    The work folder is given up then.
    """
    done = work / "done"
    shutil.rmtree(done, ignore_errors=True)
    yield done
    replace_folder(done, output)
    shutil.rmtree(work)


def newest_state(work: Path) -> str | None:
    """Find the newest whole checkpoint of an interrupted run; remove those cut short."""
    found = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    newest = None
    for path in found:
        try:
            json.loads((path / STATE).read_text(encoding="utf-8"))
            newest = str(path)
        except (OSError, ValueError):
            shutil.rmtree(path)
    return newest
