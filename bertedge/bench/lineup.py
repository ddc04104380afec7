"""All engines of a bench, ready to be started: ours, those that Optimum makes, and peers."""

import contextlib
import importlib.util
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertedge.bench import discovery, installed, rivals
from bertedge.bench.discovery import EngineSpec, LeftOut, Lineup, Machine, checkpoint_bytes
from bertedge.bench.external import Peer, find_peers
from bertedge.bench.messages import Export, Exported, Open
from bertedge.bench.process import Worker, WorkerError, python_command, run_to_end
from bertedge.bundle import Bundle
from bertedge.progress import Progress
from bertedge.runtime.providers import CPU

if TYPE_CHECKING:
    from bertedge.checkpoint import Checkpoint

EXPORT_TIMEOUT_S = 600.0
PREPARE_TIMEOUT_S = 1800.0
NOTHING = Exported(exported=None, fused=None, int8=None, problem=None)


NOBODY = Lineup(specs=(), left_out=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What decides on the engines."""

    bundle: Bundle
    checkpoint: "Checkpoint"
    machine: Machine
    device: str
    peers: tuple[Peer, ...]
    threads: int
    quick: bool
    """True leaves out what takes long to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrants:
    """The engines, and the graphs that some of them were made from."""

    lineup: Lineup
    exported: Exported


def line_up(wanted: Wanted, base: Open, progress: Progress) -> Entrants:
    """Find all engines, and make what they need; what cannot be run is listed with the reason."""
    bundle, checkpoint, machine = wanted.bundle, wanted.checkpoint, wanted.machine
    devices = discovery.choose_devices(bundle, machine, wanted.device)
    ours = discovery.find_engines(bundle, checkpoint, base, machine, device=wanted.device)
    torch = [
        rivals.find_torch_rivals(checkpoint, base, machine, place, quick=wanted.quick)
        for place in devices
    ]
    exported, onnx = _onnx(wanted, base, progress) if CPU in devices else (NOTHING, NOBODY)
    peers = _prepare(find_peers(wanted.peers, base, exported.exported), base, progress)
    eager = tuple(spec for spec in ours.specs if spec.kind == "torch")
    variants = tuple(spec for spec in ours.specs if spec.kind == "bundle")
    parts = [
        Lineup(specs=eager, left_out=()),
        *torch,
        onnx,
        peers,
        Lineup(specs=variants, left_out=ours.left_out),
    ]
    return Entrants(lineup=_named_once(rivals.join(parts)), exported=exported)


def sum_installed(specs: Sequence[EngineSpec]) -> dict[str, int]:
    """Sum the bytes of the packages that each engine needs, in that engine's own Python."""
    sizes: dict[tuple[str, ...], int] = {}
    found = {}
    for spec in specs:
        asked = (spec.command[0], installed.__file__, *spec.packages)
        if spec.packages and asked not in sizes:
            with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
                said = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
                sizes[asked] = int(said.stdout)
        if asked in sizes:
            found[spec.name] = sizes[asked]
    return found


def _onnx(wanted: Wanted, base: Open, progress: Progress) -> tuple[Exported, Lineup]:
    if wanted.quick:
        return NOTHING, rivals.leave_out_onnx(rivals.QUICK)
    if base.task in rivals.NO_ONNX_RIVALS:
        return NOTHING, rivals.leave_out_onnx(rivals.NO_ONNX_RIVALS[base.task])
    if importlib.util.find_spec("optimum") is None:
        why = "Optimum is not installed"
        return NOTHING, rivals.leave_out_onnx(why, rivals.BRING_EXPORT)
    progress.say("exporting the checkpoint by Optimum, for the engines that run it so")
    folder = Path(base.scratch) / "exports"
    folder.mkdir()
    request = Export(checkpoint=base.path, task=base.task, folder=str(folder))
    try:
        with Worker(python_command("bertedge.bench.worker"), threads=wanted.threads) as worker:
            answer = worker.ask(request, timeout_s=EXPORT_TIMEOUT_S)
    except WorkerError as error:
        return NOTHING, rivals.leave_out_onnx(f"the export {error}")
    assert isinstance(answer, Exported)
    tokenizer_bytes = Path(base.tokenizer).stat().st_size
    return answer, rivals.find_onnx_rivals(answer, base, tokenizer_bytes)


def _prepare(lineup: Lineup, base: Open, progress: Progress) -> Lineup:
    """Run what peers need to be made before, and weigh what it made."""
    specs, left_out = [], list(lineup.left_out)
    for spec in lineup.specs:
        if spec.prepare is None or spec.made is None:
            specs.append(replace(spec, bytes_on_disk=checkpoint_bytes(Path(spec.open.path))))
            continue
        progress.say(f"preparing {spec.name}")
        Path(spec.made).mkdir()
        try:
            run_to_end(spec.prepare, timeout_s=PREPARE_TIMEOUT_S)
        except WorkerError as error:
            left_out.append(LeftOut(name=spec.name, why=f"its preparation failed: {error}"))
            continue
        size = _weigh(spec.made) + Path(base.tokenizer).stat().st_size
        specs.append(replace(spec, bytes_on_disk=size))
    return Lineup(specs=tuple(specs), left_out=tuple(left_out))


def _weigh(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def _named_once(lineup: Lineup) -> Lineup:
    """Leave out an engine whose name another has."""
    specs: dict[str, EngineSpec] = {}
    left_out = list(lineup.left_out)
    for spec in lineup.specs:
        if spec.name in specs:
            left_out.append(LeftOut(name=spec.name, why="another engine has this name"))
        else:
            specs[spec.name] = spec
    return Lineup(specs=tuple(specs.values()), left_out=tuple(left_out))
