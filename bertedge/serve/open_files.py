"""How many connections fit into the files that this process may have open."""

import sys
from collections.abc import Callable

from bertedge.errors import SettingError

ACCEPTED_AT_ONCE = 32
"""Connections that asyncio accepts before it looks after those that are open."""
OTHER_FILES = 6 * ACCEPTED_AT_ONCE
"""Files beside connections: those being accepted and closed, bundles, libraries, logs."""


def room_for_connections(wanted: int, say: Callable[[str], None]) -> int:
    """Return how many connections may be open, of those wanted; the limit is raised where it can.

    SettingError where there is room for none. Without room in the limit asyncio would accept
    nobody, and write a traceback for each attempt.
    """
    if sys.platform == "win32":
        return wanted
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = soft - OTHER_FILES
    if room < 1:
        raise SettingError(
            f"this process may open {soft} files; allow at least {OTHER_FILES + 1}: "
            f"ulimit -n {needed}"
        )
    if room < wanted:
        say(
            f"warning: {room:,} connections at a time, not {wanted:,}, as this process may open "
            f"{soft:,} files; ulimit -n {needed} allows more"
        )
    return room
