"""Folders that are known to be whole: a list of their files with sizes and hashes, written last."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from bertedge import serialization
from bertedge.bundle import File, describe_file
from bertedge.outputs import sync

SEAL = "sealed.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What a folder held when it was finished."""

    files: tuple[File, ...]


def seal(folder: Path) -> None:
    """Bring a folder's files to the disk, and then the list that says that they are all there."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != SEAL)
    for path in files:
        sync(path)
    sealed = Sealed(files=tuple(describe_file(path) for path in files))
    write_synced(folder / SEAL, serialization.to_json(sealed))
    sync(folder.parent)


def is_sealed(folder: Path) -> bool:
    """Return whether a folder was finished; `fault_of` finds what befell it since."""
    return (folder / SEAL).is_file()


def fault_of(folder: Path) -> str | None:
    """Return what of a sealed folder is not as it was, in words; None where all is."""
    if not is_sealed(folder):
        return "was not saved to the end"
    try:
        listed = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        sealed = serialization.from_plain(Sealed, listed)
    except (OSError, ValueError):
        return f"has a damaged {SEAL}"
    for file in sealed.files:
        with contextlib.suppress(OSError):
            if describe_file(folder / file.file) == file:
                continue
        return f"has a damaged or missing {file.file}"
    return None


def write_synced(path: Path, text: str) -> None:
    """Write a small text file that is whole on the disk, or not there."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    sync(part)
    part.replace(path)
    sync(path.parent)
