"""A run without dev data holds some of its training file out."""

import json
from pathlib import Path

import pytest

from bertedge import evaluation
from bertedge.checkpoint import TorchEngine, load_model, open_checkpoint
from bertedge.checkpoint.recorded import open_recorded
from bertedge.data import Part, TextExample
from bertedge.errors import DataError, SettingError
from bertedge.export.accuracy import find_eval_data
from bertedge.export.config import ExportConfig
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.data import open_data
from bertedge.finetune.run import Finetuned, finetune
from bertedge.metrics import Baseline
from bertedge.progress import Silent
from bertedge.spec import Task


class Said(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def config(train: Path, base: Path, output: Path, **changes: object) -> FinetuneConfig:
    plain: dict[str, object] = {
        "task": Task.TEXT_CLASSIFICATION,
        "train": train,
        "model": str(base),
        "output": output,
        "epochs": 4,
        "learning_rate": 2e-3,
        "batch_size": 16,
    }
    return FinetuneConfig(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def said() -> Said:
    return Said()


@pytest.fixture(scope="module")
def held_out(
    base: Path, texts: dict[str, Path], said: Said, tmp_path_factory: pytest.TempPathFactory
) -> Finetuned:
    output = tmp_path_factory.mktemp("runs") / "held-out"
    finished = finetune(config(texts["train"], base, output, calibrate=True, seed=3), said)
    assert finished is not None
    return finished


def test_a_tenth_is_held_out_and_said_and_chooses_the_best_epoch(
    held_out: Finetuned, said: Said
) -> None:
    line = "train.csv: held out 32 of 320 rows as dev data (--dev-share 0 trains on all)"
    assert line in said.lines
    record = held_out.training
    assert record.dev is not None and (record.train.rows, record.dev.rows) == (288, 32)
    assert record.best_epoch is not None and record.calibration is not None
    assert held_out.dev is not None and held_out.dev.scores.value >= 0.9
    assert record.dev_baseline == Baseline(answer="color", value=0.5)


def test_the_record_says_which_rows_and_they_score_the_same_again(
    held_out: Finetuned, texts: dict[str, Path]
) -> None:
    written = json.loads((held_out.output / "training.json").read_text())
    assert written["dev"]["part"] == {"held_out": True, "share": 0.1, "seed": 3}
    assert written["train"]["part"] == {"held_out": False, "share": 0.1, "seed": 3}
    assert written["dev"]["sha256"] == written["train"]["sha256"]
    checkpoint = open_checkpoint(str(held_out.output))
    assert checkpoint.training is not None and checkpoint.training.dev is not None
    examples = open_recorded(checkpoint, checkpoint.training.dev, texts["train"])
    engine = TorchEngine(load_model(checkpoint))
    model = evaluation.TextModel.of(checkpoint.model, checkpoint.tokenizer_json, engine)
    assert evaluation.evaluate(model, examples).scores == checkpoint.training.dev_scores


def test_export_measures_on_the_rows_that_were_held_out(
    held_out: Finetuned, tmp_path: Path
) -> None:
    checkpoint = open_checkpoint(str(held_out.output))
    asked = ExportConfig(checkpoint=str(held_out.output), output=tmp_path / "bundle")
    found = find_eval_data(asked, checkpoint)
    assert found.examples is not None and found.examples.part is not None
    assert found.examples.part.held_out and "the rows held out" in found.note
    assert sum(1 for _ in found.examples) == 32


def test_no_row_of_the_dev_data_is_trained_on(base: Path, texts: dict[str, Path]) -> None:
    data = open_data(config(texts["train"], base, Path("out"), dev_share=0.25))
    assert data.dev is not None
    sides = [
        {each.text for each in side if isinstance(each, TextExample)}
        for side in (data.train, data.dev)
    ]
    assert all(sides) and not sides[0] & sides[1]


def test_a_small_file_is_trained_on_whole_unless_a_share_is_given(
    base: Path, tmp_path: Path
) -> None:
    train = tmp_path / "small.csv"
    train.write_text("text,label\n" + "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(199)))
    data = open_data(config(train, base, Path("out")))
    assert data.dev is None and data.train.part is None
    assert data.hints[0].startswith("199 rows are too few to hold some out as dev data")
    data = open_data(config(train, base, Path("out"), dev_share=0.1))
    assert data.dev is not None and data.dev.part == Part(held_out=True, share=0.1, seed=42)
    with pytest.raises(SettingError, match=r"too few .* give --dev FILE, or --dev-share X"):
        open_data(config(train, base, Path("out"), calibrate=True))


def test_a_share_of_nothing_that_can_be_parted_is_refused(base: Path, tmp_path: Path) -> None:
    train = tmp_path / "same.csv"
    train.write_text("text,label\n" + "one,a\ntwo,b\n" * 100)
    assert "no text can be held out" in open_data(config(train, base, Path("out"))).hints[0]
    with pytest.raises(SettingError, match="no text can be held out as dev data"):
        open_data(config(train, base, Path("out"), dev_share=0.2))


def test_a_threshold_is_chosen_on_texts_out_of_scope_that_are_held_out(
    base: Path, tmp_path: Path
) -> None:
    train = tmp_path / "scoped.csv"
    rows = [f"text {i},{('a', 'b', 'oos')[i % 3]}" for i in range(300)]
    train.write_text("\n".join(["text,label", *rows]))
    data = open_data(config(train, base, Path("out"), out_of_scope="oos"))
    assert data.labels == ("a", "b") and data.dev is not None
    assert sum("oos" in each.names for each in data.dev if isinstance(each, TextExample)) == 10
    train.write_text("\n".join(["text,label", *(row for row in rows if "oos" not in row)] * 2))
    with pytest.raises(DataError, match="the rows held out have no rows with the label 'oos'"):
        open_data(config(train, base, Path("out"), out_of_scope="oos"))
