"""From checkpoint to bundle: export, fuse, pass, quantize, prove, write."""

import datetime
import time
from dataclasses import dataclass, replace
from pathlib import Path

from bertedge import bundle
from bertedge.bundle import Manifest, Variant
from bertedge.checkpoint import Checkpoint, load_model, open_checkpoint, read_config
from bertedge.errors import SettingError
from bertedge.export import parity_inputs, verify
from bertedge.export.accuracy import find_eval_data, own_texts
from bertedge.export.batch_effect import measure_batch_effect
from bertedge.export.config import ExportConfig, Exporter, this_machine
from bertedge.export.graph.cuda import make_cuda_variant
from bertedge.export.graph.fusion import infer_shapes
from bertedge.export.graph.passes import run_passes, summarize_passes
from bertedge.export.graph.serialize import GraphFiles, SavedGraph, finish
from bertedge.export.graph.source import (
    GraphSource,
    check_size,
    choose_exporter,
    from_optimum,
    from_weights,
)
from bertedge.export.graph.values import save, save_apart, to_proto
from bertedge.export.quantization.calibration import gather
from bertedge.export.quantization.recipes import QuantizationContext
from bertedge.export.reference import Original, Reference, record_reference, verify_float
from bertedge.export.search import search_recipe
from bertedge.export.third_party import library_versions, quietly
from bertedge.libraries import has_torch
from bertedge.metrics.calibration import CalibrationError
from bertedge.outputs import check_folder, work_folder
from bertedge.progress import Progress, Silent
from bertedge.runtime.providers import CPU
from bertedge.runtime.session import Session, open_native
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
        types = getattr(read_config(checkpoint.folder), "type_vocab_size", None)
        exporter = choose_exporter(
            config.exporter, checkpoint.source.architecture, token_types=types
        )
        original = _load(config, checkpoint, work, progress)
        reference = record_reference(config, checkpoint, original, data, progress)
        source = _source(config, reference, original, exporter, work, progress)
        in_torch = original.model is not None
        del original  # the weights, which are on disk now
        variants = _make_variants(config, reference, source, work, progress)
        if config.gpu:
            variants += (make_cuda_variant(config, reference, source, work, progress),)
        tokenizer = work / bundle.TOKENIZER
        tokenizer.write_text(reference.checkpoint.tokenizer_json, encoding="utf-8")
        manifest = replace(
            _describe(reference, variants, tokenizer),
            exporter=exporter.value,
            reference="pytorch" if in_torch else "graph",
        )
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
    checkpoint = open_checkpoint(
        config.checkpoint,
        config.task,
        pooling=config.pooling,
        max_length=config.max_length,
        activation=config.activation,
    )
    rule = checkpoint.model.rule
    if config.activation is not None and rule.activation is not config.activation:
        raise SettingError(
            f"--activation is for models with one logit, and {checkpoint.name} is for "
            f"{checkpoint.model.task} with {len(checkpoint.model.labels)} labels; leave it out"
        )
    if checkpoint.model.task.labels_are is not LabelKind.VECTOR:
        if config.pooling is not None or not config.normalize:
            raise SettingError(
                f"--pooling and --no-normalize shape embeddings, and {checkpoint.name} is for "
                f"{checkpoint.model.task}; add --task {Task.of(LabelKind.VECTOR)}, or leave "
                "them out"
            )
        return checkpoint
    pooling = checkpoint.model.pooling
    assert pooling is not None
    normalized = pooling.normalized and config.normalize
    pooling = replace(pooling, normalized=normalized)
    return replace(checkpoint, model=replace(checkpoint.model, pooling=pooling))


def _load(config: ExportConfig, checkpoint: Checkpoint, work: Path, progress: Progress) -> Original:
    """Load the checkpoint into PyTorch; where that is not installed, run the graph built of it."""
    if has_torch():
        from bertedge.checkpoint import TorchEngine

        with quietly(work):
            model = load_model(checkpoint)
        return Original(architecture=model.config, engine=TorchEngine(model), model=model)
    architecture = read_config(checkpoint.folder)
    graph = from_weights(checkpoint, architecture, config.opset)(CPU)
    progress.say(
        "PyTorch is not installed: parity is measured against the fp32 graph, not against the "
        "checkpoint in PyTorch"
    )
    native = open_native(to_proto(graph.model).SerializeToString(), device=CPU)
    return Original(architecture=architecture, engine=Session(native, checkpoint.name), model=None)


def _source(
    config: ExportConfig,
    reference: Reference,
    original: Original,
    exporter: Exporter,
    work: Path,
    progress: Progress,
) -> GraphSource:
    began = time.perf_counter()
    model = original.model
    if exporter is Exporter.OPTIMUM:
        assert model is not None  # which `choose_exporter` saw to
        source = from_optimum(reference.checkpoint, model, work, config.opset)
        progress.say(f"exported with opset {config.opset}  {time.perf_counter() - began:.1f} s")
        return source
    words = None
    if reference.trimming is not None and model is not None:
        words = model.get_input_embeddings().weight.detach().numpy()
    progress.say(f"graph built from the weights, with opset {config.opset}")
    return from_weights(reference.checkpoint, reference.architecture, config.opset, words)


def _make_variants(
    config: ExportConfig,
    reference: Reference,
    source: GraphSource,
    work: Path,
    progress: Progress,
) -> tuple[Variant, ...]:
    """Write the graphs for the CPU and prove each; the fastest comes first."""
    floats = _make_float(config, reference, source, work, progress)
    kept = config.keep_fp32 or not config.quantize
    engine = floats.open()
    proven, answers = verify_float(config, reference, floats, engine, progress, with_data=kept)
    if kept:
        effect = measure_batch_effect(reference, engine, answers)
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


def _make_float(
    config: ExportConfig, reference: Reference, source: GraphSource, work: Path, progress: Progress
) -> GraphFiles:
    began = time.perf_counter()
    graph = source(CPU)
    passes = graph.passes + run_passes(graph.model, pair=reference.pair)
    path = work / "fused" / "cpu-fp32.onnx"
    path.parent.mkdir()
    if config.quantize:  # from the one file that the quantizer reads
        save(infer_shapes(graph.model, work), path)
    else:
        save_apart(graph.model, path)
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
