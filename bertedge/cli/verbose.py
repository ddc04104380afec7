"""`--verbose`: what the library logs, on stderr."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bertedge.cli.console import say

F = TypeVar("F", bound=Callable[..., Any])
NAME = "verbose"


def verbose_option(function: F) -> F:
    """Add the option to the group."""
    return _option()(function)


def accept_after_the_verb(command: click.Command) -> click.Command:
    """Let a verb take the option too, without showing it in each verb's help."""
    if all(parameter.name != NAME for parameter in command.params):
        _option(hidden=True)(command)
    return command


def _option(*, hidden: bool = False) -> Callable[[F], F]:
    return click.option(
        "--verbose",
        NAME,
        is_flag=True,
        hidden=hidden,
        expose_value=False,
        callback=_listen,
        help="Log on stderr what is opened, chosen and measured.",
    )


def _listen(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing or ctx.find_root().meta.get(__name__):
        return
    import logging  # the library logs where this was imported

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(self.format(record))

    ctx.find_root().meta[__name__] = True
    handler = Lines()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    logger = logging.getLogger("bertedge")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    ctx.find_root().call_on_close(lambda: logger.removeHandler(handler))
