"""What threads of one process share: its locks, its forked children, and how it ends.

A child has the memory of its parent, but of its threads only the one that forked. A lock that
another thread held is never let go there, and a session waits for its threads for ever when it
runs a larger text, or when it is freed: at the latest when the child exits.

Python ends a daemon thread where it comes back from native code. Between C++ or Rust frames that
aborts the process: so the end waits for calls that are under way, and lets no further ones begin.
"""

import atexit
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from bertedge.errors import first_line

LONGEST_WAIT_S = 30.0
"""What the end of a process waits for its native calls."""
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


class NativeCalls:
    """Calls of onnxruntime and tokenizers under way: `with NATIVE: ...` around each.

    A panic of Rust in the block, whose class cannot be imported and is no Exception, becomes a
    ValueError.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Start again with none, and let them begin."""
        self._lock = threading.Lock()
        self._inside = 0
        self._closed = False
        self._empty = threading.Event()

    def __enter__(self) -> None:
        """Begin one; at the end of the process wait here for ever."""
        with self._lock:
            late = self._closed and threading.current_thread() is not threading.main_thread()
            self._inside += not late
        if late:
            threading.Event().wait()

    def __exit__(self, kind: type[BaseException] | None, error: object, _: object) -> None:
        """End it."""
        with self._lock:
            self._inside -= 1
            if self._closed and not self._inside:
                self._empty.set()
        if kind is not None and kind.__name__ == "PanicException":
            raise ValueError(f"it panicked: {first_line(str(error))}") from None

    def close(self) -> None:
        """Let none begin any more but the main thread's, and wait until all have ended."""
        with self._lock:
            self._closed = True
            if not self._inside:
                return
        self._empty.wait(LONGEST_WAIT_S)


LOCKS = Locks()
NATIVE = NativeCalls()
atexit.register(NATIVE.close)


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
    for renew in (LOCKS.renew, NATIVE.renew, *_RENEWALS):
        renew()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_begin_child)
