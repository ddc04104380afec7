"""Outputs that appear whole or not at all."""

import contextlib
import ctypes
import errno
import os
import re
import shutil
import signal
import stat
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from bertedge.errors import BertedgeError, OutputError
from bertedge.overwriting import (
    check_apart,
    check_file_replaceable,
    check_folder_replaceable,
    holds_only_ours,
    is_stream,
    write_list,
)


def check_folder(
    output: Path, *, overwrite: bool, inputs: Iterable[Path | str | None] = ()
) -> None:
    """Raise OutputError where the directory `output` cannot be created or may not be replaced.

    `overwrite` gives up an empty directory, and one that we wrote and that holds nothing else.
    An output is, holds and lies in none of the `inputs`.
    """
    _check_name(output)
    with writing(output):
        check_apart(output, inputs)
        remove_leftovers(output)
        check_folder_replaceable(output, overwrite=overwrite)
        _check_parent(output)


def check_file(output: Path, *, overwrite: bool, inputs: Iterable[Path | str | None] = ()) -> None:
    """Raise OutputError where the file `output` cannot be created or may not be replaced.

    `overwrite` gives up a regular file, or that to which a link leads. A pipe, a terminal and
    the null device are no files to replace but streams to write into.
    """
    _check_name(output)
    with writing(output):
        if is_stream(output):
            return
        check_apart(output, inputs)
        check_file_replaceable(output, overwrite=overwrite)
        remove_leftovers(output)
        _check_parent(output)


@contextlib.contextmanager
def staged_folder(output: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield an empty sibling of `output` that takes its name when the block ends well.

    An error or an interrupt in the block removes the sibling and leaves `output` as it was.
    Siblings that a killed process left behind are removed first. Raises OutputError as
    `check_folder` does, and for a place that is read-only or full.
    """
    check_folder(output, overwrite=overwrite)
    with _sibling_folder(output, "staging") as folder:
        yield folder
        publish(folder, output, overwrite=overwrite)


@contextlib.contextmanager
def staged_file(output: Path, *, overwrite: bool = True) -> Iterator[TextIO]:
    """Yield a UTF-8 text file that takes the name `output` when the block ends well.

    Its `buffer` takes bytes. A stream (a pipe, /dev/stdout) is written to directly; the file that a
    link points to is replaced, the link stays. Raises OutputError as `check_file` does.
    """
    check_file(output, overwrite=overwrite)
    if is_stream(output):
        # "a": /dev/stdout may be a log that >> leads to, which "w" would empty.
        with writing(output), output.open("a", encoding="utf-8", newline="\n") as file:
            yield file
        return
    output = Path(os.path.realpath(output)) if output.is_symlink() else output
    with writing(output), created_parents(output):
        part = _sibling(output, "staging")
        remove(part)
        try:
            with part.open("x", encoding="utf-8", newline="\n") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, output)
        finally:
            remove(part)


@contextlib.contextmanager
def work_folder(output: Path) -> Iterator[Path]:
    """Yield an empty sibling of `output` for intermediate files; it is removed in any case."""
    with writing(output):
        remove_leftovers(output)
    with _sibling_folder(output, "work") as folder:
        yield folder


def publish(folder: Path, output: Path, *, overwrite: bool) -> None:
    """Rename the finished `folder` to `output`, and remove what had that name before.

    Its files get the mode that a new file has, and a list of them that lets a later command
    replace the directory. Raises OutputError where `output` may not be replaced by now.
    """
    mode = stat.S_IMODE(folder.stat().st_mode) & 0o666  # the folder was made under the umask
    write_list(folder)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode)
        sync(path)
    sync(folder)
    check_folder_replaceable(output, overwrite=overwrite)
    replace_folder(folder, output)
    sync(output.absolute().parent)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or a directory's names, are on the disk."""
    if sys.platform == "win32" and path.is_dir():  # which it does not open
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system without such a promise
            raise
    finally:
        os.close(number)


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
        case errno.ENOENT if _is_created(error, output):  # as in /proc, even for root
            return f"{_existing(output)} takes no new files; choose another output"
        case errno.ENAMETOOLONG:
            return "the name is too long; choose a shorter one"
    return None


def _is_created(error: Exception, output: Path) -> bool:
    """Return whether an error is about a file that we create: a parent or a sibling of `output`."""
    if not isinstance(error, OSError) or error.filename is None:
        return False
    path = Path(os.fsdecode(error.filename))
    return path in output.absolute().parents or path.name.startswith(f".{output.name}.")


def remove_leftovers(output: Path) -> None:
    """Tidy up beside `output` after processes that are gone (`kill -9`).

    What they had staged is removed. What they were about to replace gets its name back, or is
    removed where its successor has that name by now and it holds nothing but what we wrote.
    """
    parent = output.absolute().parent
    if not os.access(parent, os.R_OK | os.W_OK | os.X_OK) or not parent.is_dir():
        return
    for path in _siblings(output, "staging") + _siblings(output, "work"):
        if not _alive(path):
            remove(path)
    aside = _aside(output)
    if aside.exists() and not os.path.lexists(output):
        os.rename(aside, output)
    elif aside.is_dir() and not aside.is_symlink() and holds_only_ours(aside):
        remove(aside)


def way_back(output: Path) -> str:
    """Name what a killed process has set aside of a missing `output`, to end a message with."""
    aside = _aside(output)
    if os.path.lexists(output) or not aside.exists():
        return ""
    return f"; a process was killed while it replaced this: rename {aside.name} to {output.name}"


def replace_folder(folder: Path, output: Path) -> None:
    """Rename `folder` to `output`, in one call where the system can; remove the old one."""
    if not os.path.lexists(output):
        os.rename(folder, output)
        return
    if not _exchange(folder, output):
        # A process killed in here leaves no output: `remove_leftovers` and `way_back` know it.
        aside = _aside(output)
        os.rename(output, aside)
        try:
            os.rename(folder, output)
        except BaseException:
            os.rename(aside, output)
            raise
        os.rename(aside, folder)
    remove(folder)


def _exchange(one: Path, other: Path) -> bool:
    """Let two directories swap names in one call; False where the system cannot."""
    if sys.platform == "win32":
        return False
    names = os.fsencode(one), os.fsencode(other)
    library = ctypes.CDLL(None)
    here, swap = -100, 2  # AT_FDCWD; RENAME_EXCHANGE, and macOS's RENAME_SWAP
    if hasattr(library, "renameat2"):
        return bool(library.renameat2(here, names[0], here, names[1], swap) == 0)
    if sys.platform == "darwin":
        return bool(library.renamex_np(*names, swap) == 0)
    return False


def _sibling(output: Path, purpose: str) -> Path:
    return output.absolute().parent / f".{output.name}.{purpose}-{os.getpid()}"


def _aside(output: Path) -> Path:
    return output.absolute().parent / f".{output.name}.replaced"


def _siblings(output: Path, purpose: str) -> list[Path]:
    # Not glob: a name may hold its special characters.
    prefix = f".{output.name}.{purpose}-"
    return [path for path in output.absolute().parent.iterdir() if path.name.startswith(prefix)]


@contextlib.contextmanager
def _sibling_folder(output: Path, purpose: str) -> Iterator[Path]:
    folder = _sibling(output, purpose)
    with writing(output), created_parents(output):
        # A leftover with our own process number: in a container every run may be process 1.
        remove(folder)
        try:
            folder.mkdir()
            yield folder
        finally:
            remove(folder)


@contextlib.contextmanager
def created_parents(output: Path) -> Iterator[None]:
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


def _check_name(output: Path) -> None:
    if output.name in ("", ".."):
        raise OutputError(f"{output} is no name for an output; give a new file or directory")


def _check_parent(output: Path) -> None:
    parent = _existing(output.absolute().parent)
    if not parent.is_dir():
        raise OutputError(f"{output} cannot be created: {parent} is not a directory")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{output} cannot be created: {parent} is read-only for this user")


def remove(path: Path) -> None:
    """Delete a file or a directory that is ours; Ctrl-C and SIGTERM wait until that is done."""
    with _undisturbed():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Put off requests to stop: an impatient second one would leave half of a folder behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda n, _: asked.append(n)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if asked:
            signal.raise_signal(asked[0])


def _existing(path: Path) -> Path:
    path = path.absolute()
    return next(each for each in (path, *path.parents) if each.exists())


def _alive(leftover: Path) -> bool:
    """Return whether the process that a sibling is named after still runs."""
    with contextlib.suppress(PermissionError, ValueError):  # another user's; no number
        try:
            os.kill(int(leftover.name.rpartition("-")[2]), 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True
