"""The labels of a file beside those of a model: counted, matched by name or by id, named."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bertedge.data.duplicates import Digests
from bertedge.data.example import QuestionExample, TextExample, shorten
from bertedge.data.files import ExampleFile, read_all
from bertedge.data.report import LISTED
from bertedge.errors import LONGEST, DataError, FaultsError
from bertedge.joint_labels import PREFIX
from bertedge.spec import DecisionRule, LabelKind, ProblemType

MOST_NAMED = 8
_ID = re.compile(r"(?:LABEL_)?(0|[1-9][0-9]{0,5})")
_DIGITS = re.compile(r"[0-9]+")
_SHORTEST, _LONGEST = 4, 80
"""Of labels that are compared letter by letter: shorter ones differ by a letter on purpose."""
_FITTING = 100
"""Characters of unknown labels that one line holds beside the rest."""


@dataclass(slots=True, kw_only=True)
class Survey:
    """What a pass over a whole file found in its rows."""

    path: Path
    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """Rows (of words: words) of each label."""
    first: dict[str, int] = field(default_factory=dict)
    """The line on which each label stands first."""
    values: set[float] = field(default_factory=set)
    """Two different ones, where rows have values."""


def survey(examples: ExampleFile, digests: Digests | None = None) -> Survey:
    """Read a file to its end; all that is wrong with its rows is raised together.

    Hashes of the rows are added to `digests`.
    """
    found = Survey(path=examples.path)
    for example in read_all(examples):
        found.rows += 1
        if digests is not None:
            digests.add(example)
        if isinstance(example, QuestionExample):
            continue
        for name in example.names:
            found.counts[name] += 1
            found.first.setdefault(name, example.line)
        value = example.value if isinstance(example, TextExample) else None
        if value is not None and len(found.values) < 2:
            found.values.add(value)
    return found


def with_label_map(examples: ExampleFile, names: Mapping[str, str]) -> ExampleFile:
    """Call the labels of a file otherwise."""
    return replace(examples, label_map=tuple(names.items())) if names else examples


def match_labels(
    examples: ExampleFile,
    found: Survey,
    labels: Sequence[str],
    decision: DecisionRule,
    *,
    lacks: str = "the model does not know",
) -> ExampleFile:
    """Match the labels of a file, as `survey` found them, with those of a model.

    Labels that are ids of the model's become their names, and that is said. Raises DataError that
    names all labels that are unknown, with their counts.
    """
    known = {*labels, *(() if decision.out_of_scope is None else (decision.out_of_scope,))}
    unknown = Counter({name: count for name, count in found.counts.items() if name not in known})
    if not unknown:
        return examples
    joint = examples.task.labels_are is LabelKind.INTENT_AND_TAGS  # whose labels are of two kinds
    ids = {} if joint else _by_id(found.counts, unknown, labels)
    if not ids:
        raise _unknown(found, unknown, labels, lacks)
    start = ", ".join(f"{old} is {shorten(new)}" for old, new in list(ids.items())[:3])
    said = f"labels are taken as the ids of the model's labels: {start}"
    before = dict(examples.label_map)
    names = {old: ids.get(new, new) for old, new in before.items()} | ids
    said = f"{examples.description}; {said}{', …' if len(ids) > 3 else ''}"
    return replace(with_label_map(examples, names), description=said)


def check_known(
    examples: ExampleFile, labels: Sequence[str], decision: DecisionRule
) -> ExampleFile:
    """Read a whole labelled file and match its labels with the model's; see `match_labels`.

    All rows that cannot be read are raised together.
    """
    if examples.columns.label is None or examples.task.fixed_labels is not None:
        return examples
    found = survey(examples)
    if decision.problem_type is ProblemType.REGRESSION:
        return examples
    return match_labels(examples, found, labels, decision)


def near_equal(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Pair labels that only case, spaces, Unicode's forms or a letter tell apart.

    Numbers are told apart on purpose: "floor 1" and "floor 2" are no pair.
    """
    names: dict[str, list[str]] = defaultdict(list)
    rows: Counter[str] = Counter()
    for name, count in counts.items():
        kind = name[2:] if name[:2] in ("B-", "I-") else name.removeprefix(PREFIX)
        key = _fold(kind)
        rows[key] += count
        if kind not in names[key]:
            names[key].append(kind)
    pairs = [(same[0], other) for same in names.values() for other in same[1:]]
    shapes: dict[str, list[str]] = defaultdict(list)
    for key in names:
        if _SHORTEST <= len(key) <= _LONGEST and not _DIGITS.search(key):
            for shape in {key, *(key[:i] + key[i + 1 :] for i in range(len(key)))}:
                shapes[shape].append(key)
    close = {
        tuple(sorted((one, other), key=lambda key: (-rows[key], key)))
        for keys in shapes.values()
        for i, one in enumerate(keys)
        for other in keys[i + 1 :]
        if len(one) != len(other) or min(rows[one], rows[other]) * 10 <= rows[one] + rows[other]
    }
    return pairs + [(names[one][0], names[other][0]) for one, other in sorted(close)]


def _fold(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _by_id(counts: Iterable[str], unknown: Iterable[str], labels: Sequence[str]) -> dict[str, str]:
    """Match labels that are all ids of a model whose labels are names."""
    ids = {name: int(match[1]) for name in unknown if (match := _ID.fullmatch(name))}
    written = {name.startswith("LABEL_") for name in ids}
    taken = {label.startswith("LABEL_") for label in labels if _ID.fullmatch(label)}
    if len(ids) < len(set(counts)) or written & taken or max(ids.values()) >= len(labels):
        return {}
    return {name: labels[number] for name, number in sorted(ids.items(), key=lambda item: item[1])}


def _unknown(found: Survey, unknown: Counter[str], labels: Sequence[str], lacks: str) -> DataError:
    """Name all unknown labels: in the one line where they fit, else in lines of their own."""
    own = ", ".join(name[:20] for name in labels[:MOST_NAMED])
    own += ", …" if len(labels) > MOST_NAMED else ""
    each = [f"{shorten(name)} ({count:,})" for name, count in unknown.most_common()]
    line = min(found.first[name] for name in unknown)
    what = "the label" if len(each) == 1 else f"{len(each)} labels"
    remedy = "fix or delete these rows, or rename labels with --label-map FILE"
    fits = len(", ".join(each)) <= _FITTING
    message = (
        f"{found.path}:{line}: {lacks} {what}{' ' + ', '.join(each) if fits else ''}; its "
        f"{len(labels)} are {own}; {remedy}"
    )
    return DataError(message) if fits else FaultsError(message, _lines(each))


def _lines(items: Sequence[str]) -> tuple[str, ...]:
    """Pack items into at most LISTED lines, and say how many are left."""
    lines = [""]
    for number, item in enumerate(items):
        if len(lines[-1]) + len(item) > LONGEST - 40:
            if len(lines) == LISTED:
                lines[-1] += f"and {len(items) - number:,} more"
                break
            lines.append("")
        lines[-1] += item + ("" if number == len(items) - 1 else ", ")
    return tuple(line.rstrip() for line in lines)


def check_several(examples: ExampleFile, labels: Sequence[str], least: int) -> tuple[str, ...]:
    """Return the labels of a training file; DataError where there are fewer than `least`."""
    if len(labels) < least:
        only = f"only the label {labels[0]!r}" if labels else "no label in any row"
        wanted = "at least two" if least == 2 else "at least one"
        raise DataError(f"{examples.path} has {only}; training needs {wanted}")
    return tuple(labels)


def by_value(label: str) -> tuple[int, float, str]:
    """Return the key by which labels are sorted: numbers by value, before names."""
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)
