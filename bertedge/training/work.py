"""The folder that a run works in, and how an interrupted run is found again in it."""

import contextlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bertedge import records
from bertedge.errors import OutputError, SettingError
from bertedge.overwriting import check_apart
from bertedge.staging import check_folder, publish, writing

SETTINGS = "settings.json"
STATE = "trainer_state.json"
"""What Trainer writes last into a checkpoint: with it, the checkpoint is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Where a run lives until it is finished, and what becomes of it then."""

    folder: Path
    output: Path
    overwrite: bool


def check_place(output: Path, inputs: Iterable[Path | str | None], *, overwrite: bool) -> None:
    """Raise OutputError where a run cannot be written to `output`, or would cost an input."""
    inputs = tuple(inputs)
    check_folder(output, overwrite=overwrite, inputs=inputs)
    check_apart(work_folder(output), inputs)


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
def working(output: Path, *, first: bool, overwrite: bool) -> Iterator[Work]:
    """Yield the place to work in; a block that fails leaves it only where it can be resumed from.

    `first`: of the processes of a launch, the one that tidies up.
    """
    work = work_folder(output)
    try:
        with writing(output):
            yield Work(folder=work, output=output, overwrite=overwrite)
    except BaseException as error:
        resumable = newest_state(work) is not None
        if first and not resumable:
            shutil.rmtree(work, ignore_errors=True)
        if isinstance(error, OutputError) and resumable:
            raise OutputError(f"{error}; then continue with --resume") from error
        raise


@contextlib.contextmanager
def finishing(work: Work) -> Iterator[Path]:
    """Yield the path of a folder to make, which becomes the output when the block ends well.

    The work folder is given up then. Raises OutputError as `publish` does.
    """
    done = work.folder / "done"
    shutil.rmtree(done, ignore_errors=True)
    yield done
    publish(done, work.output, overwrite=work.overwrite)
    shutil.rmtree(work.folder)


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
