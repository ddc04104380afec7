"""Bytes of installed packages, those they need included.

Uses the standard library alone, for it runs as a program in the environments of peers, which need
not have bertedge:  python installed.py torch transformers
"""

import contextlib
import importlib.metadata
import re
import sys


def installed_bytes(names: list[str]) -> int:
    """Sum the files of distributions and of all that they require in turn, extras left out."""
    total, seen, waiting = 0, set(), list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except (importlib.metadata.PackageNotFoundError, ValueError):
            continue  # for another system or Python, or an editable install's own name
        for file in distribution.files or ():
            with contextlib.suppress(OSError):
                total += file.locate().stat().st_size  # type: ignore[attr-defined]
        needs = [each for each in distribution.requires or () if "extra ==" not in each]
        waiting += [found[0] for each in needs if (found := re.match(r"[\w.-]+", each.strip()))]
    return total


if __name__ == "__main__":
    print(installed_bytes(sys.argv[1:]))  # noqa: T201 (a program's answer)
