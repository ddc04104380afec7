"""Engines of other people's: a TOML file says how to start each.

    [[engine]]
    name = "mine-int8"
    kind = "mine"                           # for the report; "peer" if left out
    precision = "int8"
    command = ["../env/bin/python", "mine.py"]  # a program that speaks bertedge.bench.protocol
    takes = ["tokens", "texts"]             # the workloads it can be given; both if left out
    packages = ["mine"]                     # distributions of that Python, to sum their sizes
    prepare = ["../env/bin/python", "make.py", "{exported}", "{made}/model.bin"]  # run once, before
    install = "scripts/bench-peers --install"   # how to get it, said where it is not there

Words of `command` and `prepare` that name a file beside the TOML file are made absolute; `prepare`
may use {checkpoint}, {exported} (the fp32 ONNX graph), {tokenizer}, {texts} (a JSON list of those
that will be timed, each a list of one or two strings) and {made}, a folder that the engine then
finds in its `path`. Without `prepare`, `path` is the checkpoint.
"""

import shutil
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bertedge import serialization
from bertedge.bench.engine import BOTH, EngineSpec, baseline_of
from bertedge.bench.protocol import Open
from bertedge.bench.reading import read_bounded
from bertedge.bench.report import LeftOut
from bertedge.errors import SettingError, first_line, shorten
from bertedge.runtime.providers import CPU, find_devices

TEXTS = "texts.json"
"""In the scratch folder."""
MOST_BYTES = 2**20
LONGEST_WORD, LONGEST_NAME = 4096, 100
"""Characters of a word of a command, and of an engine's name, which names a folder too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One engine of a peers file."""

    name: str
    command: tuple[str, ...]
    precision: str
    kind: str = "peer"
    device: str = CPU.name
    takes: tuple[str, ...] = BOTH
    batching: str = "its own way"
    packages: tuple[str, ...] = ()
    prepare: tuple[str, ...] = ()
    install: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeersFile:
    """A peers file."""

    engine: tuple[Peer, ...]


def read_peers(path: Path) -> tuple[Peer, ...]:
    """Read a peers file, or all of a folder; SettingError where one is malformed."""
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if not files:
        raise SettingError(f"{path} has no peers file; give a .toml file or a folder of some")
    return tuple(peer for file in files for peer in _read(file))


def find_peers(
    peers: Iterable[Peer], base: Open, exported: str | None
) -> Iterator[EngineSpec | LeftOut]:
    """Yield peers as engines; of one that is not installed, how to get it."""
    for peer in peers:
        why = _why_not(peer, exported)
        if why:
            yield LeftOut(name=peer.name, why=why, fix=peer.install)
        else:
            yield _spec(peer, base, exported or "")


def _read(file: Path) -> list[Peer]:
    try:
        data = tomllib.loads(read_bounded(file, MOST_BYTES).decode("utf-8"))
        peers = serialization.from_plain(PeersFile, data).engine
    except RecursionError:
        raise SettingError(f"{file} is no peers file: it is nested too deeply") from None
    except ValueError as error:
        raise SettingError(f"{file} is no peers file: {first_line(error)}") from None
    if not peers:
        raise SettingError(f"{file} names no engine; give one under [[engine]]")
    for peer in peers:
        _check_words(file, peer)
        if not peer.command or set(peer.takes) - set(BOTH):
            raise SettingError(
                f"{file}: {peer.name} needs a command, and takes of {', '.join(BOTH)}"
            )
    return [
        replace(
            peer,
            command=_absolute(file.parent, peer.command),
            prepare=_absolute(file.parent, peer.prepare),
        )
        for peer in peers
    ]


def _check_words(file: Path, peer: Peer) -> None:
    """Refuse what no system takes for a name, a path or a word of a command."""
    words = (peer.name, peer.kind, *peer.command, *peer.prepare)
    for word in words:
        if len(word) > LONGEST_WORD or not word.isprintable():
            raise SettingError(
                f"{file}: {shorten(word)!r} cannot be a name or a word of a command; give at most "
                f"{LONGEST_WORD:,} printable characters"
            )
    if not peer.name.strip() or len(peer.name) > LONGEST_NAME or "/" in peer.name:
        raise SettingError(
            f"{file}: name is {shorten(peer.name)!r}; give 1 to {LONGEST_NAME} characters, no /"
        )


def _absolute(folder: Path, words: tuple[str, ...]) -> tuple[str, ...]:
    # The first word may be missing still: it must be absolute too, to be said so. An interpreter's
    # link must not be resolved, for it is what tells the environment.
    return tuple(
        str(folder.absolute() / word)
        if (folder / word).is_file() or (number == 0 and "/" in word)
        else word
        for number, word in enumerate(words)
    )


def _why_not(peer: Peer, exported: str | None) -> str | None:
    if not shutil.which(peer.command[0]):
        return f"it is not installed: there is no {Path(peer.command[0]).name} for it"
    if exported is None and any("{exported}" in word for word in peer.prepare):
        return "it needs the exported graph, which could not be made"
    return None


def _spec(peer: Peer, base: Open, exported: str) -> EngineSpec:
    made = str(Path(base.scratch) / f"peer-{peer.name}")
    places = {
        "{checkpoint}": base.path,
        "{exported}": exported,
        "{tokenizer}": base.tokenizer,
        "{texts}": str(Path(base.scratch) / TEXTS),
        "{made}": made,
    }
    return EngineSpec(
        name=peer.name,
        kind=peer.kind,
        device=peer.device,
        precision=peer.precision,
        command=peer.command,
        open=replace(
            base,
            engine=peer.kind,
            path=made if peer.prepare else base.path,
            precision=peer.precision,
            device=peer.device,
        ),
        baseline=baseline_of(find_devices(peer.device)[0]),
        batching=peer.batching,
        takes=peer.takes,
        packages=peer.packages,
        prepare=tuple(_fill(word, places) for word in peer.prepare) or None,
        made=made if peer.prepare else None,
    )


def _fill(word: str, places: dict[str, str]) -> str:
    for name, value in places.items():
        word = word.replace(name, value)
    return word
