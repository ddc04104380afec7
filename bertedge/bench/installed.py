"""Bytes of installed packages, those they need included.

Uses the standard library alone, for it runs as a program in the environments of peers, which need
not have bertedge:  python installed.py torch transformers
"""

import importlib.metadata
import re
import sys


def installed_bytes(names: list[str]) -> int:
    """Sum the files of distributions and of all that they require in turn, extras left out."""
    total, seen = 0, set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another system or Python, or an editable install's own name
        total += _size(distribution)
        waiting += [_name(each) for each in distribution.requires or () if "extra ==" not in each]
    return total


def _size(distribution: importlib.metadata.Distribution) -> int:
    total = 0
    for file in distribution.files or ():
        try:
            total += file.locate().stat().st_size  # type: ignore[attr-defined]
        except OSError:
            continue
    return total


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    return found[0] if found else ""


if __name__ == "__main__":
    print(installed_bytes(sys.argv[1:]))  # noqa: T201 (a program's answer)
