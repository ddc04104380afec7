import importlib.metadata
import subprocess
import sys

from bertedge.bench import installed


def size(name: str) -> int:
    files = importlib.metadata.files(name) or ()
    paths = [file.locate() for file in files]
    return sum(path.stat().st_size for path in paths if path.exists())


def test_packages_are_weighed_with_what_they_need():
    assert installed.installed_bytes(["click"]) == size("click") > 100_000
    alone = size("onnxruntime") if found("onnxruntime") else size("onnxruntime-gpu")
    names = ["onnxruntime", "onnxruntime_gpu"]
    assert installed.installed_bytes(names) >= alone + size("numpy")


def test_a_package_counts_once_and_a_missing_one_nothing():
    twice = installed.installed_bytes(["click", "Click", "no-such-package"])
    assert twice == installed.installed_bytes(["click"])


def test_it_runs_as_a_program_anywhere():
    command = [sys.executable, "-I", installed.__file__, "click"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(said.stdout) == installed.installed_bytes(["click"])


def found(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
