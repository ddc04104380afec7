"""What the command line prints: results to stdout, the rest to stderr, and none of it obeyed.

Labels, texts and file names come from elsewhere. What a terminal would obey in them (escape
sequences, C1 controls, changes of the writing direction) is shown as Python writes it: `\\x1b`.
"""

import contextlib
import errno
import io
import os
import re
import sys
from collections.abc import Iterator
from typing import Protocol

import click

from bertedge.errors import OutputError

LONGEST_MESSAGE = 300
"""Characters of the line that says what is wrong."""

_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Controls but TAB and line feed, line separators, directions, halves of characters."""
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_WORDS = (
    (re.compile(r"^(problem:|  FAIL\b)", re.MULTILINE), "red"),
    (re.compile(r"^(fix:|  pass\b)", re.MULTILINE), "green"),
)
"""Beginnings of lines that have a colour."""


def clean(text: str) -> str:
    """Spell out the characters that a terminal obeys; lines stay lines."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    """Make one line of a text that is safe to show."""
    return clean(re.sub(r"[\r\n\t]+", " ", text))


def clean_json(text: str) -> str:
    """Spell out the same characters in JSON, which means the same then."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def show(text: str) -> None:
    """Print results for people; on a terminal the first line is bold."""
    first, line_end, rest = clean(text.rstrip("\n")).partition("\n")
    for words, colour in _WORDS:
        rest = words.sub(click.style(r"\1", fg=colour), rest)
    with writing_results():
        first = click.style(first, bold=True) if first else ""
        click.echo(first + line_end + rest, color=wants_colour())


def show_json(text: str) -> None:
    """Print JSON that has its line end, in ASCII where the stream takes no more."""
    text = clean_json(text)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = _BEYOND_ASCII.sub(lambda found: _utf16_escapes(found[0]), text)
    with writing_results():
        click.echo(text, nl=False)


class Drawn(Protocol):
    """What stands on the terminal's last line and is drawn again."""

    def draw(self) -> None:
        """Draw it."""

    def erase(self) -> None:
        """Leave the line empty."""

    def interrupt(self) -> None:
        """Leave it where it stands, for something else to be printed below it."""


drawn: list[Drawn] = []
"""The bar that is on the screen, if any."""


def say(line: str) -> None:
    """Print one line of bounded length on stderr, above the bar where there is one."""
    for each in drawn:
        each.erase()
    click.echo(shorten(one_line(line), LONGEST_MESSAGE), err=True, color=wants_colour())
    for each in drawn:
        each.draw()


def say_next(command: str) -> None:
    """Print the command to type next, where a person is at a terminal."""
    if at_terminal():
        line = click.style("next:", fg="cyan") + " " + one_line(command)
        click.echo(line, err=True, color=wants_colour())


def at_terminal() -> bool:
    """Return whether a person sees both streams, one after the other, on one screen."""
    return sys.stdout.isatty() and sys.stderr.isatty()


def wants_colour() -> bool | None:
    """Return what the environment asks of colour; None: as the stream is a terminal or not."""
    if os.environ.get("NO_COLOR"):
        return False
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        if os.environ.get(name, "0") != "0":
            return True
    return False if os.environ.get("TERM") == "dumb" or os.environ.get("CLICOLOR") == "0" else None


def say_error(message: str, before: str = "") -> None:
    """Print what is wrong as one line of bounded length, below lines about the usage."""
    head = "Error: "
    line = shorten(one_line(message), LONGEST_MESSAGE - len(head))
    text = clean(before) + click.style(head, fg="red", bold=True) + line
    click.echo(text, err=True, color=wants_colour())


def say_click_error(error: click.ClickException) -> None:
    """Print one of click's errors in the same way."""
    shown = io.StringIO()
    error.show(shown)
    before, _, message = shown.getvalue().rstrip("\n").partition("Error: ")
    say_error(message, before)


def shorten(text: str, longest: int) -> str:
    """Cut out the middle of a long text: its end says what to do, or which one it is."""
    if len(text) <= longest:
        return text
    tail = longest // 2
    return f"{text[: longest - tail - 3]} … {text[-tail:]}"


@contextlib.contextmanager
def writing_results() -> Iterator[None]:
    """Turn the failure to write standard output in the block into an OutputError.

    A reader that went away is click's to handle, quietly.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise unwritable(error) from error


def unwritable(error: OSError) -> OutputError:
    """Return why standard output could not be written, and drop what is buffered for it."""
    _drop_results()
    why = (error.strerror or str(error)).lower()
    if error.errno == errno.EBADF:
        why = "it is closed; send it to a file, or to /dev/null"
    return OutputError(f"standard output could not be written: {why}")


def _drop_results() -> None:
    """Let what is buffered go nowhere, or the interpreter fails at its end once more."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def prepare() -> None:
    """Make the standard streams safe to use, whatever this process was started with.

    A file opened later must not get the number of a closed one, and what libraries print with
    it. Characters that a stream's encoding lacks are spelled out.
    """
    # Not writable and not readable, so that use is an error as it is with a closed descriptor.
    for descriptor, mode in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest number that is free
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _utf16_escapes(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
