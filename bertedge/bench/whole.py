"""One progress bar over a whole bench, whose parts take very different times."""

from collections.abc import Mapping
from itertools import accumulate

from bertedge.progress import Progress


class Whole:
    """Counts the seconds of work that were planned, so that the remaining time is of the whole.

    The plan is a guess; that it is off by one factor throughout does not matter, for the bar's rate
    is planned seconds a second. What a part did not need of its plan (an engine broke, all ratios
    are known early) is passed over when the next part begins.
    """

    def __init__(self, progress: Progress, planned_s: Mapping[str, float]) -> None:
        """Start the bar; `planned_s` has the parts in their order."""
        self._progress = progress
        self._ends_s = dict(zip(planned_s, accumulate(planned_s.values()), strict=True))
        self._begins_s = {part: end - planned_s[part] for part, end in self._ends_s.items()}
        self._total = max(round(sum(planned_s.values())), 1)
        self._done_s = self._end_s = 0.0
        self._shown = 0
        progress.start("bench", self._total, "planned s")

    def begin(self, part: str, what: str) -> None:
        """Say that a part begins."""
        self._progress.say(f"{part}: {what}")
        self._end_s = self._ends_s[part]
        self._move_to(self._begins_s[part])

    def say(self, line: str) -> None:
        """Pass a line on."""
        self._progress.say(line)

    def spend(self, planned_s: float, note: str) -> None:
        """Move on by a step of the part that was planned to take so long."""
        self._move_to(min(self._done_s + planned_s, self._end_s), note)

    def complete(self) -> None:
        """Move to the bar's end: all parts are done."""
        self._move_to(self._total)

    def finish(self) -> None:
        """End the bar where it stands."""
        self._progress.finish()

    def _move_to(self, done_s: float, note: str = "") -> None:
        self._done_s = done_s
        seconds = min(int(done_s), self._total) - self._shown
        self._shown += seconds
        self._progress.advance(seconds, note)
