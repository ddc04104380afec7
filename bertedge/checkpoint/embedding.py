"""How sentence-transformers makes embeddings with a checkpoint, read from its folder."""

import reprlib
from pathlib import Path

from bertedge.checkpoint.files import read_json, read_object, shown
from bertedge.checkpoint.layers import describe_dense
from bertedge.errors import CheckpointError, shorten
from bertedge.spec import Pooling, PoolingMode

MODULES = "modules.json"
"""Where sentence-transformers lists what follows the encoder."""
LENGTH = "sentence_bert_config.json"
_MODES = {
    "pooling_mode_mean_tokens": PoolingMode.MEAN,
    "pooling_mode_cls_token": PoolingMode.CLS,
    "pooling_mode_max_tokens": PoolingMode.MAX,
    "pooling_mode_mean_sqrt_len_tokens": PoolingMode.MEAN_SQRT_LEN,
}
_MODE = "pooling_mode"
_DENSE = "Dense"
_KNOWN = ("Transformer", "Pooling", _DENSE, "Normalize")
_LEAST = 3
"""Tokens of a text: a piece between [CLS] and [SEP]."""


def read_pooling(folder: Path, asked: PoolingMode | None = None) -> Pooling:
    """Read how sentence-transformers pools with this checkpoint; else the mean, normalized.

    The mode that is `asked` for wins over what the folder says, and its embeddings are normalized.
    CheckpointError where it does something that is not done here.
    """
    path = folder / MODULES
    if not path.exists():
        return Pooling(mode=asked or PoolingMode.MEAN)
    modules = _modules(path)
    strange = sorted({kind for kind, _ in modules} - set(_KNOWN))
    if strange:
        raise CheckpointError(
            f"{shown(path)} puts {shorten(', '.join(strange), 60)} behind the encoder, which is "
            f"not supported; supported are {', '.join(_KNOWN[1:])}"
        )
    kinds = [kind for kind, _ in modules]
    twice = any(kinds.count(kind) > 1 for kind in _KNOWN if kind != _DENSE)
    if twice or sorted(kinds, key=_KNOWN.index) != kinds:
        raise CheckpointError(
            f"{shown(path)} lists {shorten(', '.join(kinds), 80)}; supported are "
            f"{', '.join(_KNOWN)}, in this order"
        )
    places = dict(modules)
    mode = asked or PoolingMode.MEAN
    if asked is None and "Pooling" in places:
        mode = _mode(_inside(folder, places["Pooling"]) / "config.json")
    names = [_inside(folder, name).name for kind, name in modules if kind == _DENSE]
    dense = tuple(describe_dense(folder, name) for name in names)
    normalized = asked is not None or "Normalize" in places
    return Pooling(mode=mode, normalized=normalized, dense=dense)


def read_length(folder: Path) -> int | None:
    """Read at how many tokens sentence-transformers cuts texts; None where it does not say."""
    path = folder / LENGTH
    length = read_object(path).get("max_seq_length") if path.exists() else None
    if length is None:
        return None
    if not isinstance(length, int) or isinstance(length, bool) or length < _LEAST:
        raise CheckpointError(
            f"{shown(path)}: max_seq_length is {reprlib.repr(length)}; it must be a whole number "
            f"from {_LEAST} up"
        )
    return length


def _modules(path: Path) -> list[tuple[str, str]]:
    """Read the kind of each module, and its folder."""
    rows = read_json(path)
    known = isinstance(rows, list) and all(
        isinstance(row, dict)
        and isinstance(row.get("type"), str)
        and isinstance(row.get("path"), str)
        for row in rows
    )
    if not known:
        raise CheckpointError(
            f"{shown(path)} is no list of modules with type and path; copy the model again"
        )
    assert isinstance(rows, list)
    return [(row["type"].rpartition(".")[2], row["path"]) for row in rows]


def _inside(folder: Path, name: str) -> Path:
    plain = Path(name).name == name and name not in ("", ".", "..") and "\0" not in name
    if not plain:
        raise CheckpointError(
            f"{shown(folder / MODULES)} names {shown(name)}, which is not a folder beside it; "
            "copy the model again"
        )
    return folder / name


def _mode(path: Path) -> PoolingMode:
    data = read_object(path)
    told = [name for name, on in data.items() if name.startswith(_MODE) and on is True]
    asked = data.get(_MODE)
    if isinstance(asked, str) and asked in tuple(PoolingMode):
        return PoolingMode(asked)
    if len(told) != 1 or told[0] not in _MODES:
        what = reprlib.repr(asked) if asked else shorten(", ".join(told), 60) or "nothing"
        raise CheckpointError(
            f"{shown(path)} asks for {what}; one of {', '.join(PoolingMode)} is supported: choose "
            "with --pooling"
        )
    return _MODES[told[0]]
