"""Make the labelled files of relation classification from a folder of ATIS.

usage: python models/relation/relations.py ATIS OUTPUT

ATIS holds train, dev and test, each with `seq.in` and `seq.out` (words and slot tags, `.gz` alike).
Every ordered pair of cities of a sentence becomes one text in which both are marked, with the
relation of the first to the second; OUTPUT gets a `train.jsonl`, `dev.jsonl` and `test.jsonl`.
"""

import gzip
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FIRST, SECOND = "@", "#"
"""One token each in every BERT's vocabulary, and always split from their neighbours; typed markers
such as `[E1]` are four tokens, and `[unused1]` is split like any other text."""
SPLITS = ("train", "dev", "test")
FROM, TO, STOP = "fromloc", "toloc", "stoploc"
RELATIONS = {
    (FROM, TO): "departure_of",
    (TO, FROM): "destination_of",
    (STOP, FROM): "stop_from",
    (STOP, TO): "stop_to",
    (FROM, STOP): "departure_before",
    (TO, STOP): "destination_after",
}
NONE = "none"
"""Two cities of one role, or one without a role."""


@dataclass(frozen=True, slots=True, kw_only=True)
class City:
    """The words that name a city."""

    start: int
    """The first of the words."""
    end: int
    """One past the last."""
    role: str
    """"" where the tags give it none."""


def find_cities(tags: Sequence[str]) -> list[City]:
    """List the cities of a sentence's IOB2 tags."""
    cities = []
    for start, tag in enumerate(tags):
        role, _, kind = tag.removeprefix("B-").rpartition(".")
        if not tag.startswith("B-") or kind != "city_name":
            continue
        end = start + 1
        while end < len(tags) and tags[end] == f"I-{tag.removeprefix('B-')}":
            end += 1
        cities.append(City(start=start, end=end, role=role))
    return cities


def is_clear(cities: Sequence[City]) -> bool:
    """Tell whether departures and destinations belong together.

    With two of each the tags do not say which flies where.
    """
    roles = Counter(city.role for city in cities)
    return min(roles[FROM], roles[TO]) < 2


def mark(words: Sequence[str], first: City, second: City) -> str:
    """Write a sentence with its first city between FIRST and its second between SECOND."""
    marked = list(words)
    for city, sign in sorted(((first, FIRST), (second, SECOND)), key=lambda pair: -pair[0].start):
        marked[city.start : city.end] = [sign, *words[city.start : city.end], sign]
    return " ".join(marked)


def make_examples(words: Sequence[str], tags: Sequence[str]) -> Iterator[dict[str, str]]:
    """Give a text and its relation for every ordered pair of cities."""
    if FIRST in words or SECOND in words:
        raise ValueError(f"{' '.join(words)!r} holds a marker, {FIRST} or {SECOND}, itself")
    cities = find_cities(tags)
    if not is_clear(cities):
        return
    for first, second in itertools.permutations(cities, 2):
        relation = RELATIONS.get((first.role, second.role), NONE)
        yield {"text": mark(words, first, second), "label": relation}


def read_split(folder: Path) -> Iterator[dict[str, str]]:
    """Give the examples of one split of ATIS, each text once."""
    seen = set()
    rows = zip(_lines(folder / "seq.in"), _lines(folder / "seq.out"), strict=True)
    for number, (words, tags) in enumerate(rows, 1):
        if len(words) != len(tags):
            raise ValueError(f"{folder}:{number}: {len(words)} words have {len(tags)} tags")
        for example in make_examples(words, tags):
            if example["text"] not in seen:
                seen.add(example["text"])
                yield example


def _lines(path: Path) -> Iterator[list[str]]:
    packed = path.with_name(f"{path.name}.gz")
    data = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    return (line.split() for line in data.decode("utf-8").splitlines())


def main(atis: str, output: str) -> None:
    """Write the three files."""
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        examples = list(read_split(Path(atis) / split))
        lines = [json.dumps(example, ensure_ascii=False) for example in examples]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(split, len(examples), dict(Counter(e["label"] for e in examples).most_common()))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
