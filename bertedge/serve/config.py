"""What `serve` is told."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertedge.errors import SettingError, shorten

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedBundle:
    """A bundle, and the name that requests call it by."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """How bundles are served; the first is the one that requests mean which name none."""

    bundles: Sequence[ServedBundle]
    host: str = "127.0.0.1"
    port: int = 8080
    device: str = "auto"
    variant: str | None = None
    threads: int | None = None
    max_bytes: int = 2 * 2**20
    """Of a request's body."""
    max_rows: int = 1024
    """Inputs in a request; of multiple choice, choices."""
    max_queue: int = 2**18
    """Tokens that wait for one model; above, requests are refused."""
    max_wait: float = 30.0
    """Seconds after which a request that is not answered gives up, and the most it may ask for."""
    max_connections: int = 8192
    """Connections at a time; above, those that are idle for longest are closed."""
    max_receive: float = 30.0
    """Seconds that the head of a request may take to arrive, and its body after that."""
    drain: float = 30.0
    """Seconds that requests under way have at the end."""
    api_key_file: Path | None = None
    """One key a line."""
    compat: str | None = None
    """Whose endpoints stand beside the others: "tei", text-embeddings-inference's."""
    page: bool = True
    """Whether people find a page at `/`."""
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        """Refuse names that are given twice, and half a pair of TLS files."""
        names = [each.name for each in self.bundles]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise SettingError(f"two bundles are called {twice}; name them: NAME=BUNDLE")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SettingError("--tls-cert and --tls-key go together; give both or none")


def parse_bundle(argument: str) -> ServedBundle:
    """Read "NAME=BUNDLE", or "BUNDLE", which is called as its folder."""
    name, equals, path = argument.partition("=")
    if not equals or "/" in name:
        path = argument
        name = re.sub(r"[^A-Za-z0-9._-]", "-", Path(argument).absolute().name).lstrip("._-")[:64]
    if not path or not _NAME.fullmatch(name):
        raise SettingError(
            f"{shorten(repr(argument))} names no bundle; give BUNDLE or NAME=BUNDLE, the name of "
            "up to 64 letters, digits, dots, dashes and underscores"
        )
    return ServedBundle(name=name, path=Path(path))
