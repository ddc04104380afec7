"""Every error that a user can fix, by what must be fixed.

    BertedgeError
    ├── SettingError        a flag, a key of a config file or an argument
    ├── DataError           a labelled file or an input text
    │   └── FaultsError     several rows of one file
    ├── CheckpointError     a Hugging Face checkpoint directory or hub id
    ├── BundleError         a bundle directory: missing, tampered, newer, malformed
    ├── VerificationError   a check that failed: fusion, parity, accuracy, golden inputs
    ├── DeviceError         an execution provider that is not there
    ├── OutputError         a place that cannot be written
    ├── MissingExtraError   a part of bertedge that is not installed
    └── StoppedError        Ctrl-C in work that can be resumed

Messages say what is wrong with the value, what was found, and what to do next, in one line.

What a library raises becomes one of these at one border, `library_errors`.
"""

import contextlib
import errno
from collections.abc import Iterator

LONGEST = 290
"""Characters of a line of a message; the command line writes "Error: " before it."""


class BertedgeError(Exception):
    """Any error with a remedy; the command line shows its message and exits with 1.

    The middle of a line that is too long is cut out: a value of megabytes may stand in it.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__("\n".join(fit(line) for line in message.split("\n")))

    details: tuple[str, ...] = ()
    """Lines that follow the message, where one error stands for several faults."""


class SettingError(BertedgeError):
    """A flag, a key of a config file or an argument has a value that cannot work."""


class DataError(BertedgeError):
    """A labelled file or an input text cannot be used; the message carries file and line."""


class FaultsError(DataError):
    """Several rows of a file cannot be used; `details` names the first of them."""

    def __init__(self, message: str, faults: tuple[str, ...]) -> None:
        super().__init__(message)
        self.details = tuple(shorten(fault, LONGEST) for fault in faults)


class CheckpointError(BertedgeError):
    """A checkpoint is missing, incomplete or of a kind that is not supported."""

    def __init__(self, message: str) -> None:
        super().__init__(shorten(message, LONGEST))


class BundleError(BertedgeError):
    """A bundle is missing, tampered with, malformed or newer than this version reads."""


class VerificationError(BertedgeError):
    """A promise was measured and not kept; the message carries the figure and the bound."""


class DeviceError(BertedgeError):
    """The execution provider asked for cannot run here."""


class OutputError(BertedgeError):
    """The output exists already, or cannot be written."""


class MissingExtraError(BertedgeError):
    """A verb needs libraries that the installed extras do not bring."""

    def __init__(self, extra: str, module: str, instead: str = "") -> None:
        super().__init__(
            f"this needs the module {module!r}, which is not installed: "
            f"pip install 'bertedge[{extra}]'" + (f", {instead}" if instead else "")
        )


class StoppedError(BertedgeError):
    """The user stopped work that was saved and can be resumed."""


def shorten(text: str, most: int = 120) -> str:
    """Cut the middle out of a value that a message shows, and write out what does not print.

    The end of a message says what to do, so it stays; control characters could move a
    terminal's cursor. The result has at most `most` characters.
    """
    # Cut first: the text may be a file's content. No escape is longer than ten characters.
    text = fit(text, 10 * most)
    return fit("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text), most)


def first_line(error: BaseException | str, most: int = 120) -> str:
    """Return the first line of a library's error, or its class where it says nothing."""
    text = str(error).strip()
    return shorten(text.splitlines()[0] if text else type(error).__name__, most)


@contextlib.contextmanager
def library_errors(what: str, remedy: str = "") -> Iterator[None]:
    """Turn what a library raises in the block into "`what`: its first line; `remedy`".

    Raises CheckpointError. Ours pass, and so does a lack of memory or disk, which is no fault
    of the checkpoint. A panic of a library in Rust is a BaseException that only its name tells.
    """
    try:
        yield
    except (BertedgeError, MemoryError):
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE):
            raise
        raise CheckpointError(_told(what, error, remedy)) from error
    except Exception as error:
        raise CheckpointError(_told(what, error, remedy)) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise CheckpointError(_told(what, error, remedy)) from error


def _told(what: str, error: BaseException, remedy: str) -> str:
    # The name of a key says nothing alone.
    line = f"{type(error).__name__} {error}" if isinstance(error, KeyError) else error
    return f"{what}: {first_line(line)}" + (f"; {remedy}" if remedy else "")


def fit(text: str, most: int = LONGEST) -> str:
    """Cut the middle out of a text that has more than `most` characters."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 3]} … {text[len(text) - end :]}"
