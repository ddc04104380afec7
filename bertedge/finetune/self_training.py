"""Self-training: a model labels texts, and another learns from these and the labelled rows.

One round of Noisy Student (Xie et al. 2020, arXiv:1911.04252, algorithm 1): the teacher is what
the same settings make of the labelled rows alone, the student starts from the base again. Given
teachers of a student do the labelling in its stead.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bertedge import checkpoint as checkpoints
from bertedge import evaluation
from bertedge.checkpoint.training import SelfTraining
from bertedge.data import ExampleFile
from bertedge.data.labels import survey
from bertedge.finetune import training
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.defaults import describe_chosen
from bertedge.finetune.judging import collect_outputs
from bertedge.finetune.label_counts import count_labels, label_table
from bertedge.finetune.outcome import Outcome
from bertedge.finetune.part_progress import PartProgress
from bertedge.finetune.preparation import Prepared, load_material, prepare
from bertedge.finetune.pseudo_labels import Sureness, pseudo_label
from bertedge.finetune.thresholds import fit_rule
from bertedge.metrics import AnyScores
from bertedge.model import TextModel
from bertedge.progress import SILENT, Progress
from bertedge.spec import DecisionRule


def self_train(teacher: Outcome, prepared: Prepared, folder: Path, progress: Progress) -> Outcome:
    """Label texts with a trained model, train another, and return the better one on the dev data.

    What is finished in `folder` is not done again; what was interrupted goes on.
    """
    config, inputs = teacher.config, prepared.inputs
    assert inputs.unlabelled is not None
    rule, before = _score(config, teacher.material)
    found = pseudo_label(
        _labellers(teacher, prepared, rule),
        inputs.unlabelled,
        inputs.train,
        Sureness(threshold=config.unlabelled_threshold, share=config.unlabelled_share),
        folder / "labelled",
        PartProgress(progress, inputs.unlabelled.path.name),
    )
    record = SelfTraining(metric=before.metric, before=before.value)
    if found is None:
        progress.say(
            f"no text of {inputs.unlabelled.path.name} has a label of probability "
            f"{config.unlabelled_threshold:g} or more: none is trained on (--unlabelled-threshold)"
        )
        return replace(teacher, self_training=record)
    record = replace(record, taken=_report(config, found, prepared, progress))
    again = prepare(replace(inputs, pseudo_labelled=found), folder / "data")
    log_dir = config.log_dir and config.log_dir / "self-training"
    material = load_material(config, again, progress)
    if told := describe_chosen(config, material.hyperparameters):
        progress.say(f"by the data and the base: {told}")
    part = PartProgress(progress, "self-training")
    trained = training.train(replace(config, log_dir=log_dir), material, folder / "student", part)
    _, after = _score(config, material)
    kept = after.value > before.value
    progress.say(
        f"dev {before.metric} {before.value:.4f} of the labelled rows alone, {after.value:.4f} "
        f"with these texts{'' if kept else ': not better, so the first model is kept'}"
    )
    seconds = trained.seconds + teacher.trained.seconds
    student = replace(teacher, material=material, trained=trained)
    better = student if kept else teacher
    return replace(
        better,
        trained=replace(better.trained, seconds=seconds),
        self_training=replace(record, after=after.value, kept=kept),
    )


def _score(config: FinetuneConfig, material: training.Material) -> tuple[DecisionRule, AnyScores]:
    """Return how a model decides, by the dev data, and their scores."""
    assert material.graded is not None  # dev data are asked for
    outputs = collect_outputs(material, *material.graded, SILENT)
    spec = material.spec
    rule = fit_rule(spec.task, spec.rule, outputs, calibrate=config.calibrate).rule
    scores = evaluation.decide(spec, outputs, rule, seconds=0.0).scores
    assert scores is not None
    return rule, scores


def _labellers(teacher: Outcome, prepared: Prepared, rule: DecisionRule) -> Sequence[TextModel]:
    """Return the models that label: the given teachers, else the one that was trained first.

    They are given the student's own rows of token ids, as in distillation.
    """
    material, given = teacher.material, prepared.inputs.teachers
    models = [(checkpoints.load_model(each), each.model) for each in given]
    if not given:
        own = checkpoints.row_model(material.model, material.spec).eval()
        models = [(own, replace(material.spec, rule=rule))]
    return [
        TextModel(
            spec=spec,
            tokenizer=prepared.tokenizer,
            engine=checkpoints.TorchEngine(model, device="auto"),
        )
        for model, spec in models
    ]


def _report(
    config: FinetuneConfig, found: ExampleFile, prepared: Prepared, progress: Progress
) -> dict[str, int]:
    """Report how many texts were taken, and of which labels; return these."""
    rows = survey(found)
    unlabelled = prepared.inputs.unlabelled
    assert unlabelled is not None
    progress.say(
        f"{rows.rows:,} texts of {unlabelled.path.name} are trained on, too, the surest of "
        f"{len(found.rows or b''):,} whose label has a probability of "
        f"{config.unlabelled_threshold:g} or more"
    )
    counts = count_labels(rows, config.task)
    for what, each in counts.items():
        for line in label_table(what, each, rows.rows):
            progress.say(line)
    return next(iter(counts.values()), {})
