"""Tags of words in any common chunk scheme, normalised to IOB2."""

import functools
from collections.abc import Iterable

from bertedge.data.example import shorten
from bertedge.errors import DataError
from bertedge.metrics.entities import ROLES


@functools.lru_cache(maxsize=8192)
def split_tag(tag: str) -> tuple[str, str] | None:
    """Return the role (B, I, E, S or O) and the type of a tag; None where it follows no scheme."""
    prefix, dash, kind = tag.partition("-")
    if dash and prefix in ROLES and kind:
        return ROLES[prefix], kind
    return ("O", "") if tag == "O" else None


def to_iob2(tags: Iterable[str], where: str = "") -> tuple[str, ...]:
    """Rewrite tags so that B- begins every entity and I- goes on; DataError for a malformed one.

    One rule reads all schemes, and ill-formed tags as conlleval does: an entity begins at B or
    S, and at any other tag that follows O, another type, or the end (E, S) of an entity.
    """
    result = []
    last_kind, open_entity = "", False
    for tag in tags:
        parts = split_tag(tag)
        if parts is None:
            raise DataError(f"{where}: {explain(tag)}")
        role, kind = parts
        if role == "O":
            result.append("O")
        else:
            begins = role in "BS" or not open_entity or kind != last_kind
            result.append(f"{'B' if begins else 'I'}-{kind}")
        last_kind, open_entity = kind, role in "BI"
    return tuple(result)


def explain(tag: str) -> str:
    """Return how a tag of no scheme is to be written."""
    prefix, dash, _ = tag.partition("-")
    shown = shorten(tag)
    if not tag.strip():
        return "the tag is empty; write O for a word outside entities"
    if tag in ("0", "o"):
        return f"the tag {shown} must be the capital letter O"
    if prefix in ROLES:
        return f"the tag {shown} names no type; write such as {prefix}-PER"
    if dash:
        return (
            f"the tag {shown} has the unknown prefix {shorten(prefix)}; known are B- I- and O "
            "(IOB), E- S- (BIOES), M- E- S- W- (BMES), L- U- (BILOU)"
        )
    if tag[0] in ROLES and tag[1:2] == "_" and tag[2:]:
        return f"the tag {shown} must be written {shorten(tag[0] + '-' + tag[2:])}"
    return (
        f"the tag {shown} has no prefix; write B- before it for the first word of an entity, "
        "I- for the next ones, O outside"
    )
