"""Outputs that appear whole or not at all."""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from bertedge.errors import BertedgeError, OutputError

MARKS = ("bertedge.json", "training.json", "config.json")
"""A directory with one of these files in it is a bundle or a checkpoint."""


def check_output(output: Path, *, overwrite: bool) -> None:
    """Raise OutputError where `output` exists (unless `overwrite`) or cannot be created.

    Of directories, `overwrite` gives up only bundles, checkpoints and empty ones.
    """
    if output.name in ("", ".."):
        raise OutputError(f"{output} is no name for an output; give a new file or directory")
    with writing(output):
        remove_leftovers(output)
        if os.path.lexists(output) and not overwrite:
            raise OutputError(f"{output} exists already; choose another output, or add --overwrite")
        if _is_foreign(output):
            raise OutputError(
                f"{output} is neither a bundle nor a checkpoint (it holds "
                f"{min(output.iterdir()).name}, and none of {', '.join(MARKS)}), so --overwrite "
                "does not touch it; choose another output, or delete it yourself"
            )
        parent = _existing(output.absolute().parent)
    if not parent.is_dir():
        raise OutputError(f"{output} cannot be created: {parent} is not a directory")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{output} cannot be created: {parent} is read-only for this user")


@contextlib.contextmanager
def staged_folder(output: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield an empty sibling of `output` that takes its name when the block ends well.

    An error or an interrupt in the block removes the sibling and leaves `output` as it was.
    Siblings that a killed process left behind are removed first. Raises OutputError for an
    existing output without `overwrite`, and for a place that is read-only or full.
    """
    check_output(output, overwrite=overwrite)
    with writing(output), _parents(output):
        folder = _make_sibling(output, "staging")
        try:
            yield folder
            replace_folder(folder, output)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def staged_file(output: Path, *, overwrite: bool = True) -> Iterator[IO[str]]:
    """Yield a UTF-8 text file that takes the name `output` when the block ends well.

    What is no regular file (a pipe, /dev/stdout) is written to directly; the file that a link
    points to is replaced, the link stays.
    """
    if _is_stream(output):
        # "a": /dev/stdout may be a log that >> leads to, which "w" would empty.
        with writing(output), output.open("a", encoding="utf-8", newline="\n") as file:
            yield file
        return
    if output.is_dir():
        raise OutputError(f"{output} is a directory; give the name of a file")
    output = Path(os.path.realpath(output)) if output.is_symlink() else output
    check_output(output, overwrite=overwrite)
    with writing(output), _parents(output):
        part = _sibling(output, "staging")
        try:
            with part.open("w", encoding="utf-8", newline="\n") as file:
                yield file
            os.replace(part, output)
        finally:
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def work_folder(output: Path) -> Iterator[Path]:
    """Yield an empty sibling of `output` for intermediate files; it is removed in any case."""
    with writing(output), _parents(output):
        remove_leftovers(output)
        folder = _make_sibling(output, "work")
        try:
            yield folder
        finally:
            _remove(folder)


def replace_folder(folder: Path, output: Path) -> None:
    """Give `folder` the name `output`; what had that name before is removed afterwards.

    A process killed between the two renames leaves the old folder under another name: the next
    `remove_leftovers` gives it its name back.
    """
    if not os.path.lexists(output):
        os.rename(folder, output)
        return
    old = _sibling(output, "replaced")
    os.rename(output, old)
    try:
        os.rename(folder, output)
    except BaseException:
        os.rename(old, output)
        raise
    _remove(old)


@contextlib.contextmanager
def writing(output: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into OutputErrors that name `output`."""
    try:
        yield
    except BertedgeError:
        raise
    except Exception as error:
        reason = _refusal(error, output)
        if reason is None:
            raise
        raise OutputError(f"{output} could not be written: {reason}") from error


def _refusal(error: Exception, output: Path) -> str | None:
    number = error.errno if isinstance(error, OSError) else None
    # Libraries written in Rust (safetensors, tokenizers) hand the number on in the text only.
    if match := re.search(r"\(os error (\d+)\)", str(error)):
        number = int(match[1])
    elif "inline_container.cc" in str(error):  # all that torch.save says of a short write
        number = errno.ENOSPC
    match number:
        case errno.ENOSPC | errno.EDQUOT:
            free = shutil.disk_usage(_existing(output)).free // 2**20
            return f"the disk is full ({free} MiB free); free some space or choose another output"
        case errno.EFBIG:
            return "a file would be larger than this user may write; raise the limit (ulimit -f)"
        case errno.EROFS | errno.EACCES | errno.EPERM | errno.EISDIR | errno.ENOTDIR:
            place = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
            return f"{os.strerror(number)}{place}; choose an output that this user may write"
        case errno.ENAMETOOLONG:
            return "the name is too long; choose a shorter one"
    return None


def remove_leftovers(output: Path) -> None:
    """Tidy up beside `output` after processes that are gone (`kill -9`).

    What they had staged is removed. What they were about to replace gets its name back if
    nothing has it, else it is removed.
    """
    parent = output.absolute().parent
    if not os.access(parent, os.R_OK | os.W_OK | os.X_OK) or not parent.is_dir():
        return
    for path in _siblings(output, "staging") + _siblings(output, "work"):
        if not _alive(path):
            _remove(path)
    for path in _siblings(output, "replaced"):
        if path == _sibling(output, "replaced") or not _alive(path):
            if os.path.lexists(output):
                _remove(path)
            else:
                os.rename(path, output)


def _sibling(output: Path, purpose: str) -> Path:
    return output.absolute().parent / f".{output.name}.{purpose}-{os.getpid()}"


def _siblings(output: Path, purpose: str) -> list[Path]:
    # Not glob: a name may hold its special characters.
    prefix = f".{output.name}.{purpose}-"
    return [path for path in output.absolute().parent.iterdir() if path.name.startswith(prefix)]


def _make_sibling(output: Path, purpose: str) -> Path:
    folder = _sibling(output, purpose)
    # A leftover with our own process number: in a container every run may be process 1.
    _remove(folder)
    folder.mkdir()
    return folder


@contextlib.contextmanager
def _parents(output: Path) -> Iterator[None]:
    """Create the missing parents of `output`; remove them again if the block fails."""
    missing = [folder for folder in output.absolute().parents if not folder.exists()]
    try:
        output.absolute().parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _is_foreign(output: Path) -> bool:
    """Tell a directory that none of our commands wrote: a home, a project, a disk."""
    inside = output.is_dir() and not output.is_symlink()
    names = {path.name for path in output.iterdir()} if inside else set()
    return bool(names) and names.isdisjoint(MARKS)


def _is_stream(output: Path) -> bool:
    # /dev/stdout may lead to a regular file, and even then /dev is no place to stage in.
    device = output.absolute().parts[:2] in (("/", "dev"), ("/", "proc"))
    return device or (output.exists() and not output.is_file() and not output.is_dir())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _alive(leftover: Path) -> bool:
    """Tell whether the process that a sibling is named after still runs."""
    number = leftover.name.rpartition("-")[2]
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except (PermissionError, ValueError):
        return True
    return True
