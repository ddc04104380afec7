"""The checkpoint's ONNX graphs as the peers have them: by Optimum's own default path."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bertedge.bench.protocol import Export, Exported
from bertedge.errors import first_line
from bertedge.runtime import machine
from bertedge.spec import LabelKind, Task

EXPORTED, INT8, FUSED = "exported", "int8", "fused"
"""Folders, each with a graph, its config and the tokenizer."""


def export(request: Export) -> Exported:
    """Make the exported graph, then from that the int8 one and the fused one; say what failed."""
    problems: list[str] = []
    folder = Path(request.folder)
    exported = _try("export", problems, lambda: _export(request, folder / EXPORTED))
    int8 = fused = None
    if exported:
        config = exported.parent
        int8 = _try("int8", problems, lambda: _quantize(config, folder / INT8))
        fused = _try("fusion", problems, lambda: _fuse(config, folder / FUSED))
    return Exported(
        exported=_text(exported),
        int8=_text(int8),
        fused=_text(fused),
        problem="; ".join(problems) or None,
    )


def optimum_model(task: Task) -> Any:
    """Give the class by which Optimum's users export and run a model."""
    from optimum.onnxruntime import (
        ORTModelForQuestionAnswering,
        ORTModelForSequenceClassification,
        ORTModelForTokenClassification,
    )

    return {
        LabelKind.CLASSES: ORTModelForSequenceClassification,
        LabelKind.TAGS: ORTModelForTokenClassification,
        LabelKind.SPANS: ORTModelForQuestionAnswering,
    }[task.labels_are]


def _export(request: Export, folder: Path) -> Path:
    import transformers

    own = {"local_files_only": True, "trust_remote_code": False}
    model = optimum_model(request.task).from_pretrained(request.checkpoint, export=True, **own)
    model.save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(request.checkpoint, **own)
    for place in (folder, folder.with_name(INT8)):  # the engines read it beside their graph
        tokenizer.save_pretrained(place)
    return folder / "model.onnx"


def _quantize(exported: Path, folder: Path) -> Path:
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    flags = machine.cpu_flags()
    if flags & {"avx512_vnni", "avx_vnni"}:
        settings = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
    elif "avx2" in flags:
        settings = AutoQuantizationConfig.avx2(is_static=False, per_channel=True)
    else:
        settings = AutoQuantizationConfig.arm64(is_static=False, per_channel=True)
    quantizer = ORTQuantizer.from_pretrained(exported, file_name="model.onnx")
    quantizer.quantize(quantization_config=settings, save_dir=folder)
    return folder / "model_quantized.onnx"


def _fuse(exported: Path, folder: Path) -> Path:
    """Fuse as bundles for the CPU are: SkipLayerNormalization is slow there."""
    from optimum.onnxruntime import ORTOptimizer
    from optimum.onnxruntime.configuration import OptimizationConfig

    settings = OptimizationConfig(
        optimization_level=1,
        enable_transformers_specific_optimizations=True,
        disable_skip_layer_norm_fusion=True,
        disable_embed_layer_norm_fusion=True,
        disable_bias_skip_layer_norm_fusion=True,
    )
    optimizer = ORTOptimizer.from_pretrained(exported, file_names=["model.onnx"])
    optimizer.optimize(settings, save_dir=folder)
    return folder / "model_optimized.onnx"


def _try(what: str, problems: list[str], make: Callable[[], Path]) -> Path | None:
    try:
        return make()
    except Exception as error:  # whatever Optimum raises: the other graphs are made all the same
        problems.append(f"{what}: {first_line(error, 200)}")
        return None


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
