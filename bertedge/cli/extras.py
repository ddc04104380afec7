"""Which extra to install, said before a heavy import can fail."""

from importlib.util import find_spec

from bertedge.errors import MissingExtraError


def need(extra: str, *modules: str) -> None:
    """Raise MissingExtraError for the first of `modules` that is not installed."""
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtraError(extra, module)
