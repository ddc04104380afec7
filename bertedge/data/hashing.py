"""The hash by which labelled data is known again."""

import hashlib
from pathlib import Path

from bertedge.data import parallel
from bertedge.data.lines import check_file, unreadable


def hash_examples(path: Path) -> str:
    """Hash a file's bytes, in hex; of a folder the hashes of its files, hashed.

    DataError where one is not there or cannot be read.
    """
    try:
        if path.is_dir():
            hashes = [hash_examples(part) for part in parallel.files(path)]
            return hashlib.sha256("".join(hashes).encode()).hexdigest()
        check_file(path)  # a FIFO would block
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None
