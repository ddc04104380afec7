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
from bertedge.bench.backends import BOTH
from bertedge.bench.engine import EngineSpec, baseline_of, checkpoint_bytes
from bertedge.bench.process import WorkerError, run_to_end
from bertedge.bench.protocol import Open
from bertedge.bench.reading import read_bounded
from bertedge.bench.report import LeftOut
from bertedge.errors import SettingError, first_line, shorten
from bertedge.progress import Progress
from bertedge.runtime.providers import CPU, find_devices

TEXTS = "texts.json"
"""In the scratch folder."""
MOST_BYTES = 2**20
PREPARE_TIMEOUT_S = 1800.0
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
    peers: Iterable[Peer], base: Open, exported: str | None, progress: Progress
) -> Iterator[EngineSpec | LeftOut]:
    """Yield peers as engines, prepared; of one that is not installed, how to get it."""
    for peer in peers:
        fix, why = peer.install, None
        if not shutil.which(peer.command[0]):
            why = f"it is not installed: there is no {Path(peer.command[0]).name} for it"
        elif exported is None and any("{exported}" in word for word in peer.prepare):
            why = "it needs the exported graph, which could not be made"
        else:
            try:
                yield _prepared(peer, base, exported or "", progress)
            except WorkerError as error:
                fix, why = None, f"its preparation failed: {error}"
        if why:
            yield LeftOut(name=peer.name, why=why, fix=fix)


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
        if problem := _problem(peer):
            raise SettingError(f"{file}: {problem}")
    return [
        replace(
            peer,
            command=_absolute(file.parent, peer.command),
            prepare=_absolute(file.parent, peer.prepare),
        )
        for peer in peers
    ]


def _problem(peer: Peer) -> str | None:
    """Return what no system takes for a name, a path or a word of a command."""
    for word in (peer.name, peer.kind, *peer.command, *peer.prepare):
        if len(word) > LONGEST_WORD or not word.isprintable():
            return (
                f"{shorten(word)!r} cannot be a name or a word of a command; give at most "
                f"{LONGEST_WORD:,} printable characters"
            )
    if not peer.name.strip() or len(peer.name) > LONGEST_NAME or "/" in peer.name:
        return f"name is {shorten(peer.name)!r}; give 1 to {LONGEST_NAME} characters, no /"
    if not peer.command or set(peer.takes) - set(BOTH):
        return f"{peer.name} needs a command, and takes of {', '.join(BOTH)}"
    return None


def _absolute(folder: Path, words: tuple[str, ...]) -> tuple[str, ...]:
    # The first word may be missing still: it must be absolute too, to be said so. An interpreter's
    # link must not be resolved, for it is what tells the environment.
    return tuple(
        str(folder.absolute() / word)
        if (folder / word).is_file() or (number == 0 and "/" in word)
        else word
        for number, word in enumerate(words)
    )


def _prepared(peer: Peer, base: Open, exported: str, progress: Progress) -> EngineSpec:
    """Run what the peer needs to be made before, and weigh what it made."""
    path = Path(base.path)
    if not peer.prepare:
        size = checkpoint_bytes(path)
    else:
        progress.say(f"preparing {peer.name}")
        path = Path(base.scratch) / f"peer-{peer.name}"
        path.mkdir()
        run_to_end(fill(peer.prepare, base, exported, path), timeout_s=PREPARE_TIMEOUT_S)
        files = [file for file in path.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in [*files, Path(base.tokenizer)])
    opening = replace(
        base, engine=peer.kind, path=str(path), precision=peer.precision, device=peer.device
    )
    return EngineSpec(
        name=peer.name,
        kind=peer.kind,
        command=peer.command,
        open=opening,
        bytes_on_disk=size,
        baseline=baseline_of(find_devices(peer.device)[0].name),
        batching=peer.batching,
        takes=peer.takes,
        packages=peer.packages,
    )


def fill(words: Iterable[str], base: Open, exported: str, made: Path) -> tuple[str, ...]:
    """Return the words of a command with the places that it names."""
    places = {
        "{checkpoint}": base.path,
        "{exported}": exported,
        "{tokenizer}": base.tokenizer,
        "{texts}": str(Path(base.scratch) / TEXTS),
        "{made}": str(made),
    }
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    return tuple(words)
