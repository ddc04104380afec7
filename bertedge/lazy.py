"""Names of a package that are imported when they are asked for (PEP 562)."""

import importlib
from collections.abc import Callable, Mapping, Sequence


def lazy_exports(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], object]:
    """Return the `__getattr__` of a package whose submodules `homes` hold its public names.

    Raises AttributeError for a name that no submodule holds.
    """
    home = {name: module for module, names in homes.items() for name in names}

    def export(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{home[name]}"), name)

    return export
