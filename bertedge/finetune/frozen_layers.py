"""The lowest layers, frozen in the middle of a training, with their outputs kept on the disk."""

import contextlib
import functools
import inspect
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from bertedge.finetune.layers import distances_of, layers_of, stem_of

ROWS = "row"
"""The column that numbers the rows of all data sets, for a batch to say which it has."""
LARGEST = 8 * 2**30
"""Bytes of the cache; it also takes no more than half of what is free on the disk."""


def number_rows(data: Sequence[datasets.Dataset]) -> list[datasets.Dataset]:
    """Add the numbers of rows, counted through all the data; a group of rows has one for each."""
    numbered, first = [], 0
    for each in data:
        rows: list[Any] = []
        for ids in each["input_ids"]:
            grouped = isinstance(ids[0], list)
            count = len(ids) if grouped else 1
            rows.append(list(range(first, first + count)) if grouped else first)
            first += count
        numbered.append(each.add_column(ROWS, rows))
    return numbered


class FrozenLayers:
    """The embeddings and the lowest layers of a model, as many as are frozen.

    They are run as in evaluation: without dropout, so that a row always has the same output. With
    a cache they are not run at all: the embeddings give what the highest of them gave, and the
    others pass it on. `rows` are those of the batch that comes next; None where they are unknown.
    """

    def __init__(self, model: transformers.PreTrainedModel, folder: Path) -> None:
        self._base = model.base_model
        self._folder = folder
        self.layers, self._stem = layers_of(model), stem_of(model)
        self._distances = distances_of(model)
        outputs = _count_outputs(self._base, self.layers[0])
        self._pass_on = functools.partial(_pass_on, outputs) if outputs else _pass_alone
        self._frozen: list[torch.nn.Parameter] = []
        self._hooks: list[Any] = []
        self._cache: _Cache | None = None
        self.count = 0
        self.rows: torch.Tensor | None = None

    def freeze(self, count: int) -> None:
        """Freeze the embeddings and so many layers, of which some may be frozen already."""
        stem = [] if self.count else [*self._stem, *self._distances]
        for part in (*stem, *self.layers[self.count : count]):
            self._frozen += [each for each in part.parameters() if each.requires_grad]
            part.requires_grad_(False)
            self._hooks.append(part.register_forward_pre_hook(_without_dropout))
        self.count = count

    def thaw(self) -> None:
        """Train all again that was trained before."""
        self.release()
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._frozen, self.count = [], [], 0

    def release(self) -> None:
        """Let the layers be run again, and remove the cache."""
        for part in (*self._stem, *self.layers):
            _run_again(part)
        if self._cache is not None:
            self._cache.remove()
        self._cache = None

    def fill(
        self,
        data: Sequence[datasets.Dataset],
        collate: Callable[[Any], Any],
        batch_size: int,
        precision: contextlib.AbstractContextManager[Any],
    ) -> int | None:
        """Keep the outputs of all rows; return the bytes that takes, None where it is too much.

        What is kept from fewer layers is where the others begin. The same rows stand together each
        time, so that a resumed run has the very numbers of the interrupted one.
        """
        lengths = np.concatenate([_lengths(each) for each in data])
        hidden = int(self._base.config.hidden_size)
        self._folder.mkdir(exist_ok=True)
        fits = min(LARGEST, shutil.disk_usage(self._folder).free // 2)
        if _Cache.size(lengths, hidden) > fits:
            return None
        path = self._folder / f"layer-{self.count}.f16"
        cache = _Cache(path, lengths, hidden)
        device = next(self._base.parameters()).device
        before, taken = self._base.training, inspect.signature(self._base.forward).parameters
        self._base.eval()
        given: list[Any] = []  # not the model's output, which may have a norm behind it
        hook = self.layers[self.count - 1].register_forward_hook(lambda *x: given.append(x[2]))
        with torch.no_grad(), precision, self._upper_layers_idle():
            for batch in _batches(data, collate, batch_size):
                self.rows = batch.pop(ROWS)
                plain = {
                    name: tensor.flatten(0, -2).to(device)  # groups of rows are rows in there
                    for name, tensor in batch.items()
                    if name in taken
                }
                self._base(**plain)
                found = given.pop()
                cache.write(self.rows, found[0] if isinstance(found, tuple) else found)
        hook.remove()
        self._base.train(before)
        self.rows = None
        if self._cache is not None:
            self._cache.remove()
        self._cache = cache
        for part in self.layers[: self.count]:
            part.forward = self._pass_on
        self._stem[0].forward = self._look_up
        for part in self._stem[1:]:
            part.forward = _pass_alone
        return _Cache.size(lengths, hidden)

    def _look_up(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """Return the kept outputs `(batch, sequence, hidden)` of the rows."""
        assert self._cache is not None and self.rows is not None
        return self._cache.read(self.rows, input_ids.shape[1]).to(input_ids.device)

    @contextlib.contextmanager
    def _upper_layers_idle(self) -> Iterator[None]:
        for part in self.layers[self.count :]:
            part.forward = self._pass_on
        try:
            yield
        finally:
            for part in self.layers[self.count :]:
                _run_again(part)


class _Cache:
    """Hidden states of rows in a file of float16, without their padding."""

    def __init__(self, path: Path, lengths: NDArray[np.int64], hidden: int) -> None:
        self._path, self._lengths, self._hidden = path, lengths, hidden
        self._starts = np.concatenate([[0], np.cumsum(lengths)])
        with path.open("wb") as file:  # a disk that fills up later would end the process
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, self.size(lengths, hidden))
        shape = (int(self._starts[-1]), hidden)
        self._values = np.memmap(path, np.float16, "r+" if path.stat().st_size else "w+", 0, shape)

    @staticmethod
    def size(lengths: NDArray[np.int64], hidden: int) -> int:
        """Return the bytes of the file."""
        return 2 * hidden * int(lengths.sum())

    def write(self, rows: torch.Tensor, states: torch.Tensor) -> None:
        """Keep the states `(batch, sequence, hidden)` of rows."""
        values = states.half().cpu().numpy()
        for row, found in zip(rows.flatten().tolist(), values, strict=True):
            start, stop = self._starts[row : row + 2]
            self._values[start:stop] = found[: stop - start]

    def read(self, rows: torch.Tensor, width: int) -> torch.Tensor:
        """Return the states `(batch, width, hidden)` of rows; those of padding are 0."""
        numbers = rows.flatten().tolist()
        found = np.zeros((len(numbers), width, self._hidden), np.float16)
        for place, row in zip(found, numbers, strict=True):
            start, stop = self._starts[row : row + 2]
            place[: stop - start] = self._values[start:stop]
        return torch.from_numpy(found).float()

    def remove(self) -> None:
        """Delete the file."""
        del self._values
        self._path.unlink(missing_ok=True)


def _batches(
    data: Sequence[datasets.Dataset], collate: Callable[[Any], Any], batch_size: int
) -> Iterator[dict[str, torch.Tensor]]:
    for each in data:
        order = np.argsort(np.asarray(each["length"]), kind="stable")
        for start in range(0, len(order), batch_size):
            rows = each.select(order[start : start + batch_size])
            columns = [name for name in rows.column_names if name != "length"]
            yield dict(collate(rows.select_columns(columns).to_list()))


def _lengths(data: datasets.Dataset) -> NDArray[np.int64]:
    """Return the tokens of each row, of each one of a group."""
    groups = (ids if isinstance(ids[0], list) else [ids] for ids in data["input_ids"])
    return np.array([len(ids) for group in groups for ids in group], np.int64)


def _without_dropout(module: torch.nn.Module, _: Any) -> None:
    """Undo, before a module runs, that Trainer puts all of the model into training mode."""
    module.eval()


def _pass_on(outputs: int, hidden_states: torch.Tensor, *_: Any, **__: Any) -> tuple[Any, ...]:
    """Return what a layer is given, as layers of so many outputs return it."""
    return hidden_states, *[None] * (outputs - 1)


def _pass_alone(hidden_states: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return hidden_states


def _count_outputs(base: torch.nn.Module, layer: torch.nn.Module) -> int:
    """Return how many outputs a layer has in a tuple; 0 for a tensor, as most in transformers 5."""
    found: list[int] = []
    hook = layer.register_forward_hook(
        lambda *given: found.append(len(given[2]) if isinstance(given[2], tuple) else 0)
    )
    before = base.training
    try:
        with torch.no_grad():
            base.eval()(torch.ones(1, 2, dtype=torch.int64, device=base.device))
    finally:
        hook.remove()
        base.train(before)
    return found[0]


def _run_again(module: torch.nn.Module) -> None:
    """Undo that a module passes on what it is given."""
    module.__dict__.pop("forward", None)
