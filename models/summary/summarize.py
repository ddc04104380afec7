"""Print the most telling sentences of a text, in their order, by a bundle of this recipe.

usage: python models/summary/summarize.py BUNDLE K [FILE]

Reads FILE, or standard input; needs what predicting needs: numpy, tokenizers, onnxruntime.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import bertedge
from bertedge.predictions import Classification
from bertedge.predictor import Predictor

KEEP, LEAVE = "keep", "leave"
_QUOTES = "\"'\u2018\u2019\u201c\u201d"
_WIDE = "\u3002\uff01\uff1f"
"""Full stop, exclamation and question mark of Chinese and Japanese; no space need follow."""
_WIDE_CLOSERS = "\u201d\u2019\u300d\u300f\uff09"
_END = re.compile(
    rf"[.!?]+[{_QUOTES})\]]*(?=\s+[{_QUOTES}(\[]*[^\W_a-z])"  # a capital or a digit goes on
    rf"|[{_WIDE}]+[{_WIDE_CLOSERS}]*"
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\u201c\"])(?:[A-Z]|[A-Za-z]\.[A-Za-z.]*|Dr|Mr|Mrs|Ms|Prof|St|Gen|Col|Lt|Sgt|Capt|Rev|"
    r"Jr|Sr|Mt|No|vs|etc|cf|ca?|fl|vol|pp?|approx)\.$"
)


def split_sentences(text: str) -> list[str]:
    """Cut a text into its sentences; nothing but white space between them is lost."""
    sentences, start = [], 0
    for found in _END.finditer(text):
        if not _ABBREVIATION.search(text[start : found.end()]):
            sentences.append(text[start : found.end()].strip())
            start = found.end()
    return [sentence for sentence in (*sentences, text[start:].strip()) if sentence]


def score_sentences(predictor: Predictor, text: str, sentences: Sequence[str]) -> list[float]:
    """Give each sentence's probability of being kept, read beside the text that it is from."""
    scores = []
    for prediction in predictor.predict([(sentence, text) for sentence in sentences]):
        assert isinstance(prediction, Classification)
        scores.append(prediction.scores[KEEP])
    return scores


def choose(scores: Sequence[float], count: int) -> list[int]:
    """Give the places of the best scores, in the order of the text; the earlier one of equals."""
    return sorted(sorted(range(len(scores)), key=lambda place: -scores[place])[:count])


def main(bundle: str, count: str, file: str | None = None) -> None:
    """Print a summary, a sentence a line."""
    text = Path(file).read_text(encoding="utf-8") if file else sys.stdin.read()
    sentences = split_sentences(text)
    scores = score_sentences(bertedge.load(bundle), text, sentences)
    for place in choose(scores, int(count)):
        print(sentences[place])


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
