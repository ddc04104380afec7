"""The checkpoint's ONNX graphs as the peers have them: by Optimum's own default path."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bertedge.bench.protocol import Export, Exported
from bertedge.errors import first_line
from bertedge.runtime import machine
from bertedge.spec import LabelKind, Task

OWN = {"local_files_only": True, "trust_remote_code": False}
EXPORTED, INT8, FUSED = "exported", "int8", "fused"
"""Folders, each with a graph, its config and the tokenizer."""


def export(request: Export) -> Exported:
    """Make the exported graph, then from that the int8 one and the fused one; say what failed."""
    problems: list[str] = []
    folder = Path(request.folder)

    def attempt(what: str, make: Callable[[], Path]) -> str | None:
        try:
            return str(make())
        except Exception as error:  # whatever Optimum raises, the other graphs are made
            problems.append(f"{what}: {first_line(error, 200)}")
            return None

    int8 = fused = None
    if exported := attempt("export", lambda: _export(request, folder / EXPORTED)):
        int8 = attempt("int8", lambda: _quantize(folder / EXPORTED, folder / INT8))
        fused = attempt("fusion", lambda: _fuse(folder / EXPORTED, folder / FUSED))
    return Exported(exported=exported, int8=int8, fused=fused, problem="; ".join(problems) or None)


def optimum_model(task: Task) -> Any:
    """Return the class by which Optimum's users export and run a model."""
    from optimum import onnxruntime

    return {
        LabelKind.CLASSES: onnxruntime.ORTModelForSequenceClassification,
        LabelKind.TAGS: onnxruntime.ORTModelForTokenClassification,
        LabelKind.SPANS: onnxruntime.ORTModelForQuestionAnswering,
    }[task.labels_are]


def load_own_head(checkpoint: str, task: Task) -> Any:
    """Load a classifier on mean-pooled hidden states, which no Auto class opens by itself.

    None where the checkpoint is another; its user would say `trust_remote_code=True`.
    """
    import torch

    from bertedge.checkpoint import model_class, pools_mean, read_config

    config = read_config(Path(checkpoint))
    if not pools_mean(config):
        return None
    kind = model_class(task, config)
    model = kind.from_pretrained(checkpoint, use_safetensors=True, dtype=torch.float32, **OWN)
    return model.eval()


def _export(request: Export, folder: Path) -> Path:
    import transformers

    if own := load_own_head(request.checkpoint, request.task):
        from bertedge.checkpoint.onnx_export import export_own

        export_own(own, folder / "model.onnx")
        own.config.save_pretrained(folder)
    else:
        model = optimum_model(request.task).from_pretrained(request.checkpoint, export=True, **OWN)
        model.save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(request.checkpoint, **OWN)
    for place in (folder, folder.with_name(INT8)):  # the engines read it beside their graph
        tokenizer.save_pretrained(place)
    return folder / "model.onnx"


def _quantize(exported: Path, folder: Path) -> Path:
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig as Config

    flags = machine.cpu_flags()
    vnni = Config.avx512_vnni if flags & {"avx512_vnni", "avx_vnni"} else None
    settings = vnni or (Config.avx2 if "avx2" in flags else Config.arm64)
    ORTQuantizer.from_pretrained(exported, file_name="model.onnx").quantize(
        quantization_config=settings(is_static=False, per_channel=True), save_dir=folder
    )
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
