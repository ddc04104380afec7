"""Make the labelled files of sentence scoring from question answering in SQuAD's format.

usage: python models/summary/sentences.py TRAIN TEST OUTPUT

TRAIN and TEST are SQuAD JSON, `.gz` alike. OUTPUT gets `train.tsv`, `dev.tsv` (every eighth article
of TRAIN) and `test.tsv`: a sentence, the paragraph that it is from, and whether to keep it.
"""

import gzip
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from summarize import KEEP, LEAVE, split_sentences

DEV_EVERY = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A paragraph, and what readers asked of it."""

    text: str
    sentences: tuple[str, ...]
    answered: tuple[int, ...]
    """How many questions have their answer in each sentence."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Keep the sentences that answer more than an even share of the questions."""
        share = sum(self.answered) / len(self.answered)
        return tuple(KEEP if count > share else LEAVE for count in self.answered)


def read_articles(path: Path) -> list[list[Document]]:
    """Read the paragraphs of each article; those without a question, or of one sentence, not."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    articles = json.loads(data)["data"]
    return [list(_documents(article["paragraphs"])) for article in articles]


def count_answers(text: str, sentences: Sequence[str], starts: Iterable[int]) -> tuple[int, ...]:
    """Count the answers, given by their first characters, in each sentence."""
    ends, place = [], 0
    for sentence in sentences:
        place = text.index(sentence, place) + len(sentence)
        ends.append(place)
    counts = [0] * len(sentences)
    for start in starts:
        counts[next((i for i, end in enumerate(ends) if start < end), -1)] += 1
    return tuple(counts)


def _documents(paragraphs: Sequence[Any]) -> Iterator[Document]:
    for paragraph in paragraphs:
        text = paragraph["context"]
        sentences = split_sentences(text)
        answers = [question["answers"] for question in paragraph["qas"]]
        starts = [given[0]["answer_start"] for given in answers if given]
        if starts and len(sentences) > 1:
            yield Document(
                text=text,
                sentences=tuple(sentences),
                answered=count_answers(text, sentences, starts),
            )


def write(path: Path, documents: Iterable[Document]) -> None:
    """Write a sentence and its paragraph a line."""
    lines = ["sentence\tdocument\tlabel"]
    for document in documents:
        text = " ".join(document.text.split())
        for sentence, label in zip(document.sentences, document.labels, strict=True):
            lines.append(f"{' '.join(sentence.split())}\t{text}\t{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(path.name, len(lines) - 1, "sentences", sum(line.endswith(KEEP) for line in lines), KEEP)


def main(train: str, test: str, output: str) -> None:
    """Write the three files."""
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    articles = read_articles(Path(train))
    dev = articles[::DEV_EVERY]
    rest = [article for i, article in enumerate(articles) if i % DEV_EVERY]
    for name, part in (("train", rest), ("dev", dev), ("test", read_articles(Path(test)))):
        write(folder / f"{name}.tsv", [document for article in part for document in article])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
