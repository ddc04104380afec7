"""The verbs that train and export run in a container: no home, no user name, no cache."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NOBODYS = "54321"
"""A user id that no user has."""
REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, sys
from bertedge.cli import main
for verb in json.loads(sys.argv[1]):
    main(verb, standalone_mode=False)
"""
"""Runs one verb after another, for which torch is imported once."""


def without_name() -> list[str]:
    """Give the command that runs another as a user who has no name, where this user may."""
    setpriv = shutil.which("setpriv")
    if os.getuid() != 0 or setpriv is None:
        return []
    # The interpreter may lie in a home that others do not read; nothing else is lent.
    lent = "-all,+dac_read_search"
    user = ["--reuid", NOBODYS, "--regid", NOBODYS, "--clear-groups"]
    return [setpriv, *user, f"--inh-caps={lent}", f"--ambient-caps={lent}"]


@pytest.mark.parametrize(
    "home", [None, "/nonexistent/home", pytest.param("/proc", marks=pytest.mark.full)]
)
def test_the_heavy_verbs_run_without_a_home_and_a_name(
    anyones_folder: Path, base: Path, texts: dict[str, Path], home: str | None
) -> None:
    folder = anyones_folder
    shutil.copytree(base, folder / "base")
    for split in ("train", "dev"):
        shutil.copy(texts[split], folder / f"{split}.csv")
    bare = {"PATH": os.defpath, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    train = ["--train", "train.csv", "--epochs", "0.1", "--output", "checkpoint"]
    verbs = [
        ["finetune", "--task", "text-classification", "--model", "base", *train],
        ["evaluate", "checkpoint", "--data", "dev.csv"],
        ["export", "checkpoint", "--output", "bundle", "--eval-data", "dev.csv"],
    ]
    run = subprocess.run(
        [
            *(*without_name(), sys.executable, "-c", PROGRAM),
            json.dumps(verbs if home is None else verbs[:1]),
        ],
        env=bare | ({} if home is None else {"HOME": home}),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    assert (folder / ("bundle" if home is None else "checkpoint")).is_dir()
    assert not (folder / "~").exists()
