"""What an installation brings."""

import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import bertedge

PACKAGE = Path(bertedge.__file__).parent
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
NAME = re.compile(r"[A-Za-z0-9._-]+")


def needed(extra: str | None) -> set[str]:
    """Names of the requirements of the base (None) or of one extra."""
    names = set()
    for line in requires("bertedge") or []:
        requirement, _, marker = line.partition(";")
        found = NAME.match(requirement)
        assert found
        if (f'"{extra}"' in marker) if extra else not marker:
            names.add(found[0])
    return names


def test_the_runtime_needs_four_libraries_and_no_more() -> None:
    assert needed(None) == {"click", "numpy", "tokenizers"}
    assert needed("cpu") == {"onnxruntime"}


def test_cpu_and_gpu_bring_one_onnxruntime_each() -> None:
    assert needed("gpu") == {"onnxruntime-gpu"}


def test_gpu_conflicts_with_every_extra_that_brings_the_other_onnxruntime() -> None:
    project = tomllib.loads(PROJECT.read_text())
    extras = project["project"]["optional-dependencies"]
    others = {"cpu"} | {
        name
        for name, needs in extras.items()
        if any(re.match(r"bertedge\[(.*,)?cpu[],]", need) for need in needs)
    }
    conflicts = {
        frozenset(one["extra"] for one in each) for each in project["tool"]["uv"]["conflicts"]
    }
    assert {"export", "bench", "all"} <= others
    assert conflicts == {frozenset({"gpu", other}) for other in others}


def test_the_package_itself_is_small() -> None:
    size = sum(path.stat().st_size for path in PACKAGE.rglob("*.py"))
    assert size < 1_300_000
    assert (PACKAGE / "py.typed").exists()


def test_the_public_names_are_two() -> None:
    assert sorted(bertedge.__all__) == ["__version__", "load"]


def test_every_file_that_is_no_module_is_declared_as_package_data() -> None:
    """Else it is in a checkout, and missing in a wheel."""
    project = tomllib.loads(PROJECT.read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["bertedge"]
    declared = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    files = {path for path in PACKAGE.rglob("*") if path.is_file()}
    assert files - declared == {path for path in files if path.suffix in (".py", ".pyc")}
