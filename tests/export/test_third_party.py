import logging
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

from bertedge.errors import CheckpointError, VerificationError
from bertedge.export.third_party import library_versions, quietly, stage


def test_talk_is_swallowed_and_everything_is_as_before(
    capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder, tmp_path: Path
) -> None:
    handlers, directory = logging.root.handlers[:], tempfile.tempdir
    with quietly(tmp_path):
        print("to stdout")
        print("to stderr", file=sys.stderr)
        warnings.warn("warned", stacklevel=1)
        logging.root.addHandler(logging.StreamHandler())
        logging.getLogger("x").warning("logged")
        assert Path(tempfile.mkdtemp()).parent == tmp_path
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    assert logging.root.handlers == handlers
    assert logging.root.manager.disable == logging.NOTSET
    assert tempfile.tempdir == directory


def test_what_a_library_raises_becomes_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught, stage("the export", tmp_path):
        raise RuntimeError("Exporting the operator aten::x is not supported\nmore\nlines")
    message = str(caught.value)
    assert message.startswith("the export failed: Exporting the operator aten::x is not supported;")
    assert "transformers 4." in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "error", [VerificationError("figures"), OSError(28, "No space"), KeyboardInterrupt()]
)
def test_what_is_not_the_checkpoints_fault_passes(error: BaseException, tmp_path: Path) -> None:
    with pytest.raises(type(error)), stage("the export", tmp_path):
        raise error
    assert logging.root.manager.disable == logging.NOTSET


def test_the_versions_are_those_installed() -> None:
    versions = library_versions()
    assert {"torch", "transformers", "optimum-onnx", "onnx"} <= versions.keys()
