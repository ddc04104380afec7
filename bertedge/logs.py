"""What the library tells the standard `logging` module, under names that begin with `bertedge.`.

Nobody listens to a module that was not imported, and importing it takes a start 5 ms: so it is
left alone until a program has imported it to configure it.
"""

import sys


def log(name: str, message: str, *values: object) -> None:
    """Log at the level INFO under `name`; without a handler nothing is shown."""
    logging = sys.modules.get("logging")
    if logging is None:
        return
    root = logging.getLogger("bertedge")
    if not root.handlers:
        root.addHandler(logging.NullHandler())
    logging.getLogger(name).info(message, *values)
