"""Names of a package that are imported when they are asked for (PEP 562)."""

import importlib
from collections.abc import Callable, Mapping, Sequence

from bertedge.errors import MissingExtraError


def lazy_exports(
    package: str, homes: Mapping[str, Sequence[str]], *, extra: str = ""
) -> Callable[[str], object]:
    """Return the `__getattr__` of a package whose submodules `homes` hold its public names.

    It raises AttributeError for a name that no submodule holds, and MissingExtraError where the
    submodule lacks a library that `extra` brings.
    """
    home = {name: module for module, names in homes.items() for name in names}

    def export(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(importlib.import_module(f"{package}.{home[name]}"), name)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if not extra or missing in ("", "bertedge"):
                raise
            raise MissingExtraError(extra, missing) from None

    return export
