"""A pretraining run that was stopped, wherever that was, ends as one that was not."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from bertedge.errors import StoppedError
from bertedge.pretrain.config import PretrainConfig
from bertedge.pretrain.run import pretrain
from bertedge.progress import Silent
from bertedge.training.seal import SEAL

STEPS = 9


class Stop(Silent):
    """Sends this process a signal after so many steps; keeps the lines that were said."""

    def __init__(self, step: int | None = None, number: int = signal.SIGINT) -> None:
        self.step, self.number, self.lines, self.steps = step, number, [], -(10**9)

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        self.steps = -(10**9)
        if what == "pretraining":
            assert total is not None
            self.steps = done // (total // STEPS)

    def advance(self, by: int, note: str = "") -> None:
        self.steps += 1
        if self.steps == self.step:
            os.kill(os.getpid(), self.number)

    def say(self, line: str) -> None:
        self.lines.append(line)


def run(text: Path, output: Path, progress: Stop, *, resume: bool = False) -> None:
    config = PretrainConfig(
        text=(text,),
        output=output,
        size="2x32x2",
        vocab_size=120,
        max_length=26,
        batch_size=4,
        gradient_accumulation_steps=2,
        max_steps=STEPS,
        checks=3,
        next_sentence=True,
    )
    pretrain(config, progress, resume=resume)


def end(output: Path) -> tuple[bytes, list[tuple[int, float]]]:
    """The weights and the curve, which an interrupt may not change."""
    checks = json.loads((output / "pretraining.json").read_text())["checks"]
    weights = (output / "model.safetensors").read_bytes()
    assert not work(output).exists()
    shutil.rmtree(output)
    return weights, [(check["step"], check["perplexity"]) for check in checks]


def work(output: Path) -> Path:
    return output.parent / f".{output.name}.partial"


def test_a_run_stopped_at_any_step_ends_as_one_that_was_not(text: Path, tmp_path: Path) -> None:
    output = tmp_path / "base"
    run(text, output, Stop())
    whole = end(output)
    for step in (1, 3, 4, 5, 8):  # states are saved at 3, 6 and 9
        number = signal.SIGTERM if step % 2 else signal.SIGINT
        with pytest.raises(StoppedError, match=f"interrupted at step {step} of {STEPS}"):
            run(text, output, Stop(step, number))
        run(text, output, Stop(), resume=True)
        assert end(output) == whole, f"stopped at step {step}"
    run(text, output, Stop(STEPS))  # after the last one there is nothing to stop
    assert end(output) == whole


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "missing": Path.unlink,
}


def test_what_is_damaged_is_made_anew_and_the_run_still_ends_as_it_should(
    text: Path, tmp_path: Path
) -> None:
    """Each file in turn of the vocabulary and the tokens, and some of the newest state.

    tests/training/test_seal.py damages each file of what is sealed; all of a state is.
    """
    output = tmp_path / "base"
    run(text, output, Stop())
    whole = end(output)
    with pytest.raises(StoppedError):
        run(text, output, Stop(5))
    kept = tmp_path / "kept"
    work(output).rename(kept)
    files = sorted(path.relative_to(kept) for path in kept.rglob("*") if path.is_file())
    folders = {name.parts[0] for name in files}
    assert folders >= {"corpus", "tokenizer", "settings.json", "checkpoint-3", "checkpoint-5"}
    newest = kept / "checkpoint-5"
    sealed = [file["file"] for file in json.loads((newest / SEAL).read_text())["files"]]
    assert {*sealed, SEAL} == {path.name for path in newest.iterdir()}
    damaged = [name for name in files if not name.parts[0].startswith("checkpoint-")]
    damaged += [Path("checkpoint-5", name) for name in (SEAL, sealed[0], sealed[-1])]
    for number, name in enumerate(damaged):
        damage = list(DAMAGES)[number % len(DAMAGES)]
        shutil.copytree(kept, work(output))
        DAMAGES[damage](work(output) / name)
        resumed = Stop()
        run(text, output, resumed, resume=True)
        assert end(output) == whole, (name, damage)
        if name.parts[0] == "checkpoint-5":
            assert any("step 5 is left out" in line for line in resumed.lines), (name, damage)
