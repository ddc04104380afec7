"""The command line: one file a verb; each imports its work when it is called."""

import atexit
import contextlib
import difflib
import errno
import importlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

import click

from bertedge.cli.console import (
    LONGEST_MESSAGE,
    one_line,
    prepare,
    say,
    say_click_error,
    say_error,
    shorten,
    unwritable,
    writing_results,
)
from bertedge.cli.progress import end_line
from bertedge.cli.verbose import accept_after_the_verb, verbose_option
from bertedge.errors import BertedgeError, SettingError
from bertedge.version import __version__

VERBS = (
    *("pretrain", "finetune", "export", "evaluate", "report", "predict", "serve", "bench"),
    *("inspect", "doctor"),
)
_UNWRITABLE = (errno.ENOSPC, errno.EBADF, errno.EDQUOT)
"""What standard output ends with: a full disk, a closed descriptor, a quota."""
_ENDING = (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class Verbs(click.Group):
    """A group that loads verbs when asked for, and shows every error as one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the verbs in the order of the work."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb's module and return its `command`."""
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"bertedge.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        command.name = cmd_name
        return accept_after_the_verb(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; where there is none, name what was meant."""
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(VERBS)}"
            raise click.UsageError(f"no such command {args[0]!r}; {remedy}", ctx)
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line and exit."""
        prepare()
        return super().main(*args, **extra)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the arguments that stand before the verb's name; print the help of all."""
        with one_line_each(), writing_results():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb."""
        with one_line_each(), terminable():
            try:
                return super().invoke(ctx)
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    name = shorten(str(error.filename), 80)
                    raise SettingError(f"{name} is too long for the name of a file") from error
                if error.errno not in _UNWRITABLE:  # a closed pipe is click's to handle
                    raise
                raise unwritable(error) from error


@contextlib.contextmanager
def one_line_each() -> Iterator[None]:
    """Make one line of a user's mistake and of Ctrl-C, below the bar where one is drawn."""
    try:
        yield
    except click.ClickException as error:
        end_line()
        say_click_error(error)
        raise click.exceptions.Exit(error.exit_code) from error
    except BertedgeError as error:
        end_line()
        say_error(str(error))
        for fault in error.details:
            say(f"  {shorten(one_line(fault), LONGEST_MESSAGE - 2)}")
        raise click.exceptions.Exit(1) from error
    except KeyboardInterrupt:
        end_line(typed=True)
        say_error("interrupted; nothing half-written was left")
        raise click.exceptions.Exit(1) from None


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM and the end of the terminal end the block as Ctrl-C does, all tidied up.

    A second such signal is ignored while that is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup ignores the terminal's end: so be it
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        atexit.unregister(_ignore_signals)
        atexit.register(_ignore_signals)  # the last one registered is the first to run


def _ignore_signals() -> None:
    """Let Python end in peace: all is done, and what it prints of an interrupt is a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bertedge")
@verbose_option
def main() -> None:
    """Fine-tune a BERT, export it as a verified int8 ONNX bundle, run it without torch.

    \b
    labelled file --finetune--> checkpoint --export--> bundle --predict--> labels
    """
