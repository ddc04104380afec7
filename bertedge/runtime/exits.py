"""How a process ends while threads of it are inside onnxruntime or tokenizers.

Python ends a daemon thread where it comes back from native code. Between C++ or Rust frames that
aborts the process: so the end waits for calls that are under way, and lets no further ones begin.
"""

import atexit
import threading

from bertedge.runtime import forks

LONGEST_WAIT_S = 30.0
"""What the end of a process waits for its calls."""


class Gate:
    """Counts the native calls that are under way: `with NATIVE: ...` around each."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Open it, with nobody inside."""
        self._lock = threading.Lock()
        self._inside = 0
        self._closed = False
        self._empty = threading.Event()

    def __enter__(self) -> None:
        """Go in; at the end of the process wait here for ever."""
        with self._lock:
            late = self._closed and threading.current_thread() is not threading.main_thread()
            self._inside += not late
        if late:
            threading.Event().wait()

    def __exit__(self, *_: object) -> None:
        """Leave."""
        with self._lock:
            self._inside -= 1
            if self._closed and not self._inside:
                self._empty.set()

    def close(self) -> None:
        """Let nobody in any more but the main thread, and wait until all are out."""
        with self._lock:
            self._closed = True
            if not self._inside:
                return
        self._empty.wait(LONGEST_WAIT_S)


NATIVE = Gate()
atexit.register(NATIVE.close)
forks.in_children(NATIVE.renew)
