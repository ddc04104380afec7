"""The most memory that a process has held, and `python -m bertedge` run so that it is written down.

usage: python memory.py FILE ARGUMENT …

What `getrusage` says of a child is no less than what its parent held when it was started.
"""

import resource
import runpy
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak() -> int:
    """Bytes that this process has held at most."""
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = next(each for each in STATUS.read_text().splitlines() if each.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    file = Path(sys.argv[1])
    sys.argv = ["bertedge", *sys.argv[2:]]
    try:
        runpy.run_module("bertedge", run_name="__main__", alter_sys=True)
    finally:
        file.write_text(str(peak()))
