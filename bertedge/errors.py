"""Every error that a user can mend, by what must be mended.

    BertedgeError
    ├── SettingError        a flag, a recipe or an argument
    ├── DataError           a labelled file or an input text
    ├── CheckpointError     a Hugging Face checkpoint directory or hub id
    ├── BundleError         a bundle directory: missing, tampered, newer, malformed
    ├── VerificationError   a check that failed: fusion, parity, accuracy, golden inputs
    ├── DeviceError         an execution provider that is not there
    ├── OutputError         a place that cannot be written
    ├── MissingExtraError   a part of bertedge that is not installed
    └── StoppedError        Ctrl-C in work that can be resumed

Messages say what is wrong with the value, what was found, and what to do next, in one line.
"""


class BertedgeError(Exception):
    """Any error with a remedy; the command line shows its message and exits with 1."""


class SettingError(BertedgeError):
    """A flag, a recipe entry or an argument has a value that cannot work."""


class DataError(BertedgeError):
    """A labelled file or an input text cannot be used; the message carries file and line."""


class CheckpointError(BertedgeError):
    """A checkpoint is missing, incomplete or of a kind that is not supported."""


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


def first_line(error: BaseException) -> str:
    """Give the first line of what a library's error says, or its class where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def shorten(text: str, most: int = 120) -> str:
    """Cut the middle out of a value that a message shows, and write out what does not print."""
    if len(text) > most:
        text = f"{text[: most * 2 // 3]} … {text[-(most // 3) :]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
