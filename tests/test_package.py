"""What an installation brings."""

import ast
import importlib
import re
import tomllib
from importlib.metadata import distributions, requires
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

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


def test_the_versions_for_transformers_5_are_those_alone_that_differ() -> None:
    one, other = (
        dict(re.findall(r"^([\w.-]+)==(\S+)$", (PROJECT.parent / name).read_text(), re.MULTILINE))
        for name in ("constraints.txt", "constraints-transformers5.txt")
    )
    assert one["transformers"].startswith("4.") and other["transformers"].startswith("5.")
    assert not one.items() & other.items()


def test_the_tested_versions_install_on_the_oldest_python() -> None:
    project = tomllib.loads(PROJECT.read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    assert oldest == "3.11.0"
    installed = {canonicalize_name(each.name): each for each in distributions()}
    tested = (PROJECT.parent / "constraints.txt").read_text()
    needs = {
        f"{name} {pinned}": found.metadata["Requires-Python"]
        for name, pinned in re.findall(r"^([\w.-]+)==(\S+)$", tested, re.MULTILINE)
        if (found := installed.get(canonicalize_name(name)))  # not those of other systems
        and found.version == pinned
    }
    assert len(needs) > 100
    assert {name for name, need in needs.items() if oldest not in SpecifierSet(need or "")} == set()


def test_the_package_itself_is_small() -> None:
    size = sum(path.stat().st_size for path in PACKAGE.rglob("*.py"))
    assert size < 2_100_000
    assert (PACKAGE / "py.typed").exists()


PUBLIC = {
    "bertedge": """
        Aggregation Answer Answers BertedgeError BundleError CheckpointError Classification
        DataError DeviceError Embedding Entities Entity Explanation FaultsError Fill FilledMasks
        IntentSlots MissingExtraError MultiLabelClassification MultipleChoice OutputError
        Prediction Predictor ProblemType Ranked Regression SettingError StoppedError Task
        VerificationError WordWeight __version__ load
    """,
    "bertedge.evaluation": """
        Agreement Evaluation FittedTemperature TextEvaluation TextModel collect
        compare_predictions count_answers decide evaluate evaluate_as_text fit_on_half join_words
        predict_each summarize write_wrong
    """,
}


@pytest.mark.parametrize("package", PUBLIC)
def test_the_public_names_are_these_and_all_can_be_had(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == PUBLIC[package].split()
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_what_the_root_gives_is_listed_with_it() -> None:
    assert set(dir(bertedge)) >= set(bertedge.__all__)
    assert not hasattr(bertedge, "SPAN_LABELS")


def test_docstrings_begin_with_what_is_done_or_returned() -> None:
    """In the words of NumPy's: "Return", "Compute", "Raise"; nothing is given, told or said."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                words = (ast.get_docstring(node) or "").split(maxsplit=1)
                if words and words[0].rstrip("s,") in ("Give", "Tell", "Say"):
                    wrong.append(f"{path.relative_to(PACKAGE)}: {' '.join(words)[:60]}")
    assert not wrong
