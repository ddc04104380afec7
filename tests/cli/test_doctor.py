import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bertedge.cli import main
from bertedge.runtime import machine


def test_it_tries_out_what_runs() -> None:
    found = CliRunner().invoke(main, ["doctor"])
    assert found.exit_code == 0
    assert "CPUExecutionProvider runs" in found.stdout
    assert f"{machine.cores()} for this process" in found.stdout


def test_json_has_every_part() -> None:
    found = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)
    assert found["machine"]["cores"] == machine.cores()
    assert found["providers"][0] == {
        "name": "CPUExecutionProvider",
        "device": "cpu",
        "runs": True,
        "reason": "",
    }
    assert found["packages"]["numpy"] and found["extras"]["cpu"] is True
    assert "serve" in found["extras"]
    assert found["int8_exact"] in (True, False)


def test_it_shows_what_a_predictor_will_do_here() -> None:
    said = CliRunner().invoke(main, ["doctor"]).stdout
    assert f"many texts {machine.cores()} batches at a time, each on one core" in said
    found = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)["predicting"]
    assert found["threads"] == machine.cores()


@pytest.mark.parametrize(("torch", "code"), [(True, 0), (False, 1)])
def test_without_onnxruntime_it_says_what_to_install(torch: bool, code: int) -> None:
    program = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from importlib import metadata\n"
        "version = metadata.version\n"
        "def without(name):\n"
        "    if name == 'torch': return '2.0'\n"
        "    if name.startswith('onnx'): raise metadata.PackageNotFoundError(name)\n"
        "    return version(name)\n"
        "metadata.version = without\n"
        "from bertedge.cli import main; main(['doctor'])"
    )
    if not torch:
        program = program.replace("return '2.0'", "raise metadata.PackageNotFoundError(name)")
    run = [sys.executable, "-c", program]
    found = subprocess.run(run, capture_output=True, text=True, check=False)
    assert found.returncode == code, found.stderr
    assert "CPUExecutionProvider does not run" in found.stdout
    assert "pip install 'bertedge[cpu]'" in found.stdout
    assert found.stderr == ""


def test_a_quota_below_a_core_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cgroup_quota", lambda: 0.25)
    found = CliRunner().invoke(main, ["doctor"])
    assert found.exit_code == 0
    assert "problem:   the control group allows 0.25 of one core" in found.stdout
    assert "fix:       raise the container's CPU limit" in found.stdout


def test_it_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom bertedge.cli import main\n"
        "main(['doctor'], standalone_mode=False)\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    run = [sys.executable, "-c", program]
    found = subprocess.run(run, capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert {"torch", "transformers", "onnx", "datasets"}.isdisjoint(found.stderr.split())
