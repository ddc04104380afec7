"""What a forked child must not touch: sessions and locks whose threads stayed with its parent.

A child has the memory of its parent, but of its threads only the one that forked. A lock that
another thread held is never let go there, and a session waits for its threads for ever when it
runs a larger text, or when it is freed: at the latest when the child exits.
"""

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

_SESSIONS: weakref.WeakSet[Any] = weakref.WeakSet()
_RENEWALS: list[Callable[[], object]] = []


class Locks:
    """Locks of the whole process; a child gets its own."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Make them anew, held by nobody."""
        self.all_cores = threading.Lock()
        """Held by a run of several threads: they spin while they wait for each other, so that two
        such runs at once, of one session or of two, slow each other by more than taking turns
        costs."""
        self.stdout = threading.Lock()
        """Held while standard output is somewhere else."""
        self.opening = threading.Lock()
        """Held while a child opens a bundle again."""


LOCKS = Locks()


def keep(native: Any) -> None:
    """Never free a session of onnxruntime in a child of this process."""
    _SESSIONS.add(native)


def in_children(renew: Callable[[], object]) -> None:
    """Call `renew` in every child that is forked from now on."""
    _RENEWALS.append(renew)


def _begin_child() -> None:
    import ctypes  # only here: few programs fork

    for native in _SESSIONS:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(native))
    LOCKS.renew()
    for renew in _RENEWALS:
        renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_begin_child)
