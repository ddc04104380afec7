"""`bertedge predict --rank` and `--against`: texts sorted by their score beside another one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bertedge.predictions import Embedding, Prediction, Ranked, Regression, Result
from bertedge.spec import Text

if TYPE_CHECKING:
    from bertedge.predictor import Predictor


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking(Result):
    """A query, and what was ranked for it, best first."""

    query: str
    ranked: tuple[Ranked, ...]


def pair_up(arguments: tuple[str, ...]) -> list[Text]:
    """Return the pairs of the query, which comes first, and each passage; UsageError for none."""
    query, *passages = arguments
    if not passages:
        raise click.UsageError("--rank takes a query and its passages; give a passage too")
    return [(query, passage) for passage in passages]


def rank(
    found: Iterator[Prediction],
    pairs: Iterator[Text],
    top_k: int | None,
    advance: Callable[[int], object],
) -> Iterator[Ranking]:
    """Yield the passages of each query, in the order in which queries first come.

    All pairs are predicted before: the rows of a query need not stand together.
    """
    queries: dict[str, list[Ranked]] = {}
    for each, pair in zip(found, pairs, strict=True):
        assert isinstance(each, Regression)
        own = queries.setdefault(pair[0], [])
        truncated = each.truncated
        own.append(Ranked(index=len(own), score=each.value, text=pair[1], truncated=truncated))
        advance(1)
    for query, own in queries.items():
        best = sorted(own, key=lambda passage: -passage.score)
        yield Ranking(query=query, ranked=tuple(best[:top_k]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar(Result):
    """A text, and the cosine of its embedding with that of another one."""

    text: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbors(Result):
    """What is most similar to one text, best first."""

    similar: tuple[Similar, ...]
    truncated: bool


def most_similar(
    predictor: "Predictor[Prediction]",
    embeddings: Iterator[Prediction],
    against: Path,
    top_k: int | None,
) -> Iterator[Neighbors]:
    """Yield the texts of the file `against` most similar to each embedding, best first."""
    from bertedge.cli.texts import read_texts
    from bertedge.data import Columns
    from bertedge.progress import Silent
    from bertedge.tasks.fill_mask import TOP_K

    texts = [str(text) for text in read_texts(against, Columns(), Silent())]
    vectors = predictor.embed(texts)
    for each in embeddings:
        assert isinstance(each, Embedding)
        scores = predictor.similarity(each.values, vectors)[0]
        best = (-scores).argsort(kind="stable")[: top_k or TOP_K].tolist()
        similar = tuple(Similar(text=texts[i], score=float(scores[i])) for i in best)
        yield Neighbors(similar=similar, truncated=each.truncated)
