import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bertedge.cli import main
from bertedge.runtime import machine
from bertedge.runtime.providers import CPU

BUNDLE = Path(__file__).parents[2] / "models" / "tiny" / "text-classification"


def test_it_says_what_the_bundle_is() -> None:
    found = CliRunner().invoke(main, ["inspect", str(BUNDLE)])
    assert found.exit_code == 0
    for fact in ("lights, music", "64 tokens", "variant cpu-fp32", "CPUExecutionProvider", "kB"):
        assert fact in found.stdout


def test_it_parts_intents_and_slot_tags() -> None:
    said = CliRunner().invoke(main, ["inspect", str(BUNDLE.with_name("intent-slots"))]).stdout
    assert "intent-slots, 3 intents: on, off, play, 6 slot tags: O, B-room, I-room," in said


def test_it_says_how_large_batches_are_here_and_how_many_run_at_once() -> None:
    said = CliRunner().invoke(main, ["inspect", str(BUNDLE)]).stdout
    assert f"batches    {CPU.token_budget} tokens, {machine.cores()} at a time\n" in said


def test_json_is_the_manifest() -> None:
    found = CliRunner().invoke(main, ["inspect", str(BUNDLE), "--json"])
    shown, written = json.loads(found.stdout), json.loads((BUNDLE / "bertedge.json").read_text())
    (own,), (other,) = shown.pop("variants"), written.pop("variants")
    assert own | other == own  # newer fields have their defaults
    own, other = shown["model"].pop("rule"), written["model"].pop("rule")
    assert own | other == own
    assert shown.pop("model").items() >= written.pop("model").items()
    assert shown | written == shown


def test_what_was_changed_is_refused(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "bundle")
    (tmp_path / "bundle" / "tokenizer.json").unlink()
    found = CliRunner().invoke(main, ["inspect", str(tmp_path / "bundle")])
    assert found.exit_code == 1 and found.stdout == ""
    assert "tokenizer.json is missing" in found.stderr and len(found.stderr.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line() -> None:
    program = [sys.executable, "-m", "bertedge", "inspect", str(BUNDLE)]
    with open("/dev/full", "wb") as full:
        found = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, check=False)
    assert found.returncode == 1
    assert found.stderr == (
        b"Error: standard output could not be written: no space left on device\n"
    )
