"""The README's figures and the picture follow the recorded benches, or the check fails."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("matplotlib", reason="needs the bench extra")

ROOT = Path(__file__).parent.parent


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/render.py on a copy of one recorded bench and of a document that shows it."""
    module = load("render")
    record = ROOT / "tests" / "bench" / "records" / "schema1.json"
    (tmp_path / module.BENCHES[0][1]).write_bytes(record.read_bytes())
    document = tmp_path / "README.md"
    document.write_text("<!-- measured:begin bench -->\n<!-- measured:end bench -->\n")
    for name, value in (("ROOT", tmp_path), ("BENCHMARKS", tmp_path), ("DOCUMENTS", (document,))):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr("sys.argv", ["render.py"])
    module.main()
    monkeypatch.setattr("sys.argv", ["render.py", "--check"])
    return module


def test_what_was_rendered_passes_the_check(render: ModuleType, tmp_path: Path):
    render.main()
    text = (tmp_path / "README.md").read_text()
    assert "| **cpu-int8** | 0.966 ms, **6.6x** |" in text
    assert "bench-dark.svg" in text and "7.96 times as fast" in text
    for name in ("bench.svg", "bench-dark.svg"):
        drawn = (tmp_path / name).read_text()
        assert "cpu-int8" in drawn and "var(" not in drawn


def test_another_figure_in_the_record_fails_the_check(render: ModuleType, tmp_path: Path):
    path = tmp_path / render.BENCHES[0][1]
    data = json.loads(path.read_text())
    for result in data["results"]:
        result["latency"]["p50_ms"] *= 2
    path.write_text(json.dumps(data))
    with pytest.raises(SystemExit, match=r"README.md, bench.svg, bench-dark.svg differ"):
        render.main()


@pytest.mark.parametrize("name", ["README.md", "bench.svg", "bench-dark.svg"])
def test_a_document_or_picture_that_was_changed_fails_the_check(
    render: ModuleType, tmp_path: Path, name: str
):
    path = tmp_path / name
    path.write_text(path.read_text().replace("cpu-int8", "cpu-int9"))
    with pytest.raises(SystemExit, match=f"{name} differ"):
        render.main()


def test_every_field_of_a_record_is_in_the_schema():
    schema = load("schema")
    text = "\n".join(schema.section(kind) for kind in schema.reachable(schema.Report))
    for line in (
        "| `p90_ms` | number |",
        "| `speedup` | [Ratio](#ratio) or null | Over the engine's baseline;",
        "| `rounds_ms` | list of list of number | Every run that was timed, by round. |",
        "| `versions` | object of string |",
        "| `faster` |",
    ):
        assert line in text
