"""Build the wheel and the sdist, and test the wheel as a user installs it, with `[cpu]` alone.

usage: python scripts/check_package.py [PYTHON ...]   (default: 3.11 3.12 3.13)

Each Python gets a fresh environment with the newest onnxruntime, numpy and tokenizers that there
are for it; the oldest Python one more with the oldest that pyproject.toml allows. A Python that
is not on this machine is skipped, and said to be.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "installed"
PYTHONS = ("3.11", "3.12", "3.13")
OUR_SHARE = 2_300_000
"""Bytes that bertedge may add to what its four libraries bring; bytecode, a cache, not counted."""
NOT_SOURCE = (".*", "*.egg-info", "__pycache__", "build", "dist", "runs", "bundles")


def main() -> None:
    pythons = sys.argv[1:] or PYTHONS
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    libraries = [*project["dependencies"], *project["optional-dependencies"]["cpu"]]
    oldest = [requirement.replace(">=", "==") for requirement in libraries]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        wheel = build(work)
        make_bundles(work)
        for number, version in enumerate(pythons):
            interpreter = find_python(version)
            if interpreter is None:
                print(f"Python {version}: SKIPPED, no interpreter on this machine", flush=True)
                continue
            test_installed(interpreter, wheel, libraries, work / f"newest-{version}")
            if number == 0:
                test_installed(interpreter, wheel, oldest, work / f"oldest-{version}")


def build(work: Path) -> Path:
    """Build both from a copy of the sources, check what they hold, and return the wheel."""
    source = work / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    run(sys.executable, "-m", "build", "--wheel", "--outdir", work / "from-tree", source)
    run(sys.executable, "-m", "build", "--outdir", work / "dist", source)  # by way of the sdist
    (sdist,) = (work / "dist").glob("*.tar.gz")
    (wheel,) = (work / "dist").glob("*.whl")
    (direct,) = (work / "from-tree").glob("*.whl")
    demand(contents(wheel) == contents(direct), "the sdist builds another wheel than the tree")
    packed = {name for name in contents(wheel) if name.startswith("bertedge/")}
    files = {path for path in (source / "bertedge").rglob("*") if path.is_file()}
    expected = {path.relative_to(source).as_posix() for path in files}
    demand(packed == expected, f"files of the wheel differ: {sorted(packed ^ expected)}")
    with tarfile.open(sdist) as file:
        names = {member.partition("/")[2] for member in file.getnames()}
    missing = {"README.md", "LICENSE", "pyproject.toml", *expected} - names
    demand(not missing, f"the sdist lacks {sorted(missing)}")
    print(f"{wheel.name}, {wheel.stat().st_size:,} bytes, the same from {sdist.name}", flush=True)
    return wheel


def contents(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as file:
        return {name: hashlib.sha256(file.read(name)).hexdigest() for name in file.namelist()}


def make_bundles(work: Path) -> None:
    """Export bundles of all tasks here, where the extras are installed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run(sys.executable, TESTS / "make_bundles.py", work, env=environment)


def find_python(version: str) -> str | None:
    """Return an interpreter of this version: of the path, pyenv's or uv's."""
    if sys.version.startswith(f"{version}."):
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [f"python{version}", *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
    if uv := shutil.which("uv"):
        found = subprocess.run(
            [uv, "python", "find", version], capture_output=True, text=True, check=False
        )
        candidates.append(found.stdout.strip())
    for candidate in filter(None, candidates):
        if shutil.which(candidate) and runs(candidate, version):
            return candidate
    return None


def runs(python: str, version: str) -> bool:
    """Say whether it is of this version and can make environments (a shim may stand for none)."""
    program = "import ensurepip, ssl, venv, sys; print(sys.version)"
    found = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    return found.returncode == 0 and found.stdout.startswith(f"{version}.")


def test_installed(interpreter: str, wheel: Path, libraries: list[str], folder: Path) -> None:
    """Install the libraries, then the wheel with `[cpu]`, and run the tests on it."""
    run(interpreter, "-m", "venv", folder)
    python = folder / "bin" / "python"
    pip = (python, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check")
    run(*pip, *libraries)
    before = size(folder)
    run(*pip, f"{wheel}[cpu]", *libraries)
    added = size(folder) - before
    demand(added <= OUR_SHARE, f"bertedge adds {added:,} bytes to its libraries")
    run(python, "-m", "pip", "check", "--disable-pip-version-check")
    run(*pip, "pytest")
    names = [re.split(r"[<>=]", requirement)[0] for requirement in libraries]
    program = (
        "import importlib.metadata as m, platform, sys, bertedge\n"
        "assert bertedge.__file__.startswith(sys.prefix), bertedge.__file__\n"
        f"versions = [f'{{name}} {{m.version(name)}}' for name in {names}]\n"
        f"print('Python', platform.python_version(), *versions, '+{added / 1e6:.1f} MB', sep=', ')"
    )
    print(run(python, "-c", program).strip(), flush=True)
    environment = {**os.environ, "BERTEDGE_BUNDLES": str(folder.parent / "bundles")}
    environment.pop("PYTHONPATH", None)
    options = ("-q", "-p", "no:cacheprovider", f"--rootdir={TESTS}", f"--confcutdir={TESTS}")
    said = run(python, "-m", "pytest", *options, TESTS / "test_installed.py", env=environment)
    print(said.splitlines()[-1], flush=True)


def size(environment: Path) -> int:
    return sum(path.stat().st_size for path in environment.rglob("*") if path.is_file())


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a program away from the tree, whose package it would find; show it where it fails."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} if env is None else env
    with tempfile.TemporaryDirectory() as folder:
        found = subprocess.run(
            list(map(str, command)),
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    demand(found.returncode == 0, f"{' '.join(map(str, command))}\n{found.stdout}")
    return found.stdout


def demand(holds: bool, otherwise: str) -> None:
    if not holds:
        sys.exit(f"check_package: {otherwise}")


if __name__ == "__main__":
    main()
