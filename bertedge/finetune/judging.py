"""How a trained model decides, and how well, on the dev data."""

import time
from dataclasses import dataclass

from bertedge import checkpoint as checkpoints
from bertedge import evaluation
from bertedge.data import ExampleFile
from bertedge.finetune import training
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.thresholds import FittedRule, fit_rule
from bertedge.progress import Progress
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.tasks.contract import Outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How the trained model decides, and how well, on the dev data where there is any."""

    fitted: FittedRule
    dev: evaluation.Evaluation | None


def judge(config: FinetuneConfig, material: training.Material, progress: Progress) -> Judged:
    """Settle how logits are decided on, and score that; texts are run through the model once."""
    spec = material.spec
    if material.graded is None:
        return Judged(fitted=FittedRule(rule=spec.rule, calibration=None), dev=None)
    began = time.perf_counter()
    outputs = collect_outputs(material, *material.graded, progress)
    fitted = fit_rule(spec.task, spec.rule, outputs, calibrate=config.calibrate)
    seconds = time.perf_counter() - began
    return Judged(fitted=fitted, dev=evaluation.decide(spec, outputs, fitted.rule, seconds))


def collect_outputs(
    material: training.Material, tokenizer: Tokenizer, examples: ExampleFile, progress: Progress
) -> Outputs:
    """Run the trained model over labelled examples."""
    model = checkpoints.row_model(material.model, material.spec).eval()
    engine = checkpoints.TorchEngine(model, device="auto")
    found = evaluation.TextModel(spec=material.spec, tokenizer=tokenizer, engine=engine)
    return evaluation.collect(found, examples, progress)
