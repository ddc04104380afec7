"""Calls into other libraries: their output is hidden, their failures become one error."""

import contextlib
import functools
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from bertedge.errors import library_errors
from bertedge.libraries import installed_versions

_LIBRARIES = ("torch", "transformers", "optimum-onnx", "onnx", "onnxruntime", "onnxruntime-gpu")


@contextlib.contextmanager
def quietly(temporary: Path | None = None) -> Iterator[None]:
    """Swallow prints, warnings and log lines in the block; exceptions pass.

    Temporary files of the block go to `temporary`, where they cannot outlive it.
    """
    handlers, disabled = logging.root.handlers[:], logging.root.manager.disable
    directory = tempfile.tempdir
    tempfile.tempdir = directory if temporary is None else str(temporary)
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            yield
    finally:
        logging.disable(disabled)
        logging.root.handlers[:] = handlers  # onnxruntime's tools install one that prints
        tempfile.tempdir = directory


@contextlib.contextmanager
def stage(what: str, temporary: Path) -> Iterator[None]:
    """Run a block of library calls quietly; what fails in it becomes one CheckpointError.

    A lack of memory or disk passes as it is: that is not the checkpoint's fault.
    """
    remedy = "install the versions in constraints.txt, or try another checkpoint"
    with library_errors(f"{what} failed", f"met with {libraries()}; {remedy}"), quietly(temporary):
        yield


@functools.cache
def libraries() -> str:
    """Return names and versions of the libraries that make a bundle, for a message."""
    return ", ".join(f"{name} {version}" for name, version in library_versions().items())


def library_versions() -> dict[str, str]:
    """Return the version of each library that makes a bundle, where it is installed."""
    return installed_versions(_LIBRARIES)
