"""What an output may replace: nothing but what we wrote, and no input."""

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from bertedge.errors import OutputError, shorten

MARKER = ".bertedge-output"
"""In each directory that we write and that is no bundle: the list of its files, as JSON."""
_LISTS = (MARKER, "bertedge.json")
"""Where a directory says what was written into it: the names under each key "file"."""
_LONGEST_LIST = 2**26
"""Bytes."""
_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_folder_replaceable(output: Path, *, overwrite: bool) -> None:
    """Raise OutputError where something is at `output` that may not be given up.

    `overwrite` gives up an empty directory, and one that we wrote and that holds nothing else.
    """
    if not os.path.lexists(output):
        return
    if output.is_symlink() or not output.is_dir():
        raise OutputError(
            f"{output} is {_kind(output, follow=False)}, which no directory replaces; "
            "choose another output"
        )
    if not overwrite:
        raise OutputError(_already(output))
    if output.is_mount():
        raise OutputError(f"{output} is a mount point; choose a directory in it as the output")
    foreign = _foreign(output)
    if foreign is not None:
        raise OutputError(
            f"{output} holds {shorten(repr(foreign), 80)}, which is on no list of what bertedge "
            f"wrote there ({' or '.join(_LISTS)}), so --overwrite does not touch it; choose "
            "another output, or delete it yourself"
        )


def check_file_replaceable(output: Path, *, overwrite: bool) -> None:
    """Raise OutputError unless nothing, or with `overwrite` a regular file, is at `output`."""
    if os.path.lexists(output) and not output.is_file():
        raise OutputError(f"{output} is {_kind(output, follow=True)}; give the name of a file")
    if output.exists() and not overwrite:
        raise OutputError(_already(output))


def check_apart(output: Path, inputs: Iterable[Path | str | None]) -> None:
    """Raise OutputError where `output` is, holds or lies in an input.

    What reads an input speaks of those that do not exist; hub names are among them.
    """
    for source in inputs:
        if source is None or not os.path.lexists(source):
            continue
        around = _lies_in(source, output)
        within = _lies_in(output, source) and (around or Path(source).is_dir())
        if within or around:
            how = "is" if within and around else "lies in" if within else "holds"
            raise OutputError(f"{output} {how} the input {source}; choose another output")


def check_distinct(outputs: Iterable[Path]) -> None:
    """Raise OutputError where two of the outputs of one command are the same file."""
    seen: list[Path] = []
    for output in outputs:
        if not is_stream(output) and any(_same(output, other) for other in seen):
            raise OutputError(f"{output} is given for two outputs; give each a name of its own")
        seen.append(output)


def write_list(folder: Path) -> None:
    """Write a list of a directory's files into it, unless a bundle's manifest is one."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    if not set(names) & set(_LISTS):
        listed = {"files": [{"file": name} for name in names]}
        (folder / MARKER).write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")


def holds_only_ours(folder: Path) -> bool:
    """Return whether a directory, by its own list, holds nothing but what we wrote."""
    return _foreign(folder) is None


def is_stream(output: Path) -> bool:
    """Return whether a path is written into: a pipe, a terminal, a device, /dev/stdout's target."""
    parts = output.absolute().parts
    number = parts[:3] == ("/", "dev", "fd") or (parts[:2] == ("/", "proc") and "fd" in parts)
    standard = parts[1:] in (("dev", "stdout"), ("dev", "stderr"))
    return number or standard or output.is_fifo() or output.is_char_device()


def _already(output: Path) -> str:
    return f"{output} exists already; choose another output, or add --overwrite"


def _foreign(folder: Path) -> str | None:
    """Name something in a directory that we did not write; None where there is nothing."""
    ours = _written(folder)
    parents = {str(parent) for name in ours for parent in PurePosixPath(name).parents}
    for path in folder.rglob("*"):
        name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
        known = ours if stat.S_ISREG(mode) else parents if stat.S_ISDIR(mode) else ()
        if name not in known:
            return name
    return None


def _written(folder: Path) -> set[str]:
    """Read which files of a directory we wrote, by what it says itself."""
    names: set[str] = set()
    for path in (folder / each for each in _LISTS):
        with contextlib.suppress(OSError, ValueError, RecursionError):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode) and found.st_size <= _LONGEST_LIST:
                listed = set(_names(json.loads(path.read_text(encoding="utf-8"))))
                names |= listed | {path.name} if listed else set()
    return names


def _names(listed: object) -> Iterator[str]:
    if isinstance(listed, dict):
        if isinstance(listed.get("file"), str):
            yield listed["file"]
        listed = list(listed.values())
    if isinstance(listed, list):
        for item in listed:
            yield from _names(item)


def _kind(path: Path, *, follow: bool) -> str:
    if follow and not path.exists():
        return "a link to nothing"
    return _KINDS[stat.S_IFMT(path.stat(follow_symlinks=follow).st_mode)]


def _lies_in(path: Path | str, folder: Path | str) -> bool:
    """Return whether `path` is `folder` or below it, whatever links lead there."""
    real = Path(os.path.realpath(path))
    return any(_same(each, folder) for each in (real, *real.parents))


def _same(one: Path | str, other: Path | str) -> bool:
    try:
        return Path(one).samefile(other)
    except (OSError, ValueError):  # one is not there
        return os.path.realpath(one) == os.path.realpath(other)
