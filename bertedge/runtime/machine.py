"""What the machine really gives this process: cores within its quota, and the CPU's abilities."""

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from bertedge.errors import SettingError, shorten

THREADS = "BERTEDGE_THREADS"
"""The environment variable."""
_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_NO_LIMIT = 2**60

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""CPU flags (x86, then arm64) of hardware that multiplies bf16 faster than fp32."""

_MACOS_FLAGS = {
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.avx2_0": "avx2",
    "hw.optional.avx512f": "avx512f",
    "hw.optional.avx512vnni": "avx512_vnni",
}
# https://learn.microsoft.com/windows/win32/api/processthreadsapi/nf-processthreadsapi-isprocessorfeaturepresent
_WINDOWS_FLAGS = {40: "avx2", 41: "avx512f", 43: "asimddp"}


def cores() -> int:
    """Return how many cores this process may use: cgroup quota and affinity, not the host's."""
    usable = [os.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):
        usable.append(len(os.sched_getaffinity(0)))
    quota = cgroup_quota()
    if quota is not None:
        usable.append(int(quota))
    return max(min(usable), 1)


def threads() -> int:
    """Return the number of threads of a session whose caller names none.

    It is `$BERTEDGE_THREADS`, else the cores of this process. Raises SettingError where the
    variable is not a number of 1 or more.
    """
    own = os.environ.get(THREADS, "").strip()
    if not own:
        return cores()
    if not (own.isascii() and own.isdigit()) or len(own) > 9 or int(own) < 1:
        raise SettingError(f"${THREADS} is {shorten(repr(own))}; give 1 or more, or unset it")
    return int(own)


def cgroup_quota(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> float | None:
    """Read the CPU quota of this process's control groups (v2 and v1), in cores; None if none.

    A group is bound by its parents too, and a container may see its own group as the root.
    """
    quotas = [_quota(group) for group in _groups("cpu", proc, cgroups)]
    return min((quota for quota in quotas if quota is not None), default=None)


def cgroup_memory(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Read the memory limit of this process's control groups (v2 and v1), in bytes."""
    limits = []
    for group in _groups("memory", proc, cgroups):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(group / name).strip()
            if text.isdigit() and int(text) < _NO_LIMIT:  # else "max", or v1's largest number
                limits.append(int(text))
    return min(limits, default=None)


def _groups(controller: str, proc: Path, cgroups: Path) -> Iterator[Path]:
    """Yield the folders of the groups that bind this process, as seen from here."""
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            roots = [cgroups, cgroups / "unified"]
        elif controller in controllers.split(","):
            roots = [cgroups / controllers, cgroups / controller]
            roots += [cgroups / "cpu,cpuacct"] if controller == "cpu" else []
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for root in roots:
            yield from (root.joinpath(*parts[:depth]) for depth in range(len(parts) + 1))


def cpu_model() -> str:
    """Return the CPU's name as its maker gives it."""
    if name := _cpuinfo("model name", "Model", "cpu model"):
        return name
    if sys.platform == "darwin":
        return _sysctl("machdep.cpu.brand_string") or platform.machine()
    return platform.processor() or platform.machine()


def cpu_flags() -> frozenset[str]:
    """Return the CPU's instruction sets by Linux's names, such as `avx512_vnni` and `i8mm`.

    On macOS and Windows only those that matter for int8 are looked for.
    """
    if flags := _cpuinfo("flags", "Features"):
        return frozenset(flags.split())
    if sys.platform == "darwin":
        return frozenset(flag for name, flag in _MACOS_FLAGS.items() if _sysctl(name) == "1")
    if sys.platform == "win32":
        import ctypes

        present = ctypes.windll.kernel32.IsProcessorFeaturePresent
        return frozenset(flag for number, flag in _WINDOWS_FLAGS.items() if present(number))
    return frozenset()


def memory_bytes() -> int | None:
    """Return the memory this process may use, in bytes: the machine's, or its control group's."""
    limits = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    group = cgroup_memory()
    if group is not None:
        limits.append(group)
    return min(limits, default=None)


def _quota(group: Path) -> float | None:
    limit, period = [*_read(group / "cpu.max").split(), "", ""][:2]
    if not limit:
        limit = _read(group / "cpu.cfs_quota_us").strip()
        period = _read(group / "cpu.cfs_period_us").strip()
    if not limit.isdigit() or not period.isdigit() or int(period) == 0:  # "max", or -1 in v1
        return None
    return int(limit) / int(period)


def _cpuinfo(*keys: str) -> str:
    """Read the first field of Linux's /proc/cpuinfo with one of these names; "" for none."""
    rows = (line.partition(":") for line in _read(_PROC / "cpuinfo").splitlines())
    return next((value.strip() for key, _, value in rows if key.strip() in keys), "")


def _sysctl(name: str) -> str:
    import subprocess  # only here: a predictor's start need not wait for it

    found = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
