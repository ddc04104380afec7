"""A report of the tiny classifier on texts with labels by rule, and its page."""

import csv
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cleanlab", reason="needs the report extra")

from bertedge.data import open_examples
from bertedge.model import TextModel
from bertedge.predictor import Predictor
from bertedge.report import Named, Report, ReportConfig, report
from bertedge.report.learning_curve import Share

WORDS = [
    *("turn", "the", "hall", "lights", "off", "play", "some", "jazz", "warmer", "please"),
    *("at", "seven", "music", "kitchen", "lamp"),
]
KINDS = {
    **{"lights": "lights", "lamp": "lights"},
    **{"music": "music", "jazz": "music", "warmer": "heating"},
}


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = random.Random(0)
    path = tmp_path_factory.mktemp("report") / "test.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "lang", "who"])
        for i in range(240):
            words = rng.choices(WORDS, k=rng.randint(1, 14))
            label = next((KINDS[word] for word in words if word in KINDS), "other")
            text = " ".join(words) if i != 7 else "<b>play</b> </script> & \x1b"
            writer.writerow([text, label, ("en", "de", "fr")[i % 3], ("x", "y")[i % 2]])
        writer.writerow(["please <i>stay</i>", "other", "en", "x"])
        writer.writerow(["Please  <i>STAY</i>", "music", "de", "y"])
    return path


@pytest.fixture(scope="session")
def named(classifier: Predictor) -> Named:
    model = TextModel(
        spec=classifier.manifest.model, tokenizer=classifier.tokenizer, engine=classifier.engine
    )
    return Named(name="tiny", variant="cpu-fp32", model=model)


def learn() -> Iterator[Share]:
    """Models of 1,000 to 4,000 rows, each a little better than the one before."""
    rng = np.random.default_rng(0)
    for rows, right in ((1_000, 0.5), (2_000, 0.56), (4_000, 0.6)):
        per_text = np.stack([rng.random(242) < right, np.ones(242)], axis=1)
        yield Share(rows=rows, per_text=per_text.astype(np.float64))


@pytest.fixture(scope="session")
def full(labelled: Path, named: Named, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Every section there is."""
    examples = open_examples(labelled, named.model.spec.task)
    curves = tmp_path_factory.mktemp("run") / "training.csv"
    curves.write_text(
        "step,epoch,loss,learning_rate,grad_norm,dev_accuracy,dev_loss,seconds\n"
        "10,0.5,1.3,0.0001,2,,,1\n20,1,0.9,0.00005,2,0.6,1.0,2\n40,2,0.5,0,2,0.8,0.7,4\n"
    )
    config = ReportConfig(
        slice_by=("lang",), slice_words=("jazz",), fairness_by=("who",), train=examples,
        curves=curves, other=named, command="bertedge report tiny --data test.csv",
        learn=learn, train_rows=8_000,
    )  # fmt: skip
    return report(named, examples, config)
