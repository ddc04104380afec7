"""What the programs of this folder do alike: commands of bertedge, scores, and their records."""

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_sets import Set
from provenance import provenance

import bertedge
from bertedge import evaluation
from bertedge.bundle import open_bundle
from bertedge.checkpoint import TorchEngine, Training, load_model, open_checkpoint
from bertedge.data import Columns, open_examples
from bertedge.metrics import agreement
from bertedge.spec import Task

BERTEDGE = (sys.executable, "-m", "bertedge")
PACKAGES = ("torch", "transformers", "onnxruntime", "optimum-onnx")


def output_of(command: Sequence[str | Path]) -> str:
    """Run a command to its end and return what it printed."""
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


@dataclass(frozen=True, kw_only=True)
class Run:
    """A command that ran to its end."""

    status: int
    output: str
    errors: str
    seconds: float
    """Of the processors, not of the clock: what else the machine does changes it little."""
    peak_mib: int


def run_in_one_thread(
    command: Sequence[str | Path], *, check: bool = True, **environment: str
) -> Run:
    """Run a command in one thread, and count the processor time and the memory of it.

    One that fails ends the program, with what it said, unless it is not to `check` that.
    """
    own = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=own)
        assert process.stdout is not None
        with process.stdout as stdout:
            output = stdout.read().decode()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read().decode()
        assert process.returncode == 0 or not check, said
        return Run(
            status=process.returncode,
            output=output,
            errors=said,
            seconds=round(used.ru_utime + used.ru_stime, 1),
            peak_mib=used.ru_maxrss // 1024,
        )


def columns_of(columns: dict[str, str]) -> list[str]:
    return [f"--{name}-column={value}" for name, value in columns.items()]


def finetune(
    data: Set, files: dict[str, Path], base: Path | None, output: Path, *flags: str
) -> dict[str, float]:
    """Train on a set as it says, in one thread, and score the checkpoint on its test data.

    Without a base the flags name a teacher, which the model starts from. Time is that of the whole
    command.
    """
    command = [*BERTEDGE, "finetune", "--overwrite", *columns_of(data.columns)]
    command += [f"--task={data.task}", f"--train={files['train']}", f"--dev={files['dev']}"]
    command += [f"--model={base}"] if base else []
    command += [f"--output={output}", *flags]
    command += [f"--max-length={data.max_length}"] if data.max_length else []
    command += [f"--problem-type={data.problem_type}"] if "text" in data.task else []
    command += [f"--out-of-scope={data.out_of_scope}"] if data.out_of_scope else []
    run = run_in_one_thread(command)
    return {"seconds": run.seconds, **describe(data, files, output)}


def describe(data: Set, files: dict[str, Path], run: Path) -> dict[str, float]:
    """Score a checkpoint on its test data; the rest is what it says of its training."""
    training = training_of(run)
    assert training.dev_scores is not None and training.best_epoch is not None
    return {
        "value": value_of(run, files["test"], data.columns),
        "dev": round(training.dev_scores.value, 4),
        "best_epoch": training.best_epoch,
        "epochs": training.settings["epochs"],
        "rows": training.train.rows,
        "few_shot": training.settings["few_shot"],
        "batch_size": training.settings["batch_size"],
        "learning_rate": training.settings["learning_rate"],
    }


def value_of(model: Path, test: Path, columns: dict[str, str]) -> float:
    """Score a checkpoint or a bundle on labelled data, as `bertedge evaluate` does."""
    command = [*BERTEDGE, "evaluate", str(model), f"--data={test}", "--json"]
    run = run_in_one_thread([*command, *columns_of(columns)])
    return round(json.loads(run.output)["scores"]["value"], 4)


def export(run: Path, bundle: Path, *flags: str) -> None:
    """Make the int8 bundle of a checkpoint."""
    command = [*BERTEDGE, "export", str(run), f"--output={bundle}", "--quantize", "--overwrite"]
    subprocess.run([*command, *flags], check=True, stdout=sys.stderr)


def bundle_of(run: Path) -> Path:
    return run.with_name(f"{run.name}-bundle")


def training_of(run: Path) -> Training:
    training = open_checkpoint(str(run)).training
    assert training is not None, f"{run} was not trained by bertedge finetune"
    return training


def make(
    recipe: Path, run: Path, test: Path, columns: dict[str, str], flags: Sequence[str]
) -> dict[str, object]:
    """Fine-tune a recipe of models/, export it, and score both on the test data."""
    command = [*BERTEDGE, "finetune", f"--config={recipe}", f"--output={run}", "--overwrite"]
    subprocess.run([*command, *flags], check=True, stdout=sys.stderr)
    export(run, bundle_of(run))
    row = score(run, bundle_of(run), test, columns)
    return {**row, "training_seconds": round(training_of(run).seconds)}


def score(
    run: Path, bundle: Path, test: Path, columns: dict[str, str], task: Task | None = None
) -> dict[str, object]:
    """Score a checkpoint (fp32, PyTorch) and its bundle (int8, onnxruntime) on labelled data."""
    checkpoint = open_checkpoint(str(run), task)
    opened = open_bundle(bundle)
    engine = bertedge.load(bundle, device="cpu").engine
    problem_type = checkpoint.model.rule.problem_type
    examples = open_examples(
        test, checkpoint.model.task, Columns(**columns), problem_type=problem_type
    )
    torch_engine = TorchEngine(load_model(checkpoint))
    reference = evaluation.evaluate(
        evaluation.TextModel.of(checkpoint.model, checkpoint.tokenizer_json, torch_engine), examples
    )
    int8 = evaluation.evaluate(
        evaluation.TextModel.of(opened.manifest.model, opened.tokenizer_json(), engine), examples
    )
    return {
        "metric": reference.scores.metric,
        "rows": reference.rows,
        "checkpoint": round(reference.scores.value, 4),
        "int8": round(int8.scores.value, 4),
        "agreement": round(agreement(reference.predicted, int8.predicted), 4),
        "checkpoint_bytes": sum(p.stat().st_size for p in run.glob("*.safetensors")),
        "bundle_bytes": sum(p.stat().st_size for p in bundle.iterdir()),
        "checkpoint_rows_per_second": round(reference.rows / reference.seconds),
        "int8_rows_per_second": round(int8.rows / int8.seconds),
    }


def read_rows(result: Path) -> dict[str, dict[str, object]]:
    """Return the rows that a record has so far, by set."""
    text = result.read_text() if result.exists() else ""
    return json.loads(text)["sets"] if text else {}


def write_rows(
    result: Path,
    program: str,
    rows: dict[str, dict[str, object]],
    *packages: str,
    **more: object,
) -> None:
    """Write a record: where it comes from, and a row for each set."""
    record = {**provenance(program, *(packages or PACKAGES)), **more, "sets": rows}
    result.write_text(json.dumps(record, indent=2) + "\n")


def add_run(
    result: Path, program: str, row: str, run: dict[str, object], *packages: str, **more: object
) -> None:
    """Add to a row of a record, which other processes may add to at the same time."""
    with result.open("a") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        rows = read_rows(result)
        rows[row] = rows.get(row, {}) | run
        write_rows(result, program, rows, *packages, **more)
