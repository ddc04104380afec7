"""Work that takes its time, on a terminal: the whole way, Ctrl-C, another size of the window."""

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertedge.bundle import MANIFEST

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("optimum", reason="needs the export extra")

TINY = Path(__file__).parents[2] / "models" / "tiny" / "text-classification"
LABELS = ("lights", "music", "heating", "other")
BARS = ("evaluating", "predicting", "training", "pretraining", "tokenizing", "rounds", "warm-up")

Run = Callable[..., Any]


def check(screen: Any) -> None:
    """What holds of every screen: whole lines, and none of them noise."""
    text = screen.text
    for noise in ("Traceback", "Warning", "warning", "[J", "[K", "UserWarning", "W:onnx", "E:onnx"):
        assert noise not in text, text
    for line in screen.lines:
        assert not line.startswith(" error"), text


def bars_of(screen: Any) -> list[str]:
    """The bars that stand on the screen."""
    return [line for line in screen.lines if re.match(rf"({'|'.join(BARS)})  ", line)]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Rows enough for a minute."""
    path = tmp_path / "many.csv"
    rows = [f"turn number {i} on,{LABELS[i % 4]}" for i in range(150_000)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(f"take the {i} old red apple and see" for i in range(4000)) + "\n")
    return path


NARROW = {"columns": 40, "env": {"NO_COLOR": "1"}}
DUMB = {"env": {"TERM": "dumb"}}


def test_the_whole_way(run_on_terminal: Run, base: Path, texts: dict[str, Path], tmp_path: Path):
    """Each verb on a terminal of another kind: every kind is of every verb in what is shown.

    test_quickstart.py has all of them, and bench, on one terminal.
    """
    run, bundle = tmp_path / "runs" / "mine", tmp_path / "bundles" / "mine"

    def whole(*arguments: object, **settings: Any) -> Any:
        screen = run_on_terminal(*arguments, rows=60, **settings)
        check(screen)
        assert not bars_of(screen), screen.text
        if settings is NARROW:
            assert not re.search(rb"\x1b\[[\d;]*m", screen.sent)
        if settings is DUMB:
            assert b"\x1b" not in screen.sent
        return screen

    data = ("--train", texts["train"], "--dev", texts["dev"], "--learning-rate", "2e-3")
    data += ("--epochs", "3", "--batch-size", "32", "--pooling", "mean")
    task = ("--task", "text-classification", "--model", base, "--output", run)
    shown = whole("finetune", *data, *task)
    assert shown.text.count("macro average") == 1
    export = f"bertedge export {run} --output {bundle} --quantize"
    assert f"next:{export}".replace(" ", "") in shown.joined
    assert re.search(rb"training  \[-+\]  0/30 steps", shown.sent)
    shown = whole(*export.split()[1:], "--max-drop", "100", "--min-agreement", "0", **NARROW)
    assert shown.joined.count("checkpoint→variant") == 1
    assert f'next:bertedgepredict{bundle}"atext"' in shown.joined
    assert (bundle / MANIFEST).exists()
    shown = whole("evaluate", run, "--data", texts["dev"], **DUMB)
    assert shown.text.count("next:") == 1


def test_pretraining(run_on_terminal: Run, corpus: Path, tmp_path: Path):
    size = ("--size", "1x32x2", "--vocab-size", "120", "--max-length", "16")
    screen = run_on_terminal(
        *("pretrain", "--text", corpus, *size, "--max-steps", "20", "--output", tmp_path / "base")
    )
    check(screen)
    assert not bars_of(screen)
    assert re.search(rb"pretraining  \[-+\]  0/10,240 tokens", screen.sent)
    assert "next:bertedgefinetune--traintrain.csv" in screen.joined


def interrupt(screen: Any, bar: str) -> list[str]:
    """Press Ctrl-C when a bar has moved; give the lines at the end of the screen."""
    screen.wait_for(f"^{bar}  .* left")
    screen.type("\x03")
    assert screen.wait() == 1, screen.text
    check(screen)
    (at,) = [i for i, line in enumerate(screen.lines) if line.startswith("Error: ")]
    assert screen.colour_of("Error: ") == "red"
    assert "^C" not in screen.text
    return list(screen.lines[: at + 1])


def test_ctrl_c_while_training_says_how_to_go_on(
    on_terminal: Run, base: Path, texts: dict[str, Path], tmp_path: Path
):
    screen = on_terminal(
        *(
            "finetune",
            "--train",
            texts["train"],
            "--epochs",
            "3000",
            "--early-stopping-patience",
            "3000",
        ),
        *("--task", "text-classification", "--model", base, "--output", tmp_path / "out"),
        columns=40,
    )
    interrupt(screen, "training")
    assert "--resume" in screen.joined and not bars_of(screen)
    assert not (tmp_path / "out").exists()


def test_ctrl_c_while_pretraining(on_terminal: Run, corpus: Path, tmp_path: Path):
    size = ("--size", "1x32x2", "--vocab-size", "120", "--max-length", "16")
    screen = on_terminal(
        *(
            "pretrain",
            "--text",
            corpus,
            *size,
            "--max-steps",
            "100000",
            "--output",
            tmp_path / "base",
        )
    )
    interrupt(screen, "pretraining")
    assert "--resume" in screen.joined and not bars_of(screen)


@pytest.mark.parametrize("verb", ["evaluate", "predict", "export"])
def test_ctrl_c_while_labelling_leaves_nothing_half_written(
    on_terminal: Run, many: Path, base: Path, texts: dict[str, Path], tmp_path: Path, verb: str
):
    output = tmp_path / "output"
    match verb:
        case "evaluate":
            screen, bar = on_terminal("evaluate", TINY, "--data", many), "evaluating"
        case "predict":
            arguments = ("predict", TINY, "--input", many, "--output", output)
            screen, bar = on_terminal(*arguments, "--threads", "1"), "predicting"
        case _:
            make = ("--task", "feature-extraction", "--output", output, "--eval-data", many)
            screen, bar = on_terminal("export", base, *make), "evaluating"
            pairs = [f"see the {i} apple\ttake a {i} pear\t0.5" for i in range(100_000)]
            many.write_text("\n".join(["text1\ttext2\tscore", *pairs]) + "\n")
    before = interrupt(screen, bar)
    assert before[-1] == "Error: interrupted; nothing half-written was left"
    assert before[-2].startswith(f"{bar}  ") and len(bars_of(screen)) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many.csv"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_ctrl_c_before_there_is_anything_to_see(on_terminal: Run, base: Path, tmp_path: Path):
    screen = on_terminal("export", base, "--task", "feature-extraction", "--output", tmp_path / "b")
    maps = Path(f"/proc/{screen.process.pid}/maps")
    while "libtorch" not in maps.read_text():  # until it imports
        assert screen.process.poll() is None
        time.sleep(0.01)
    screen.type("\x03")
    assert screen.wait() == 1
    check(screen)
    (error,) = [line for line in screen.lines if "Error: " in line]
    assert error == "Error: interrupted; nothing half-written was left" == screen.lines[-1]
    assert not list(tmp_path.iterdir())


def test_a_window_that_changes_its_size_breaks_no_line(on_terminal: Run, tmp_path: Path):
    endless = subprocess.Popen(["yes", "turn the lights on"], stdout=subprocess.PIPE)
    assert endless.stdout
    files = ("--input", "-", "--output", tmp_path / "labels.jsonl")
    screen = on_terminal("predict", TINY, *files, columns=100, stdin=endless.stdout.fileno())
    screen.wait_for("texts/s")
    for columns in (40, 120, 20, 80):
        screen.resize(columns)
        sent = len(screen.sent)
        while screen.sent.count(b"\r", sent) < 6:
            assert screen._read()
        (bar,) = [line for line in screen.lines if "predicting" in line]
        assert screen.lines[-1] == bar and len(bar) < columns
    screen.type("\x03")
    assert screen.wait() == 1
    endless.kill()
    endless.wait()
    endless.stdout.close()
    assert [line for line in screen.lines if line.startswith("Error: ")] == screen.lines[-1:]
    assert len(bars_of(screen)) == 1
