"""The programs in scripts/ tell how they are used, and do nothing then."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("fetch_minilm", "bertedge"),
        ("make_tiny", "torch"),
        ("render", "vl_convert"),
        ("schema", "bertedge"),
    ],
)
def test_help_is_no_folder_to_write_to(name: str, needed: str, tmp_path: Path) -> None:
    pytest.importorskip(needed)
    script = SCRIPTS / f"{name}.py"
    found = subprocess.run(
        [sys.executable, script, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(f"usage: {name}.py [-h]")
    assert list(tmp_path.iterdir()) == []
