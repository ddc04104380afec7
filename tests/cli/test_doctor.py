import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from bertedge.cli import main
from bertedge.libraries import has_optimum
from bertedge.runtime import machine

REPOSITORY = Path(__file__).resolve().parent.parent.parent


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
    assert {"optimum", "serve"} <= set(found["extras"])
    assert found["int8_exact"] in (True, False)


def _requirements() -> list[str]:
    """What an installation from this tree says that the extras need."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].items()
    return [f'{need}; extra == "{extra}"' for extra, needs in extras for need in needs]


@pytest.mark.parametrize(("transformers", "complete"), [("4.57.6", True), ("5.23.0", False)])
def test_the_extra_optimum_is_complete_beside_transformers_4_alone(
    transformers: str, complete: bool
) -> None:
    program = (
        "from importlib import metadata\n"
        f"versions = {{'transformers': {transformers!r}}}\n"
        "version = metadata.version\n"
        "metadata.version = lambda name: versions.get(name) or version(name)\n"
        f"metadata.requires = lambda name: {_requirements()!r}\n"
        "from bertedge.doctor import _extras\n"
        "print(_extras()['optimum'])"
    )
    if not has_optimum() and complete:
        pytest.skip("needs the optimum extra")
    run = [sys.executable, "-c", program]
    found = subprocess.run(run, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(complete)


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
