"""Plain text as one long memory-mapped array of tokens."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import tokenizers  # type: ignore[import-untyped]
from numpy.typing import NDArray

from bertedge.data.lines import check_file, read_lines
from bertedge.data.report import RowReport
from bertedge.errors import DataError
from bertedge.progress import Progress

LINES = 2000
"""Tokenized at a time; bounds the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The tokens of all lines in turn; only what is used of them is in memory."""

    tokens: NDArray[np.int32]
    begins: NDArray[np.bool_]
    """True for the first piece of a word, one entry a token."""
    lines: NDArray[np.int64]
    """Where each line begins, and at last where the final one ends."""
    documents: NDArray[np.int64]
    """The first line of each document, and at last the number of lines."""


def read_text(files: Iterable[Path], report: RowReport | None = None) -> Iterator[str]:
    """Yield the lines of all files, stripped; a blank line, and the end of a file, as "".

    Lines that are no text are left to `report`; without one they raise DataError.
    """
    for path in files:
        check_file(path)
        for _, line in read_lines(path, report=report):
            yield line.strip()
        yield ""


def tokenize(
    text: Iterator[str], native: tokenizers.Tokenizer, folder: Path, progress: Progress
) -> None:
    """Stream the lines of `read_text` into the files in `folder` that `open_corpus` maps.

    Raises DataError where there is no token in the text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ends, documents, blank = [0], [0], False
    progress.start("tokenizing", None, "lines")
    with (folder / "tokens").open("wb") as tokens, (folder / "begins").open("wb") as begins:
        while lines := list(itertools.islice(text, LINES)):
            encodings = iter(native.encode_batch([x for x in lines if x], add_special_tokens=False))
            for line in lines:
                blank = blank or not line
                encoding = next(encodings) if line else None
                if encoding is None or not encoding.ids:
                    continue
                if blank and len(ends) - 1 > documents[-1]:
                    documents.append(len(ends) - 1)
                blank = False
                ends.append(ends[-1] + _write(encoding, tokens, begins))
            progress.advance(len(lines))
    progress.finish()
    if len(ends) == 1:
        raise DataError("the text holds no words at all; give files of plain text")
    np.save(folder / "lines.npy", np.array(ends, np.int64))
    np.save(folder / "documents.npy", np.array([*documents, len(ends) - 1], np.int64))


def open_corpus(folder: Path) -> Corpus:
    """Map what `tokenize` wrote."""
    return Corpus(
        tokens=np.memmap(folder / "tokens", np.int32, "r"),
        begins=np.memmap(folder / "begins", np.bool_, "r"),
        lines=np.load(folder / "lines.npy"),
        documents=np.load(folder / "documents.npy"),
    )


def _write(encoding: tokenizers.Encoding, tokens: BinaryIO, begins: BinaryIO) -> int:
    words = np.array(encoding.word_ids, np.float64)  # None would become NaN
    tokens.write(np.array(encoding.ids, np.int32).tobytes())
    begins.write(np.append(True, words[1:] != words[:-1]).tobytes())
    return len(encoding.ids)
