"""The largest resident size that this process has had."""

import sys
from pathlib import Path


def peak_memory_bytes() -> int | None:
    """Return it in bytes; None where the system does not tell.

    Linux's `getrusage` would carry the parent's own peak over to a process started from it, so
    there the kernel's figure for this very program is read.
    """
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return None
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
