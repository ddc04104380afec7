"""The labels that a model learns: found in the training file, and held against the dev file."""

import math

from bertedge.data import BadRows, ExampleFile, QuestionExample
from bertedge.data.example import shorten
from bertedge.data.labels import Survey, match_labels, near_equal, survey
from bertedge.errors import DataError
from bertedge.heads import PREFIX, has_intents, intent_label
from bertedge.spec import OUTSIDE, SPAN_LABELS, DecisionRule, ProblemType, Task

PLAIN = DecisionRule()
MOST_PAIRS = 5
"""Of nearly equal labels that are named."""
MOST_LOST = 0.01
"""Share of questions without an answer in their context that is left out without being asked."""
VALUE = "value"
"""The name of what regression gives a text."""


def find_labels(examples: ExampleFile, decision: DecisionRule = PLAIN) -> tuple[str, ...]:
    """Collect the labels of a training file, in the order the model will number them.

    Numbers sort by value. Tags are O, then B- and I- of each entity type in the file; intents
    come before them. Raises DataError where there is nothing to tell apart.
    """
    return settle_labels(examples, survey(examples), decision)


def settle_labels(examples: ExampleFile, rows: Survey, decision: DecisionRule) -> tuple[str, ...]:
    """Put the labels that a survey found in the model's order; see `find_labels`."""
    found, values = set(rows.counts), rows.values
    least = 2
    match examples.task:
        case Task.TEXT_CLASSIFICATION:
            if decision.problem_type is ProblemType.REGRESSION:
                return _check_values(examples, values)
            labels = sorted(found - {decision.out_of_scope}, key=_by_value)
            least = 1 if decision.problem_type is ProblemType.MULTI_LABEL else 2
        case Task.TOKEN_CLASSIFICATION:
            labels = _tags(examples, found)
        case Task.INTENT_SLOTS:
            return (*_intents(examples, found), *_slots(examples, found))
        case Task.QUESTION_ANSWERING:
            _check_answers(examples)
            return SPAN_LABELS
    if len(labels) < least:
        only = f"only the label {labels[0]!r}" if labels else "no label in any row"
        wanted = "at least two" if least == 2 else "at least one"
        raise DataError(f"{examples.path} has {only}; training needs {wanted}")
    return tuple(labels)


def check_labels(
    examples: ExampleFile, labels: tuple[str, ...], decision: DecisionRule = PLAIN
) -> ExampleFile:
    """Match the labels of the dev file with the training file's; DataError names the unknown.

    Where texts may be out of scope, there must be rows of both kinds to tell apart.
    """
    if examples.task is Task.QUESTION_ANSWERING:
        return examples  # its answers stand in its context
    found = survey(examples)
    if decision.problem_type is not ProblemType.REGRESSION:
        examples = match_labels(
            examples, found, labels, decision, lacks="the training file does not have"
        )
    outside = found.counts[decision.out_of_scope] if decision.out_of_scope is not None else 0
    if decision.out_of_scope is not None and outside in (0, found.rows):
        raise DataError(
            f"{examples.path} has {'only' if outside else 'no'} rows with the label "
            f"{decision.out_of_scope!r}; a threshold is chosen between such and others: add some"
        )
    return examples


def hints(rows: Survey, decision: DecisionRule) -> list[str]:
    """Say what may be wrong with the labels of a training file, a line each."""
    if decision.problem_type is ProblemType.REGRESSION:
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


def _check_answers(examples: ExampleFile) -> None:
    """Check that answers stand in their contexts; some may not, which are not trained on."""
    rows = placed = lost = 0
    first = ""
    for each in examples:
        assert isinstance(each, QuestionExample)
        rows += 1
        placed += each.placed is not None
        if each.answers and not each.placed:
            lost += 1
            first = first or each.where
    if not placed:
        raise DataError(
            f"{examples.path} has no question with an answer in its context; training needs some"
        )
    if examples.columns.bad_rows is BadRows.ERROR and lost > MOST_LOST * rows:
        raise DataError(
            f"{first}: no answer stands in the context, as in {lost:,} of {rows:,} questions "
            f"({lost / rows:.1%}); fix them, or leave them out with --bad-rows skip"
        )


def _tags(examples: ExampleFile, found: set[str]) -> list[str]:
    if ids := [tag for tag in found if tag.isdigit()]:
        raise DataError(
            f"{examples.path} has numbers for tags, such as {min(ids)}, whose names it does not "
            'hold; give them with --label-map FILE: {"0": "O", "1": "B-PER", …}'
        )
    kinds = sorted({tag[2:] for tag in found if tag != OUTSIDE})
    return [OUTSIDE, *(f"{side}-{kind}" for kind in kinds for side in "BI")]


def _intents(examples: ExampleFile, found: set[str]) -> list[str]:
    names = sorted(
        (label.removeprefix(PREFIX) for label in found if has_intents((label,))), key=_by_value
    )
    if len(names) < 2:
        raise DataError(
            f"{examples.path} has only the intent {names[0]!r}; training needs at least two, or "
            f"--task {Task.TOKEN_CLASSIFICATION} for slots alone"
        )
    return [intent_label(name) for name in names]


def _slots(examples: ExampleFile, found: set[str]) -> list[str]:
    labels = _tags(examples, {label for label in found if not has_intents((label,))})
    if len(labels) < 2:
        raise DataError(
            f"{examples.path} has only the tag {OUTSIDE!r}; training needs slots, or "
            f"--task {Task.TEXT_CLASSIFICATION} for intents alone"
        )
    return labels


def _check_values(examples: ExampleFile, values: set[float]) -> tuple[str, ...]:
    if len(values) < 2:
        raise DataError(
            f"{examples.path} has only the value {min(values):g}; training needs at least two"
        )
    return (VALUE,)


def _by_value(label: str) -> tuple[int, float, str]:
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)
