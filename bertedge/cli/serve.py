"""`bertedge serve`."""

import math
from typing import Any

import click

from bertedge.cli import options
from bertedge.cli.extras import need
from bertedge.cli.sections import Sectioned

_SECTIONS = {
    "Address": ("host", "port"),
    "Limits": ("max_rows", "max_bytes", "max_queue", "max_wait"),
    "Security": ("api_key_file", "tls_cert", "tls_key"),
    "Model": ("device", "variant", "threads"),
    "Output": ("page", "access_log"),
}


class _Seconds(click.FloatRange):
    """A range that nan is not in, as it is in click's."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Read a number of seconds."""
        read = float(super().convert(value, param, ctx))
        if math.isnan(read):
            self.fail("nan is no number of seconds", param, ctx)
        return read


@click.command(cls=Sectioned, sections=_SECTIONS, short_help="Put bundles behind HTTP.")
@click.argument("bundles", metavar="[NAME=]BUNDLE...", nargs=-1, required=True)
@click.option(
    "--host", metavar="NAME", default="127.0.0.1", show_default=True, help="Address to listen on."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: a free one."
)
@click.option(
    "--max-rows",
    metavar="ROWS",
    type=click.IntRange(1),
    default=1024,
    show_default=True,
    help="Inputs in one request.",
)
@click.option(
    "--max-bytes",
    metavar="BYTES",
    type=click.IntRange(1),
    default=2**21,
    show_default=True,
    help="Of a request's body.",
)
@click.option(
    "--max-queue",
    metavar="TOKENS",
    type=click.IntRange(1),
    default=2**18,
    show_default=True,
    help="Tokens that may wait for a model.",
)
@click.option(
    "--max-wait",
    metavar="SECONDS",
    type=_Seconds(0, 3600, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds until a request gives up.",
)
@click.option(
    "--max-connections",
    metavar="COUNT",
    type=click.IntRange(1, 1_000_000),
    default=8192,
    show_default=True,
    help="Connections at a time; above, the longest idle are closed.",
)
@click.option(
    "--max-receive",
    metavar="SECONDS",
    type=_Seconds(0, 3600, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds that a request may take to arrive.",
)
@click.option(
    "--drain",
    metavar="SECONDS",
    type=_Seconds(0, 3600),
    default=30.0,
    show_default=True,
    help="Seconds that requests under way have after SIGTERM.",
)
@options.path_option("--api-key-file", help="File of keys, one a line; requests need one.")
@options.path_option("--tls-cert", help="Certificate in PEM; the server speaks HTTPS.")
@options.path_option("--tls-key", help="Its key in PEM.")
@click.option("--page/--no-page", default=True, help="A page at / to try it  [default: yes].")
@click.option(
    "--compat", type=click.Choice(["tei"]), help="Answer /predict and /embed as TEI does."
)
@click.option("--access-log", is_flag=True, help="A line of JSON a request, on stdout.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@click.option("--variant", help="Of the bundles, instead of the fastest for the device.")
@click.option("--threads", type=click.IntRange(1), help="Default: the cores of this process.")
def command(bundles: tuple[str, ...], access_log: bool, **flags: Any) -> None:
    """Answer POST /predict with the model in BUNDLE, or /predict/NAME with one of several.

    Requests and answers are the JSON of `bertedge predict`. SIGTERM and Ctrl-C answer what was let
    in and stop; SIGHUP opens the bundles anew.

    \b
    bertedge serve bundles/home-intents
    bertedge serve intents=bundles/home-intents ner=bundles/ner --port 9000
    """
    need("serve", "starlette", "uvicorn", "prometheus_client")
    from bertedge.cli.console import say
    from bertedge.serve.config import ServeConfig, parse_bundle
    from bertedge.serve.server import serve

    if access_log:
        _log_access()
    serve(ServeConfig(bundles=[parse_bundle(each) for each in bundles], **flags), say)


def _log_access() -> None:
    import logging
    import sys

    from bertedge.serve.access import LOGGER

    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    LOGGER.addHandler(logging.StreamHandler(sys.stdout))
