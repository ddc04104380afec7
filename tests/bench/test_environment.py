import subprocess
from pathlib import Path

from bertedge.bench.environment import describe_environment, git_commit


def git(tree: Path, *words: str) -> str:
    command = ["git", "-C", str(tree), "-c", "user.name=n", "-c", "user.email=e@x", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_commit_is_named_and_a_changed_tree_said(tmp_path: Path):
    assert git_commit(tmp_path) is None
    git(tmp_path, "init")
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-m", "one")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert git_commit(tmp_path) == head
    (tmp_path / "a").write_text("2")
    assert git_commit(tmp_path) == f"{head}-dirty"


def test_the_environment_tells_quota_and_host_apart():
    found = describe_environment()
    assert found.host_cores is None or 1 <= found.cores <= found.host_cores
    assert found.versions.keys() >= {"bertedge", "numpy", "onnxruntime"}
