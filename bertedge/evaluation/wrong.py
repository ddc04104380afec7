"""The rows that a model gets wrong, most confident first, as a CSV file."""

import csv
import io
import tempfile
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bertedge.data import Example, ExampleFile, QuestionExample, TextExample
from bertedge.errors import SettingError
from bertedge.evaluation.run import Evaluation, Seen, evaluate
from bertedge.model import TextModel
from bertedge.outputs import staged_file, writing
from bertedge.progress import Progress
from bertedge.spec import ModelSpec, ProblemType
from bertedge.tasks.contract import Judged
from bertedge.unspaced import join_words


def check_judged(spec: ModelSpec) -> None:
    """Raise SettingError where no row is right or wrong by itself."""
    from bertedge.tasks import task_module

    if task_module(spec.task).judge is None:
        raise SettingError(
            f"the model is for {spec.task}, where no row is right or wrong by itself; give one "
            "with labels, values, tags or answers"
        )


def write_wrong(
    model: TextModel,
    examples: ExampleFile,
    output: Path,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
) -> Evaluation:
    """Evaluate, and write the rows that the model gets wrong, most confident first.

    Of values all rows that are off at all, the furthest first. The file appears whole or not at
    all. What is held of each wrong row is its score and its place in a temporary file.
    Raises SettingError where rows are neither right nor wrong, OutputError as `staged_file` does.
    """
    check_judged(model.spec)
    with (
        staged_file(output, overwrite=overwrite) as file,
        writing(output),
        tempfile.TemporaryFile() as spilled,
    ):
        scores, ends = array("d"), array("q", [0])

        def spill(seen: Seen) -> None:
            for example, found in zip(seen.examples, seen.judged, strict=True):
                if found.wrong:
                    line = _line(_cells(example, found)).encode("utf-8", "surrogatepass")
                    ends.append(ends[-1] + spilled.write(line))
                    scores.append(found.score)

        evaluation = evaluate(model, examples, progress, watch=spill)
        file.write(_line(columns_of(model.spec)))
        for row in np.argsort(-np.array(scores), kind="stable").tolist():
            spilled.seek(ends[row])
            file.write(spilled.read(ends[row + 1] - ends[row]).decode("utf-8", "surrogatepass"))
    return evaluation


def columns_of(spec: ModelSpec) -> list[str]:
    """Return the header of the file: where a row stands, its texts, what is right, what is said."""
    off = spec.rule.problem_type is ProblemType.REGRESSION
    return ["line", *spec.input_shape.keys, "gold", "predicted", "error" if off else "score"]


def texts_of(example: Example) -> list[str]:
    """Return the texts of an example, one a column: words are joined, choices share a column."""
    if isinstance(example, TextExample):
        return [
            example.text,
            *([] if example.pair is None else [" | ".join((example.pair, *example.others))]),
        ]
    if isinstance(example, QuestionExample):
        return [example.question, example.context]
    return [join_words(example.tokens)[0]]


def place_of(example: Example) -> str:
    """Return where an example stands in its file: the line; of questions its id or line."""
    return example.where if isinstance(example, QuestionExample) else str(example.line)


def _cells(example: Example, found: Judged) -> list[str]:
    place, score = place_of(example), f"{found.score:.6g}"
    return [place, *texts_of(example), found.gold, found.predicted, score]


def _line(cells: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()
