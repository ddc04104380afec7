"""The progress of one training, or of one task, among several."""

from bertedge.progress import Progress


class PartProgress:
    """Shows the bar of a part under the part's name, and none of its lines."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name

    def say(self, line: str) -> None:
        """Drop the line: of the part there is one at its end."""

    def start(self, what: str, total: int | None, unit: str, done: int = 0) -> None:
        """Begin a bar."""
        self._progress.start(f"{self._name}, {what}", total, unit, done)

    def advance(self, by: int, note: str = "") -> None:
        """Move the bar on."""
        self._progress.advance(by, note)

    def finish(self) -> None:
        """End the bar."""
        self._progress.finish()


class TaskProgress(PartProgress):
    """Shows the lines of a task too, under the task's name."""

    def say(self, line: str) -> None:
        """Show the line."""
        self._progress.say(f"{self._name}: {line}")
