"""Kills at random moments: an output is absent or whole, and nothing is left behind but a state.

A fixed sample by default; `BERTEDGE_CAMPAIGN=full` makes 100 kills. Each is of a process of its
own, forked where the libraries are imported already, so that it hits the work. Moments are shares
of the processor time that the command takes undisturbed: a busy machine does not move them. Every
run that can be resumed is, and must end in the weights of an undisturbed one.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bertedge.bundle import open_bundle
from bertedge.outputs import check_file, check_folder
from bertedge.overwriting import MARKER
from bertedge.training.seal import is_sealed

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("optimum", reason="needs the export extra")

FULL = os.environ.get("BERTEDGE_CAMPAIGN") == "full"
SEED = 10
KILLS = 100 if FULL else 12
PROGRAM = Path(__file__).with_name("fork_verbs.py")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
SHARES = {"finetune": 32, "pretrain": 26, "export": 20, "predict": 18, "bench": 4}
STARTING_S = 0.05
"""Of processor time, until our own code answers signals: before, Python itself does."""
HANGS_S = 600
BENCH_S = 12.0
"""Bench is idle while its engines work: its moments are seconds on the clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """A command that writes an output, and what it came to undisturbed."""

    arguments: list[str]
    output: Path
    cpu_s: float


class Forks:
    """Starts commands, one at a time."""

    def __init__(self, errors: Path) -> None:
        self._errors = errors
        self._server = subprocess.Popen(
            [sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, arguments: list[str], output: Path, **environment: str) -> int:
        """Give the process id."""
        assert self._server.stdin is not None
        self._errors.write_text("")
        words = [*arguments, "--output", str(output)]
        asked = {"arguments": words, "environment": environment, "errors": str(self._errors)}
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        return self._read()

    def wait(self) -> tuple[int, str]:
        """Give the exit code, or a signal's number below zero, and what went to stderr."""
        return os.waitstatus_to_exitcode(self._read()), self._errors.read_text()

    def end(self) -> None:
        self._server.kill()
        self._server.communicate()

    def _read(self) -> int:
        assert self._server.stdout is not None
        return int(self._server.stdout.readline())


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    folder: Path
    forks: Forks
    verbs: dict[str, Verb]


@pytest.fixture(scope="module")
def lab(
    tmp_path_factory: pytest.TempPathFactory, base: Path, texts: dict[str, Path]
) -> Iterator[Lab]:
    """Every command, run undisturbed once."""
    folder = tmp_path_factory.mktemp("kills")
    lines = texts["train"].read_text().splitlines()
    words = [line.rpartition(",")[0] for line in lines[1:]]
    (folder / "notes.txt").write_text("\n".join(words[:200]) + "\n")
    (folder / "many.txt").write_text("\n".join(words * 40) + "\n")
    data = ["--train", str(texts["train"]), "--dev", str(texts["dev"])]
    model, bundle = str(folder / "whole-finetune"), str(folder / "whole-export")
    notes, many = str(folder / "notes.txt"), str(folder / "many.txt")
    commands = {
        "finetune": [*data, "--model", str(base), "--batch-size", "8", "--epochs", "2"],
        "pretrain": [
            "--text",
            notes,
            "--size",
            "2x32x2",
            "--max-steps",
            "40",
            "--max-length",
            "24",
        ],
        "export": [model, "--quantize", "--eval-data", str(texts["dev"])],
        "predict": [bundle, "--input", many],
        "bench": [bundle, "--baseline", model, "--quick", "--grid", "1x8"],
    }
    forks, verbs = Forks(folder / "errors"), {}
    for verb, arguments in commands.items():
        output, command, cpu_s = folder / f"whole-{verb}", [verb, *arguments], 0.0
        if verb != "bench":  # which is only ever killed early
            forks.start(command, output)
            pid = forks._server.pid
            before = cpu_seconds(pid)
            code, errors = forks.wait()
            assert code == 0, errors
            cpu_s = cpu_seconds(pid) - before
        verbs[verb] = Verb(arguments=command, output=output, cpu_s=cpu_s)
    yield Lab(folder=folder, forks=forks, verbs=verbs)
    forks.end()


def cpu_seconds(number: int) -> float:
    """Processor time of a process and of those that it has waited for."""
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def kill_at(pid: int, number: int, moment: float, *, clock: bool) -> None:
    """Send a signal after so much processor time, or time by the clock, unless all is over."""
    began = time.monotonic()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while (time.monotonic() - began if clock else cpu_seconds(pid)) < moment:
            assert time.monotonic() < began + HANGS_S
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
            time.sleep(0.005)
        os.kill(pid, number)


def content(output: Path) -> dict[str, bytes]:
    """The bytes of an output, by file."""
    if output.is_file():
        return {"": output.read_bytes()}
    return {str(path.relative_to(output)): path.read_bytes() for path in output.rglob("*.*")}


def complain(case: str, output: Path, verb: str, old: dict[str, bytes] | None) -> None:
    """Fail unless an output is absent, whole, or what was there before."""
    if not output.exists():
        assert old is None, f"{case}: the old output is gone"
        return
    if old is not None and content(output) == old:
        return
    if verb == "export":
        assert open_bundle(output).manifest.variants, case
    elif verb == "bench":
        assert json.loads(output.read_text())["schema"], case
    elif verb == "predict":
        assert len(output.read_text().splitlines()) % 320 == 0, case
    else:
        listed = json.loads((output / MARKER).read_text())["files"]
        assert {each["file"] for each in listed} | {MARKER} == set(content(output)), case


def left_by(mark: str) -> list[str]:
    """The commands that still run with a mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (path / "environ").read_bytes():
                state = (path / "stat").read_text().rpartition(")")[2].split()[0]
                found += [] if state == "Z" else [(path / "cmdline").read_text().replace("\0", " ")]
        except OSError:
            continue
    return found


def resumable(work: Path) -> bool:
    return any(is_sealed(path) for path in work.glob("checkpoint-*"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_kills_leave_an_output_absent_or_whole_and_nothing_else(lab: Lab) -> None:
    rng = random.Random(SEED)
    verbs = rng.choices(list(SHARES), weights=list(SHARES.values()), k=KILLS)
    tally: dict[str, int] = {}
    for number, name in enumerate(verbs):
        verb, sent = lab.verbs[name], rng.choice(SIGNALS)
        share, replaces = rng.random(), rng.random() < 0.4
        moment = STARTING_S + share * (BENCH_S if name == "bench" else verb.cpu_s)
        case = f"{number}: {name}, {sent.name} at {moment:.2f} s{', replacing' * replaces}"
        place, scratch = lab.folder / "place", lab.folder / "tmp"
        place.mkdir()
        scratch.mkdir()
        output = place / "out"
        old = make_old(output, name, lab) if replaces else None
        mark = f"case-{number}."
        more = ["--overwrite"] if replaces else []
        pid = lab.forks.start(
            [*verb.arguments, *more], output, TMPDIR=str(scratch), BERTEDGE_KILL=mark
        )
        kill_at(pid, sent, moment, clock=name == "bench")
        code, errors = lab.forks.wait()
        tally[sent.name] = tally.get(sent.name, 0) + (code != 0)
        killed = sent == signal.SIGKILL and code == -sent
        # Before and after our own code, a signal is answered by Python.
        assert code in {0, 1, -sent}, f"{case}: {code} {errors}"
        assert "Traceback" not in errors and "Exception ignored" not in errors, f"{case}: {errors}"
        assert len((errors.splitlines() or [""])[-1]) <= 300, case
        deadline = time.monotonic() + 300
        while left_by(f"BERTEDGE_KILL={mark}"):
            assert time.monotonic() < deadline, f"{case}: {left_by(f'BERTEDGE_KILL={mark}')}"
            time.sleep(0.1)
        if killed:  # the next command for this output tidies up
            (check_file if output.is_file() else check_folder)(output, overwrite=True)
        complain(case, output, name, old)
        work = place / ".out.partial"
        allowed = {"out"} | ({work.name} if killed or resumable(work) else set())
        assert {path.name for path in place.iterdir()} <= allowed, (
            f"{case}: {list(place.iterdir())}"
        )
        if not killed:
            assert list(scratch.iterdir()) == [], f"{case}: {list(scratch.iterdir())}"
        if name in ("finetune", "pretrain") and resumable(work):
            tally["resumed"] = tally.get("resumed", 0) + 1
            lab.forks.start([*verb.arguments, "--resume", *more], output)
            resumed, errors = lab.forks.wait()
            assert resumed == 0, f"{case}: {errors}"
            weights = (verb.output / "model.safetensors").read_bytes()
            assert (output / "model.safetensors").read_bytes() == weights, case
            assert not work.exists(), case
        shutil.rmtree(place)
        shutil.rmtree(scratch)
        print(f"{case}: {code}", flush=True)
    print(f"{KILLS} kills: {tally}")


def make_old(output: Path, verb: str, lab: Lab) -> dict[str, bytes]:
    """Put an earlier output in the way."""
    if verb in ("predict", "bench"):
        output.write_text('{"schema": 1}\n')
    else:
        shutil.copytree(lab.verbs[verb].output, output)
    return content(output)
