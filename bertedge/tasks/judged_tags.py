"""Tags of one text beside those that are right: the entities that only one of the two has."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bertedge.spec import OUTSIDE
from bertedge.tasks.contract import Judged
from bertedge.unspaced import join_words


def judge_tags(
    words: Sequence[str], right: Sequence[str], said: Sequence[str], sure: NDArray[np.float64]
) -> Judged:
    """Compare the entities of one text, given the score of each word's tag."""
    spans = [tag_spans(tags) for tags in (right, said)]
    differ = np.array(right) != np.array(said)
    wrong = spans[0] != spans[1]
    text, places = join_words(words)
    gold, predicted = (
        "; ".join(
            f"{kind}: {text[places[start][0] : places[end - 1][1]]}"
            for start, end, kind in one
            if (start, end, kind) not in other
        )
        for one, other in (spans, reversed(spans))
    )
    score = float(sure[differ].max() if wrong else sure.min(initial=1.0))
    return Judged(gold=gold, predicted=predicted, wrong=wrong, score=score)


def tag_spans(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """Return first word, one past the last word and type of each entity of IOB2 tags."""
    spans: list[tuple[int, int, str]] = []
    open_kind = ""
    for place, tag in enumerate(tags):
        kind = "" if tag == OUTSIDE else tag[2:] if tag[:2] in ("B-", "I-") else tag
        if kind and kind == open_kind and not tag.startswith("B-"):
            spans[-1] = (spans[-1][0], place + 1, kind)
        elif kind:
            spans.append((place, place + 1, kind))
        open_kind = kind
    return spans
