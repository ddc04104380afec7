"""From checkpoint to bundle: export, fuse, pass, quantize, prove, write."""

import datetime
import time
from dataclasses import dataclass, replace
from pathlib import Path

from transformers import PreTrainedModel

from bertedge import bundle
from bertedge.bundle import Manifest, Variant
from bertedge.checkpoint import Checkpoint, load_model, open_checkpoint
from bertedge.errors import SettingError
from bertedge.export import parity_inputs, verify
from bertedge.export.accuracy import find_eval_data, own_texts
from bertedge.export.batch_effect import measure_batch_effect
from bertedge.export.config import ExportConfig, this_machine
from bertedge.export.graph.cuda import make_cuda_variant
from bertedge.export.graph.fusion import fuse, infer_shapes
from bertedge.export.graph.passes import run_passes, summarize_passes
from bertedge.export.graph.serialize import GraphFiles, SavedGraph, finish
from bertedge.export.graph.torch_export import check_size, export_graph
from bertedge.export.graph.values import save
from bertedge.export.quantization.calibration import gather
from bertedge.export.quantization.recipes import QuantizationContext
from bertedge.export.reference import Reference, record_reference, verify_float
from bertedge.export.search import search_recipe
from bertedge.export.third_party import library_versions, quietly
from bertedge.metrics.calibration import CalibrationError
from bertedge.outputs import check_folder, work_folder
from bertedge.progress import Progress, Silent
from bertedge.spec import LabelKind, Task
from bertedge.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What was made and measured."""

    output: Path
    manifest: Manifest
    data_note: str
    """The labelled file that was used, or why accuracy was not measured."""
    seconds: float
    calibration: CalibrationError | None = None
    """Of the temperature that `--calibrate` found, kept or not, on the half of the data that did
    not choose it."""


def export(config: ExportConfig, progress: Progress | None = None) -> ExportReport:
    """Make a verified bundle of a checkpoint, whole or not at all.

    Raises CheckpointError, DataError, OutputError and SettingError for what the user gave, and
    VerificationError, with its figure, for a graph that does not keep a promise.

    Examples:
        >>> from pathlib import Path
        >>> from bertedge.export import ExportConfig, export
        >>> report = export(ExportConfig(checkpoint="runs/mine", output=Path("bundles/example")))
        >>> report.manifest.variants[0].name, report.manifest.variants[0].accuracy.metric
        ('cpu-fp32', 'accuracy')
    """
    began = time.perf_counter()
    progress = progress or Silent()
    inputs = (config.checkpoint, config.eval_data, config.trim_vocab)
    check_folder(config.output, overwrite=config.overwrite, inputs=inputs)
    with work_folder(config.output) as work:
        checkpoint = _open(config)
        check_size(checkpoint.source)
        progress.say(_introduce(checkpoint))
        data = find_eval_data(config, checkpoint)
        if data.examples is None and checkpoint.model.task.labels_are is LabelKind.VECTOR:
            data = own_texts(work)
        progress.say(data.note)
        with quietly(work):
            model = load_model(checkpoint)
        reference = record_reference(config, checkpoint, model, data, progress)
        exported = _export_graph(config, reference, model, work, progress)
        del model  # the weights, which are on disk now
        variants = _make_variants(config, reference, exported, progress)
        if config.gpu:
            variants += (make_cuda_variant(config, reference, exported, progress),)
        tokenizer = work / bundle.TOKENIZER
        tokenizer.write_text(reference.checkpoint.tokenizer_json, encoding="utf-8")
        manifest = _describe(reference, variants, tokenizer)
        files = [tokenizer, *(work / file.file for variant in variants for file in variant.files)]
        bundle.write_bundle(config.output, manifest, files, overwrite=config.overwrite)
    return ExportReport(
        output=config.output,
        manifest=manifest,
        data_note=data.note,
        seconds=time.perf_counter() - began,
        calibration=reference.calibration,
    )


def _open(config: ExportConfig) -> Checkpoint:
    checkpoint = open_checkpoint(config.checkpoint, config.task, pooling=config.pooling)
    if checkpoint.model.pooling is None:
        if config.pooling is not None or not config.normalize:
            raise SettingError(
                f"--pooling and --no-normalize shape embeddings, and {checkpoint.name} is for "
                f"{checkpoint.model.task}; add --task {Task.of(LabelKind.VECTOR)}, or leave "
                "them out"
            )
        return checkpoint
    pooling = checkpoint.model.pooling
    normalized = pooling.normalized and config.normalize
    pooling = replace(pooling, normalized=normalized)
    return replace(checkpoint, model=replace(checkpoint.model, pooling=pooling))


def _export_graph(
    config: ExportConfig,
    reference: Reference,
    model: PreTrainedModel,
    work: Path,
    progress: Progress,
) -> Path:
    began = time.perf_counter()
    task = reference.checkpoint.model.task
    path = export_graph(model, work / "exported", task=task, opset=config.opset)
    progress.say(f"exported with opset {config.opset}  {time.perf_counter() - began:.1f} s")
    return path


def _make_variants(
    config: ExportConfig, reference: Reference, exported: Path, progress: Progress
) -> tuple[Variant, ...]:
    """Write the graphs for the CPU and prove each; the fastest comes first."""
    work = exported.parent.parent
    floats = _make_float(reference, exported, work, progress)
    kept = config.keep_fp32 or not config.quantize
    proven = verify_float(config, reference, floats, progress, with_data=kept)
    if kept:
        effect = measure_batch_effect(reference, floats.open())
        proven = replace(proven, batch_effect=effect)
    if not config.quantize:
        return (proven,)
    context = QuantizationContext(
        floats,
        reference.architecture,
        lambda: gather(reference.checkpoint, reference.examples, pair=reference.pair),
        config.target or this_machine(),
        work / "int8",
    )
    quantized = search_recipe(config, reference, context, progress)
    if quantized.name == proven.name:  # the last recipe
        return (quantized,)
    return (quantized, proven) if kept else (quantized,)


def _make_float(reference: Reference, exported: Path, work: Path, progress: Progress) -> GraphFiles:
    began = time.perf_counter()
    graph = fuse(exported, reference.architecture, work / "fused")
    passes = graph.passes + run_passes(graph.model, pair=reference.pair)
    path = work / "fused" / "cpu-fp32.onnx"
    save(infer_shapes(graph.model, work), path)
    shipped = finish(SavedGraph(path=path, precision="fp32", passes=passes), work)
    progress.say(f"optimized for the CPU: {summarize_passes(shipped.passes, began)}")
    return shipped


def _describe(reference: Reference, variants: tuple[Variant, ...], tokenizer: Path) -> Manifest:
    checkpoint = reference.checkpoint
    return Manifest(
        format=bundle.FORMAT,
        model=replace(checkpoint.model, pair=reference.pair),
        tokenizer=bundle.describe_file(tokenizer),
        variants=variants,
        golden=verify.golden(reference.golden, parity_inputs.golden_texts(pair=reference.pair)),
        source=checkpoint.source,
        trimming=reference.trimming,
        columns=checkpoint.training.train.columns if checkpoint.training else None,
        versions={"bertedge": __version__, **library_versions()},
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def _introduce(checkpoint: Checkpoint) -> str:
    source = checkpoint.source
    model = checkpoint.model
    labels = f", {len(model.labels)} labels" if model.task.fixed_labels is None else ""
    return (
        f"{checkpoint.name}: {source.architecture}, {source.layers} layers of "
        f"{source.hidden_size}, {model.task}{labels}"
    )
