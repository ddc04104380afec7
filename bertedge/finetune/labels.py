"""The labels that a model learns: found in the training file, and held against the dev file."""

import math

from bertedge.data import ExampleFile
from bertedge.data.duplicates import Digests
from bertedge.data.example import shorten
from bertedge.data.labels import Survey, match_labels, near_equal, survey
from bertedge.errors import DataError
from bertedge.spec import DecisionRule, ProblemType
from bertedge.tasks import trainable_task

PLAIN = DecisionRule()
MOST_PAIRS = 5
"""Of nearly equal labels that are named."""


def find_labels(examples: ExampleFile, rule: DecisionRule = PLAIN) -> tuple[str, ...]:
    """Collect the labels of a training file, in the order the model will number them.

    Numbers sort by value. Tags are O, then B- and I- of each entity type in the file; intents
    come before them. Raises DataError where there is nothing to tell apart.
    """
    return settle_labels(examples, survey(examples), rule)


def settle_labels(examples: ExampleFile, rows: Survey, rule: DecisionRule) -> tuple[str, ...]:
    """Return the labels that a survey found, in the model's order; see `find_labels`."""
    return trainable_task(examples.task).labels_of(examples, rows, rule)


def check_labels(
    examples: ExampleFile,
    labels: tuple[str, ...],
    rule: DecisionRule = PLAIN,
    digests: Digests | None = None,
) -> ExampleFile:
    """Match the labels of the dev file with the training file's; DataError names the unknown.

    Where texts may be out of scope, there must be rows of both kinds to tell apart. Hashes of the
    rows are added to `digests`.
    """
    found = survey(examples, digests)
    if examples.task.fixed_labels is not None:
        return examples  # what is right of a row is found in the row
    if rule.problem_type is not ProblemType.REGRESSION:
        examples = match_labels(
            examples, found, labels, rule, lacks="the training file does not have"
        )
    outside = found.counts[rule.out_of_scope] if rule.out_of_scope is not None else 0
    if rule.out_of_scope is not None and outside in (0, found.rows):
        what = f"{examples.path} has" if examples.part is None else "the rows held out have"
        raise DataError(
            f"{what} {'only' if outside else 'no'} rows with the label "
            f"{rule.out_of_scope!r}; a threshold is chosen between such and others: add some"
        )
    return examples


def hints(rows: Survey, rule: DecisionRule) -> list[str]:
    """Return what may be wrong with the labels of a training file, a line each."""
    if rule.problem_type is ProblemType.REGRESSION:
        return []
    pairs = near_equal(rows.counts)
    lines = []
    if pairs:
        listed = ", ".join(f"{shorten(a)} and {shorten(b)}" for a, b in pairs[:MOST_PAIRS])
        more = f" and {len(pairs) - MOST_PAIRS} more pairs" if len(pairs) > MOST_PAIRS else ""
        lines.append(f"labels that are nearly equal: {listed}{more}; rename with --label-map FILE")
    values = [_value(label) for label in rows.counts]
    numbers = [value for value in values if value is not None]
    if len(numbers) == len(values) and any(not value.is_integer() for value in numbers):
        lines.append(
            f"the {len(numbers)} labels are numbers with decimals; to predict values say "
            f"--problem-type {ProblemType.REGRESSION}"
        )
    return lines


def _value(label: str) -> float | None:
    try:
        value = float(label.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
