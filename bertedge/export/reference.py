"""The checkpoint's own logits and evaluation, and graphs that are measured against them."""

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bertedge import evaluation
from bertedge.bundle import Accuracy, Trimming, Variant
from bertedge.checkpoint import Checkpoint
from bertedge.data import ExampleFile
from bertedge.errors import MissingExtraError, SettingError, VerificationError
from bertedge.evaluation import FittedTemperature, TextModel
from bertedge.export import parity_inputs, verify
from bertedge.export.accuracy import EvalData, Recorder, ReferenceEvaluation, check_drop, compare
from bertedge.export.bounds import faults_of
from bertedge.export.config import ExportConfig
from bertedge.export.graph.fusion import CPU_DISABLED_OPTIMIZERS
from bertedge.export.graph.serialize import GraphFiles
from bertedge.export.verify import Answers, ReferenceLogits
from bertedge.export.vocabulary import trim
from bertedge.metrics.calibration import CalibrationError
from bertedge.progress import Progress
from bertedge.runtime.engine import Engine
from bertedge.runtime.providers import CPU
from bertedge.spec import DecisionRule, LabelKind, ProblemType
from bertedge.tasks import task_module
from bertedge.tasks.contract import AgreementBounds

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A checkpoint as it answers before it is quantized."""

    architecture: "PretrainedConfig"
    engine: Engine
    model: "PreTrainedModel | None"
    """In PyTorch; None where that is not installed, and the engine is the fp32 graph."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The checkpoint, with its own answers to all that its variants will be asked."""

    checkpoint: Checkpoint
    architecture: "PretrainedConfig"
    pair: bool
    parity: ReferenceLogits
    golden: ReferenceLogits
    evaluation: ReferenceEvaluation | None
    """None where there is no labelled data."""
    trimming: Trimming | None
    calibration: CalibrationError | None = None
    """Of the temperature that was looked for; None where none was asked for."""

    @property
    def examples(self) -> ExampleFile | None:
        """The labelled data; None where there is none."""
        return self.evaluation.examples if self.evaluation else None


def record_reference(
    config: ExportConfig,
    checkpoint: Checkpoint,
    original: Original,
    data: EvalData,
    progress: Progress,
) -> Reference:
    """Record the checkpoint's own logits and evaluation, before its graph is made.

    A vocabulary that is to be trimmed is trimmed, in `model` too, once the labelled data is
    labelled. What that costs is held against the checkpoint as it came, and what variants cost
    against the trimmed model: each within the budget, so that neither hides the other.
    """
    examples = data.examples
    pair = checkpoint.model.pair or config.pair or (examples is not None and examples.pair)
    if checkpoint.model.task.labels_are is LabelKind.VECTOR:  # the pairs of its data are compared
        pair = config.pair
    if pair and (
        checkpoint.model.task.tags_words or checkpoint.model.task.labels_are is LabelKind.VECTOR
    ):
        raise SettingError(f"{checkpoint.model.task} reads single texts; leave --pair out")
    fitted = None
    if config.calibrate:
        fitted = _fit_temperature(checkpoint, original.engine, examples, progress)
        if fitted.helps:
            checkpoint = replace(
                checkpoint, model=replace(checkpoint.model, rule=_at(checkpoint.model.rule, fitted))
            )
    evaluated = None
    if examples is not None:
        evaluated = _label(checkpoint, original.engine, examples, progress)
    trimming = None
    if config.trim_vocab:
        if original.model is None:
            raise MissingExtraError("export", "torch", "or leave --trim-vocab out")
        checkpoint, trimming = trim(checkpoint, original.model, config.trim_vocab)
        size = f"{trimming.after:,} of {trimming.before:,} pieces"
        progress.say(f"vocabulary: {size}, by {trimming.data}")
        if evaluated is not None:
            whole = evaluated
            evaluated = _label(checkpoint, original.engine, whole.examples, progress)
            trimming = replace(trimming, accuracy=compare(whole, evaluated.result))
            _check_trimming(config, trimming, task_module(checkpoint.model.task).BOUNDS)
    engine = original.engine
    began = time.perf_counter()
    parity = verify.record_logits(
        engine, parity_inputs.parity_batches(checkpoint, examples, pair=pair), padded=False
    )
    golden = verify.record_logits(engine, [parity_inputs.golden_batch(checkpoint, pair=pair)])
    took = time.perf_counter() - began
    progress.say(f"recorded the checkpoint's logits on {parity.texts} texts  {took:.1f} s")
    return Reference(
        checkpoint=checkpoint,
        architecture=original.architecture,
        pair=pair,
        parity=parity,
        golden=golden,
        evaluation=evaluated,
        trimming=trimming,
        calibration=fitted.error if fitted else None,
    )


def _fit_temperature(
    checkpoint: Checkpoint, engine: Engine, examples: ExampleFile | None, progress: Progress
) -> FittedTemperature:
    decision = checkpoint.model.rule
    labels = decision.problem_type is not ProblemType.REGRESSION
    if checkpoint.model.task.labels_are is not LabelKind.CLASSES or not labels:
        raise SettingError("--calibrate is for labels of texts; leave it out")
    if decision.temperature != 1 or decision.out_of_scope is not None:
        has = "a threshold" if decision.temperature == 1 else "a temperature"
        raise SettingError(
            f"{checkpoint.name} has {has} from its training; --calibrate belongs to finetune there"
        )
    if examples is None:
        raise SettingError("--calibrate needs labelled data; give --eval-data FILE")
    text_model = TextModel.of(checkpoint.model, checkpoint.tokenizer_json, engine)
    fitted = evaluation.fit_on_half(decision, evaluation.collect(text_model, examples, progress))
    if fitted is None:
        raise SettingError(f"--calibrate needs 2 rows or more, and {examples.path.name} has fewer")
    return fitted


def _at(decision: DecisionRule, fitted: FittedTemperature) -> DecisionRule:
    """Return a rule with another temperature; its threshold moves along: no label changes."""
    temperature = fitted.error.temperature
    if decision.threshold is not None:
        least = min(max(decision.threshold, 1e-9), 1 - 1e-9)
        odds = math.log(least / (1 - least))
        threshold = 1 / (1 + math.exp(-odds / temperature))
        decision = replace(decision, threshold=threshold)
    return replace(decision, temperature=temperature)


def _check_trimming(config: ExportConfig, trimming: Trimming, bounds: AgreementBounds) -> None:
    faults = faults_of(config, trimming.accuracy, bounds)
    if faults:
        raise VerificationError(
            f"with {trimming.after:,} of {trimming.before:,} word pieces the model "
            f"{' and '.join(faults)}; give --trim-vocab a larger corpus, or leave it out"
        )


def _label(
    checkpoint: Checkpoint, engine: Engine, examples: ExampleFile, progress: Progress
) -> ReferenceEvaluation:
    recorder = Recorder(engine, kept=checkpoint.model.task.labels_are is not LabelKind.VOCABULARY)
    text_model = TextModel.of(checkpoint.model, checkpoint.tokenizer_json, recorder)
    evaluated = evaluation.evaluate(text_model, examples, progress)
    scores = evaluated.scores
    found = (
        f"{scores.metric} on {evaluated.rows:,} rows: {scores.value:.4f}"
        if scores
        else (f"embeddings of {evaluated.rows:,} texts")
    )
    progress.say(f"the checkpoint's {found}  {evaluated.seconds:.1f} s")
    return ReferenceEvaluation(
        examples=examples, sha256=examples.sha256(), result=evaluated, logits=recorder.all()
    )


def verify_float(
    config: ExportConfig,
    reference: Reference,
    graph: GraphFiles,
    engine: Engine,
    progress: Progress,
    *,
    with_data: bool,
) -> tuple[Variant, Answers]:
    """Measure the fp32 graph, opened as `engine`; VerificationError for a promise it breaks."""
    variant, answers = measure(config, reference, graph, engine, progress)
    if with_data:
        accuracy = check_accuracy(config, reference, variant.name, engine, progress)
        variant = replace(variant, accuracy=accuracy)
    return variant, answers


def measure(
    config: ExportConfig,
    reference: Reference,
    graph: GraphFiles,
    engine: Engine,
    progress: Progress,
) -> tuple[Variant, Answers]:
    """Measure the parity of a graph, opened as `engine`, and return its answers.

    The variant's accuracy is left open. Only parity is enforced: tightly for fp32, widely for int8
    where there is no labelled data.
    """
    name, precision = graph.name, graph.candidate.precision
    int8 = precision == "int8"
    began = time.perf_counter()
    labelled = reference.evaluation is not None
    bound = verify.int8_bound(labelled=labelled) if int8 else verify.float_bound(config.tolerance)
    answers = verify.answer(reference.parity, engine)
    parity = verify.check_answers(name, reference.parity, answers, bound)
    probe = reference.golden
    golden = verify.check_answers(name, probe, verify.answer(probe, engine), bound)
    progress.say(
        f"{name}: logits differ by at most {parity.max_difference:.2g} of their spread on "
        f"{parity.texts} texts  {time.perf_counter() - began:.1f} s"
    )
    variant = Variant(
        name=name,
        model=graph.model,
        precision=precision,
        providers=(CPU.provider,),
        disabled_optimizers=CPU_DISABLED_OPTIMIZERS,
        passes=graph.passes,
        parity=parity,
        accuracy=None,
        golden_tolerance=verify.golden_tolerance(golden, int8=int8),
        optimized=True,
        unpadded=graph.unpadded,
        weights=graph.weights,
    )
    return variant, answers


def check_accuracy(
    config: ExportConfig, reference: Reference, name: str, engine: Engine, progress: Progress
) -> Accuracy | None:
    """Compare as `measure_accuracy` does; VerificationError where the variant lost too much."""
    accuracy = measure_accuracy(reference, name, engine, progress)
    if accuracy is not None:
        check_drop(name, accuracy, config.max_drop)
    return accuracy


def measure_accuracy(
    reference: Reference, name: str, engine: Engine, progress: Progress
) -> Accuracy | None:
    """Compare a variant with the checkpoint on the labelled data; None where there is none."""
    if reference.evaluation is None:
        return None
    text_model = TextModel.of(
        reference.checkpoint.model, reference.checkpoint.tokenizer_json, engine
    )
    evaluated = evaluation.evaluate(text_model, reference.evaluation.examples, progress)
    accuracy = compare(reference.evaluation, evaluated)
    progress.say(
        f"{name}: {accuracy.metric} {accuracy.variant:.4f}, the checkpoint's "
        f"{accuracy.checkpoint:.4f}, agreement {accuracy.agreement:.2%}"
        f"  {evaluated.seconds:.1f} s"
    )
    return accuracy
