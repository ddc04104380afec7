"""The house stands: imports point down, and heavy libraries stay on their floors."""

import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import bertedge
from bertedge.cli import VERBS

PACKAGE = Path(bertedge.__file__).parent
FLOORS = [
    {
        "bundle",
        "columns",
        "data",
        "errors",
        "fields",
        "joint_labels",
        "lazy",
        "libraries",
        "logs",
        "metrics",
        "outputs",
        "overwriting",
        "predictions",
        "progress",
        "serialization",
        "spec",
        "unspaced",
        "version",
    },
    {"runtime"},
    {"tasks"},
    {"model"},
    {"explanation", "zero_shot"},
    {"predictor"},
    {"checkpoint", "doctor", "evaluation", "html", "tables", "training"},
    {"pretrain", "export", "bench", "report", "serve"},
    {"finetune"},
    {"cli"},
    {"__main__"},
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = {"torch", "transformers", "optimum", "onnx", "onnx_ir", "datasets", "accelerate", "sklearn"}
RUNTIME = {"numpy", "tokenizers", "onnxruntime"}
ALLOWED = [
    {"numpy"},
    RUNTIME,
    {"numpy"},
    {"numpy"},
    {"numpy"},
    {"numpy"},
    None,
    None,
    None,
    {"click", "numpy"},
    set(),
]
OWN = {
    "evaluation": RUNTIME,
    "doctor": RUNTIME,
    "data": {"numpy", "python_calamine"},
    "tables": {"numpy", "pyarrow", "ray"},
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path, *, at_top: bool = False) -> Iterator[tuple[str, ...]]:
    """The dotted names that a module imports, anywhere in it or at its top, in parts."""
    package = ("bertedge", *path.relative_to(PACKAGE).parent.parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if at_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple((node.module or "").split(".")) if node.module else ()
            yield from ((*base, alias.name) for alias in node.names)


def imported_rooms(path: Path) -> set[str]:
    names = {name[1] for name in imported(path) if name[0] == "bertedge" and len(name) > 1}
    return names & FLOOR.keys()


def short(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    assert room in FLOOR, f"{room} has no floor yet: add it to FLOORS"
    for other in imported_rooms(path) - {room}:
        assert FLOOR[other] < FLOOR[room] or FLOOR[room] == FLOOR[other] == 0, f"imports {other}"


def test_the_ground_floor_has_no_circles() -> None:
    needs = {room: set[str]() for room in FLOORS[0]}
    for path in MODULES:
        if room_of(path) in needs:
            needs[room_of(path)] |= imported_rooms(path) - {room_of(path)}
    while free := {room for room, others in needs.items() if not others & needs.keys()}:
        needs = {room: others for room, others in needs.items() if room not in free}
    assert not needs, f"these import each other: {sorted(needs)}"


def test_no_module_imports_the_root() -> None:
    """Which stands on all of them."""
    for path in MODULES:
        own = {name[1:] for name in imported(path) if name[0] == "bertedge"}
        assert () not in own and not {name[0] for name in own} & set(bertedge.__all__), short(path)


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


NAMES = {dotted(path): path for path in PACKAGE.rglob("*.py")}


def imported_modules(path: Path, *, at_top: bool = False) -> set[str]:
    names = {".".join(name) for name in imported(path, at_top=at_top)}
    found = {name if name in NAMES else name.rpartition(".")[0] for name in names}
    return (found & NAMES.keys()) - {dotted(path)}


def test_no_two_modules_need_each_other() -> None:
    """Nor do several in a circle, though they would do so in a function, or for a type alone.

    What is left out: a package's face may bring its own modules when it is asked for them.
    """
    needs = {
        name: {
            other
            for other in imported_modules(path)
            if path.name != "__init__.py"
            or not other.startswith(f"{name}.")
            or other in imported_modules(path, at_top=True)
        }
        for name, path in NAMES.items()
    }
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(" needs ".join(reversed(error.args[1])))


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_each_floor_imports_only_its_libraries(path: Path) -> None:
    room = room_of(path)
    libraries = {name[0] for name in imported(path)} - sys.stdlib_module_names - {"bertedge"}
    allowed = OWN.get(room, ALLOWED[FLOOR[room]])
    assert allowed is None or libraries <= allowed


ROWS = PACKAGE / "runtime" / "providers.py"
NO_DEVICE = {"runtime/machine.py"}  # "cpu" is the name of a control group's controller


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_devices_and_their_providers_are_named_in_their_rows_alone(path: Path) -> None:
    """What asks a row instead of a name needs no change for the next device."""
    if path == ROWS or short(path) in NO_DEVICE:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            named = node.value in ("cpu", "cuda") or "ExecutionProvider" in node.value
            assert not named, f"line {node.lineno} says {node.value!r}: take it from {short(ROWS)}"


TASKS_ARE_NAMED_IN = ("spec.py", "tasks/", "finetune/objectives.py", "cli/")
"""Elsewhere the kind of a task's labels, or its module, says what is to be done."""


@pytest.mark.parametrize("path", MODULES, ids=short)
def test_no_other_module_names_a_task(path: Path) -> None:
    if short(path).startswith(TASKS_ARE_NAMED_IN):
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = [
        f"Task.{node.attr}, line {node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Task"
        and node.attr.isupper()
    ]
    assert named == []


def modules_loaded_by(program: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys\nprint(*sys.modules, file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return set(run.stderr.split())


@pytest.mark.parametrize("module", ["bertedge", "bertedge.cli", "bertedge.predictor"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert HEAVY.isdisjoint(modules_loaded_by(f"import {module}"))


@pytest.mark.parametrize("module", ["bertedge", "bertedge.cli"])
def test_importing_the_door_does_not_even_load_numpy(module: str) -> None:
    assert (HEAVY | RUNTIME).isdisjoint(modules_loaded_by(f"import {module}"))


@pytest.mark.parametrize(
    "arguments", [["--help"], *([verb, "--help"] for verb in VERBS)], ids=" ".join
)
def test_help_imports_no_library_but_click(arguments: list[str]) -> None:
    program = f"from bertedge.cli import main\nmain({arguments!r}, standalone_mode=False)"
    assert (HEAVY | RUNTIME).isdisjoint(modules_loaded_by(program))


DOOR = PACKAGE / "__init__.py"
SWITCH = "ORT_DISABLE_TELEMETRY"


def test_onnxruntimes_telemetry_is_turned_off_before_any_other_module_can_import_it() -> None:
    """Python runs the root before its modules, and at its top it imports what imports nothing."""
    light = {"version", "lazy", "errors"}
    for name in light:
        assert imported_rooms(PACKAGE / f"{name}.py") <= light
        libraries = {found[0] for found in imported(PACKAGE / f"{name}.py")} - {"bertedge"}
        assert libraries <= sys.stdlib_module_names
    top = ast.parse(DOOR.read_text(encoding="utf-8")).body
    at_top = [node for node in top if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {getattr(node, "module", None) or node.names[0].name for node in at_top}
    assert names <= sys.stdlib_module_names | {f"bertedge.{name}" for name in light}
    assert any(SWITCH in ast.unparse(node) for node in top if isinstance(node, ast.Expr))
    for path in MODULES:
        assert SWITCH not in path.read_text(encoding="utf-8"), f"{short(path)} may turn it on"


@pytest.mark.parametrize(("own", "left"), [(None, "1"), ("0", "0")])
def test_importing_the_package_turns_the_telemetry_off_unless_the_user_said_otherwise(
    own: str | None, left: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != SWITCH}
    program = f"import os, bertedge; print(os.environ[{SWITCH!r}])"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment if own is None else {**environment, SWITCH: own},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == left


FACES = {
    "bertedge.finetune": [
        *("ClassWeights", "FinetuneConfig", "Finetuned", "MultiTaskConfig", "Precision"),
        *("finetune", "finetune_tasks"),
    ],
    "bertedge.pretrain": ["Precision", "PretrainConfig", "Pretrained", "pretrain"],
}


@pytest.mark.parametrize("package", FACES)
def test_a_face_has_these_names_and_makes_a_config_without_anything_heavy(package: str) -> None:
    face = importlib.import_module(package)
    assert sorted(face.__all__) == FACES[package]
    assert all(hasattr(face, name) for name in face.__all__)
    config = next(name for name in face.__all__ if name.endswith("Config"))
    assert (HEAVY | RUNTIME).isdisjoint(modules_loaded_by(f"from {package} import {config}"))


@pytest.mark.parametrize("package", FACES)
def test_work_without_its_libraries_names_the_extra(package: str) -> None:
    program = (
        "import sys\nsys.modules['torch'] = None\nfrom bertedge.errors import MissingExtraError\n"
        f"try:\n    from {package} import {package.rpartition('.')[2]}\n"
        "except MissingExtraError as error:\n    print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.endswith("not installed: pip install 'bertedge[train]'\n")
