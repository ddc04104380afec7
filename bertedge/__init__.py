"""Fine-tuned BERTs as verified int8 ONNX bundles: `bertedge.load(path).predict(texts)`."""

import os
from typing import TYPE_CHECKING

from bertedge.version import __version__

if TYPE_CHECKING:
    from os import PathLike

    from bertedge.predictor import Predictor

__all__ = ["__version__", "load"]

# onnxruntime's telemetry opens connections from every process that lives for a minute. It reads
# this when it is first imported, and every module of this package is imported after this one.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def load(
    path: "str | PathLike[str]",
    *,
    device: str = "auto",
    threads: int | None = None,
    variant: str | None = None,
) -> "Predictor":
    """Open the bundle at `path`, verified, ready to predict.

    `device` is "cpu", "cuda" or "auto" (CUDA where it works and the bundle has a variant for
    it); `threads` defaults to `$BERTEDGE_THREADS` or the cores this process may use; `variant`
    names one of the bundle's variants instead of the best for the device. The predictor is
    closed by `close()` or a `with` block.

    Examples:
        >>> import bertedge
        >>> with bertedge.load("bundles/mine", threads=1) as model:
        ...     model.predict_one("play some jazz").label
        'music_play'

    Raises BundleError (missing, tampered, newer), DeviceError (provider not there) and
    VerificationError (the golden inputs give other answers on this machine).
    """
    from bertedge.predictor import Predictor

    return Predictor.open(path, device=device, threads=threads, variant=variant)
