"""What else an engineer would try with the checkpoint: torch.compile, the pipeline, Optimum, ..."""

import importlib.util
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertedge.bench.discovery import (
    PACKED,
    TORCH_PACKAGES,
    EngineSpec,
    LeftOut,
    Lineup,
    Machine,
    baseline_of,
    checkpoint_bytes,
    suffix_of,
)
from bertedge.bench.messages import Exported, Open
from bertedge.bench.process import python_command
from bertedge.runtime.providers import CPU, DEVICES, Device
from bertedge.spec import Task

if TYPE_CHECKING:
    from bertedge.checkpoint import Checkpoint

COMPILERS = ("g++", "clang++", "c++")
"""What torch.compile looks for on Linux and macOS, after $CXX."""
PIPELINE_BATCHING = "32 texts a batch, in their order"
SENTENCES_BATCHING = "32 texts a batch, sorted by length"
NOT_POOLED = "it gives every token a vector, and leaves it to the user to pool them"
ALONE = "bench gives intents with slots to PyTorch and the bundle alone: no pipeline finds both"
NO_ONNX_RIVALS = {Task.FEATURE_EXTRACTION: NOT_POOLED, Task.INTENT_SLOTS: ALONE}
"""Why engines that run Optimum's export have nothing to say of these tasks."""
QUICK = "--quick leaves out what takes long to start"
BRING_EXPORT = "pip install 'bertedge[export]'"
ONNXRUNTIME = tuple(device.package for device in DEVICES)
PLAIN = "onnxruntime-fp32"
ONNX_ENGINES = ("optimum-fp32", "optimum-int8", PLAIN)
EXPORTED_PROFILE = "profile of the exported graph"


def has_compiler() -> bool:
    """Tell whether torch.compile will find a C++ compiler."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), *COMPILERS) if name)


def find_torch_rivals(
    checkpoint: "Checkpoint", base: Open, machine: Machine, device: Device, *, quick: bool
) -> Lineup:
    """List torch.compile, in the fastest precision, and what people run texts through.

    That is transformers' pipeline, and for embeddings sentence-transformers.
    """
    suffix = suffix_of(device)
    embeds = base.task is Task.FEATURE_EXTRACTION
    rival = "sentence-transformers" if embeds else "pipeline"
    names = (f"torch{suffix}-compile", f"{rival}{suffix}-fp32")
    if quick:
        return _leave_out(names, QUICK)
    fast = machine.precisions(device)[-1]
    common = EngineSpec(
        name=names[0],
        kind="torch",
        device=device.name,
        precision=fast,
        command=python_command("bertedge.bench.worker"),
        open=replace(
            base,
            engine="compile",
            path=str(checkpoint.folder),
            precision=fast,
            device=device.name,
            scratch=str(Path(base.scratch) / names[0]),
        ),
        bytes_on_disk=checkpoint_bytes(checkpoint.folder),
        baseline=baseline_of(device),
        batching=PACKED,
        packages=TORCH_PACKAGES,
        starts=1,
    )
    pipeline = replace(
        common,
        name=names[1],
        kind=rival,
        precision="fp32",
        open=replace(common.open, engine=rival, precision="fp32"),
        batching=SENTENCES_BATCHING if embeds else PIPELINE_BATCHING,
        packages=(*TORCH_PACKAGES, rival) if embeds else TORCH_PACKAGES,
        takes=("texts",),
        starts=None,
    )
    specs, missing = [common, pipeline], []
    if not machine.compiler:
        specs.remove(common)
        why = "there is no C++ compiler"
        missing.append(LeftOut(name=names[0], why=why, fix="apt-get install g++"))
    if embeds and importlib.util.find_spec("sentence_transformers") is None:
        specs.remove(pipeline)
        fix = "pip install sentence-transformers"
        missing.append(LeftOut(name=names[1], why="it is not installed", fix=fix))
    if checkpoint.model.task is Task.INTENT_SLOTS:
        specs.remove(pipeline)
        missing.append(LeftOut(name=names[1], why=ALONE))
    return Lineup(specs=tuple(specs), left_out=tuple(missing))


def find_onnx_rivals(exported: Exported, base: Open, tokenizer_bytes: int) -> Lineup:
    """List Optimum's pipelines and plain onnxruntime on the graphs that could be made."""
    specs, left_out = [], []
    for name, graph in zip(
        ONNX_ENGINES, (exported.exported, exported.int8, exported.exported), strict=True
    ):
        if base.task is Task.QUESTION_ANSWERING and name == PLAIN:
            left_out.append(LeftOut(name=name, why="it makes no windows over contexts"))
        elif graph is None:
            left_out.append(LeftOut(name=name, why=exported.problem or "it could not be exported"))
        else:
            specs.append(_onnx(name, Path(graph), base, tokenizer_bytes))
    if exported.exported is None:
        left_out.append(LeftOut(name=EXPORTED_PROFILE, why=exported.problem or "it has no graph"))
    return Lineup(specs=tuple(specs), left_out=tuple(left_out))


def leave_out_onnx(why: str, fix: str | None = None) -> Lineup:
    """List the engines that an exported graph is needed for, none of which can be run."""
    return _leave_out((*ONNX_ENGINES, EXPORTED_PROFILE), why, fix)


def join(lineups: list[Lineup]) -> Lineup:
    """Put lists of engines one after the other."""
    return Lineup(
        specs=tuple(spec for lineup in lineups for spec in lineup.specs),
        left_out=tuple(item for lineup in lineups for item in lineup.left_out),
    )


def _onnx(name: str, graph: Path, base: Open, tokenizer_bytes: int) -> EngineSpec:
    kind, precision = name.split("-")
    optimum = kind == "optimum"
    return EngineSpec(
        name=name,
        kind=kind,
        device=CPU.name,
        precision=precision,
        command=python_command("bertedge.bench.worker"),
        open=replace(
            base,
            engine=kind,
            path=str(graph.parent if optimum else graph),
            variant=graph.name,
            precision=precision,
        ),
        bytes_on_disk=graph.stat().st_size + tokenizer_bytes,
        baseline=baseline_of(CPU),
        batching=PIPELINE_BATCHING,
        packages=(
            ("optimum-onnx", *ONNXRUNTIME, *TORCH_PACKAGES)
            if optimum
            else (*ONNXRUNTIME, "tokenizers")
        ),
    )


def _leave_out(names: tuple[str, ...], why: str, fix: str | None = None) -> Lineup:
    return Lineup(specs=(), left_out=tuple(LeftOut(name=name, why=why, fix=fix) for name in names))
