"""A checkpoint in, a bundle of proven ONNX graphs out."""

from bertedge.errors import MissingExtraError
from bertedge.export.quiet import quietly

_LIBRARIES = ("torch", "transformers", "safetensors", "optimum", "onnx", "onnxruntime", "sympy")

try:
    with quietly():  # some print when they are imported
        from bertedge.export.config import BatchEffects, ExportConfig
        from bertedge.export.pipeline import ExportReport, export
        from bertedge.export.target import Target
except ModuleNotFoundError as error:
    missing = error.name or ""
    if missing.partition(".")[0] not in _LIBRARIES:
        raise
    raise MissingExtraError("export", missing) from None

__all__ = ["BatchEffects", "ExportConfig", "ExportReport", "Target", "export"]
