"""One progress bar over a whole bench, whose parts take very different times."""

from bertedge.progress import Progress


class Whole:
    """Counts the seconds of work that were planned, so that the remaining time is of the whole.

    The plan is a guess; that it is off by one factor throughout does not matter, for the bar's rate
    is planned seconds a second.
    """

    def __init__(self, progress: Progress, planned_s: float) -> None:
        self._progress = progress
        self._left_over = 0.0
        progress.start("bench", max(round(planned_s), 1), "planned s")

    def phase(self, what: str) -> None:
        """Say that another part begins."""
        self._progress.say(what)

    def say(self, line: str) -> None:
        """Pass a line on."""
        self._progress.say(line)

    def spend(self, planned_s: float, note: str) -> None:
        """Move on by a step that was planned to take so long."""
        self._left_over += planned_s
        seconds = int(self._left_over)
        self._left_over -= seconds
        self._progress.advance(seconds, note)

    def finish(self) -> None:
        """End the bar."""
        self._progress.finish()
