"""Tokenized data of large files, kept from run to run in the user's cache folder.

A key is the hash of all that the rows depend on, so an entry is right or is not found. One that is
not whole is left out, and the data are tokenized again.
"""

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import datasets

from bertedge import serialization
from bertedge.bundle import hash_file
from bertedge.data import ExampleFile
from bertedge.finetune.features import Features
from bertedge.logs import log
from bertedge.outputs import remove
from bertedge.version import __version__

SMALLEST = 4 * 2**20
"""Bytes of a labelled file; smaller ones are tokenized in a second."""
MOST = 4 * 2**30
"""Bytes of all entries; the ones that were not used for longest go first."""
_ROWS, _FACTS = "rows.arrow", "facts.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of an entry beside its rows."""

    rows: int
    truncated: int
    windowed: int
    sha256: str
    """Of the file of rows."""


def cache_folder() -> Path | None:
    """Return where entries lie: `bertedge/tokenized` in XDG_CACHE_HOME or ~/.cache; None: nowhere.

    There is none for a user without a home.
    """
    told = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(told or Path.home() / ".cache") / "bertedge" / "tokenized"
    except RuntimeError:
        return None


def key_of(examples: ExampleFile, labels: tuple[str, ...], tokenizer: str, **more: object) -> str:
    """Hash the labelled file, how it is read, the labels, the tokenizer and what else matters."""
    libraries = {name: version(name) for name in ("datasets", "tokenizers")}
    facts = {
        "versions": {"bertedge": __version__, **libraries},
        "file": examples.sha256(),
        "columns": serialization.to_plain(examples.columns),
        "rows": hashlib.sha256(examples.rows or b"").hexdigest(),
        "label_map": examples.label_map,
        "task": [examples.task, examples.problem_type, examples.pair],
        "labels": labels,
        "tokenizer": tokenizer,
        **more,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def is_large(examples: ExampleFile) -> bool:
    """Return whether tokenizing the file takes so long that it is worth an entry."""
    return examples.path.is_file() and examples.path.stat().st_size >= SMALLEST


def load(key: str) -> Features | None:
    """Return the data of an entry; None where there is none that is whole."""
    folder = cache_folder()
    entry = None if folder is None else folder / key
    if entry is None or not entry.is_dir():
        return None
    try:
        facts = serialization.from_plain(Facts, json.loads((entry / _FACTS).read_text("utf-8")))
        if hash_file(entry / _ROWS) != facts.sha256:
            raise ValueError("its rows are not those that were written")
        data = datasets.Dataset.from_file(str(entry / _ROWS)).remove_columns("flag")
        os.utime(entry)
    except (OSError, ValueError) as error:
        log(__name__, "%s cannot be used: %s", entry, error)
        return None
    return Features(data=data, rows=facts.rows, truncated=facts.truncated, windowed=facts.windowed)


def store(key: str, features: Features) -> None:
    """Keep tokenized data, whose Arrow file is where `features.build` left it."""
    folder = cache_folder()
    if folder is None or int(os.environ.get("RANK", "0")):
        return
    source = Path(features.data.cache_files[0]["filename"])
    try:
        if source.stat().st_size > MOST:
            return
        folder.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        try:
            shutil.copyfile(source, made / _ROWS)
            facts = Facts(
                rows=features.rows,
                truncated=features.truncated,
                windowed=features.windowed,
                sha256=hash_file(made / _ROWS),
            )
            (made / _FACTS).write_text(serialization.to_json(facts), "utf-8")
            remove(folder / key)
            made.rename(folder / key)
        finally:
            remove(made)
        _prune(folder)
    except OSError as error:  # a full disk, or a folder that is another's: nothing is kept
        log(__name__, "tokenized data cannot be kept in %s: %s", folder, error)


def _prune(folder: Path) -> None:
    entries = sorted(folder.glob("[!.]*"), key=lambda entry: -entry.stat().st_mtime)
    total = 0
    for entry in entries:
        total += sum(file.stat().st_size for file in entry.glob("*"))
        if total > MOST:
            remove(entry)
