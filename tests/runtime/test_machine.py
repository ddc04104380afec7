import os
import subprocess
import sys
from pathlib import Path

import pytest

from bertedge.runtime import machine


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("own", "limits", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        ("0::/pod/box\n", {"pod/cpu.max": "200000 100000", "pod/box/cpu.max": "max 100000"}, 2),
        ("0::/pod/box\n", {"pod/cpu.max": "400000 100000", "pod/box/cpu.max": "50000 100000"}, 0.5),
        # A container sees its own group as the root, under the path that the host gave it.
        ("0::/docker/abc\n", {"cpu.max": "300000 100000"}, 3),
        ("0::/../other\n", {"cpu.max": "300000 100000"}, 3),
        (
            "4:memory:/\n3:cpu,cpuacct:/box\n0::/\n",
            {
                "cpu,cpuacct/box/cpu.cfs_quota_us": "250000",
                "cpu,cpuacct/box/cpu.cfs_period_us": "100000",
            },
            2.5,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("garbage\n", {"cpu.max": "garbage"}, None),
    ],
)
def test_quota_is_the_tightest_of_the_groups_of_the_process(
    own: str, limits: dict[str, str], quota: float | None, tmp_path: Path
) -> None:
    write(tmp_path / "proc" / "self" / "cgroup", own)
    for name, text in limits.items():
        write(tmp_path / "cgroup" / name, text)
    assert machine.cgroup_quota(tmp_path / "proc", tmp_path / "cgroup") == quota


def test_quota_is_none_where_there_are_no_groups(tmp_path: Path) -> None:
    assert machine.cgroup_quota(tmp_path, tmp_path) is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity here")
def test_cores_follow_the_affinity_of_the_process() -> None:
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from bertedge.runtime import machine; print(machine.cores())"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout.strip() == b"1"
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="no /proc here")
def test_linux_names_the_cpu_and_its_flags() -> None:
    assert machine.cpu_model()
    assert machine.cpu_flags() & {"sse2", "asimd", "fpu", "fp"}


def test_memory_is_positive_where_it_is_known() -> None:
    found = machine.memory_bytes()
    assert found is None or found > 2**20


@pytest.mark.parametrize(
    ("lines", "files", "limit"),
    [
        ("0::/a/b\n", {"a/memory.max": "1048576", "a/b/memory.max": "max"}, 2**20),
        ("0::/\n", {"memory.max": "2097152"}, 2**21),
        ("5:memory:/a\n", {"memory/a/memory.limit_in_bytes": "4096"}, 4096),
        ("5:memory:/a\n", {"memory/a/memory.limit_in_bytes": "9223372036854771712"}, None),
        ("5:cpu:/a\n", {"memory/a/memory.limit_in_bytes": "4096"}, None),
        ("", {}, None),
    ],
)
def test_the_memory_limit_is_that_of_the_tightest_group(
    lines: str, files: dict[str, str], limit: int | None, tmp_path: Path
) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text(lines)
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert machine.cgroup_memory(tmp_path / "proc", tmp_path / "groups") == limit
