"""Where a run is to be written, checked before anything heavy is imported."""

from collections.abc import Iterable
from pathlib import Path

from bertedge.outputs import check_folder
from bertedge.overwriting import check_apart


def run_folder(output: Path) -> Path:
    """Return the hidden sibling of `output` that a run lives in until it is finished."""
    return output.absolute().parent / f".{output.name}.partial"


def check_output(output: Path, inputs: Iterable[Path | str | None], *, overwrite: bool) -> None:
    """Raise OutputError where a run cannot be written to `output`, or would cost an input."""
    inputs = tuple(inputs)
    check_folder(output, overwrite=overwrite, inputs=inputs)
    check_apart(run_folder(output), inputs)
