"""What goes into a page as it is: our own files, and the record that the page is made of."""

import importlib.resources
import json

from markupsafe import Markup

from bertedge import serialization


def own_file(package: str, name: str) -> Markup:
    """Read one of our own files, which goes into the page as it is."""
    path = importlib.resources.files(package) / name
    return Markup(path.read_text(encoding="utf-8"))


def embedded(record: object) -> Markup:
    """Write a record for a script element, which must not hold what could end it."""
    text = json.dumps(serialization.to_plain(record), ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))
