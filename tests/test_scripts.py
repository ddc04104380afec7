"""The programs in scripts/ tell how they are used, and do nothing then."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.mark.parametrize("name", ["fetch_minilm", "make_tiny", "render", "schema"])
def test_help_is_no_folder_to_write_to(name: str, tmp_path: Path) -> None:
    script = SCRIPTS / f"{name}.py"
    if name in ("make_tiny", "render"):
        pytest.importorskip({"make_tiny": "torch", "render": "vl_convert"}[name])
    found = subprocess.run(
        [sys.executable, script, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(f"usage: {name}.py [-h]")
    assert list(tmp_path.iterdir()) == []
