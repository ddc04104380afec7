"""A checkpoint in, a bundle of proven ONNX graphs out.

The work is imported when it is asked for: settings are checked without torch.
"""

from typing import TYPE_CHECKING

from bertedge.errors import MissingExtraError
from bertedge.export.config import BatchEffects, ExportConfig, Target

if TYPE_CHECKING:
    from bertedge.export.run import ExportReport, export

__all__ = ["BatchEffects", "ExportConfig", "ExportReport", "Target", "export"]

_LIBRARIES = (
    "torch",
    "transformers",
    "safetensors",
    "optimum",
    "onnx",
    "onnx_ir",
    "onnxruntime",
    "scipy",
    "sympy",
)


def __getattr__(name: str) -> object:
    if name not in ("ExportReport", "export"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from bertedge.export.third_party import quietly

        with quietly():  # some print when they are imported
            from bertedge.export import run
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.partition(".")[0] not in _LIBRARIES:
            raise
        raise MissingExtraError("export", missing) from None
    return getattr(run, name)
