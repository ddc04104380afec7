"""The `Engine` seam, and onnxruntime behind it."""

import contextlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.errors import (
    BertedgeError,
    BundleError,
    DeviceError,
    MissingExtraError,
    SettingError,
    first_line,
    shorten,
)
from bertedge.runtime import machine
from bertedge.runtime.encoding import Batch
from bertedge.runtime.process import LOCKS, NATIVE, keep
from bertedge.runtime.providers import CPU, Device

_FATAL_ONLY = 4
_WARNINGS = 2
"""What onnxruntime's default logger says where nobody has asked for less."""
_INPUT_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")
MOST_THREADS_PER_CORE = 4
"""Threads beyond the cores only take turns; 2,000 of them took half a minute for one text."""


class Session:
    """An onnxruntime session that is fed exactly the inputs its graph has. Thread-safe."""

    def __init__(self, native: Any, name: str) -> None:
        self._native = native
        self._name = name
        self._inputs = {each.name: _INPUT_TYPES.get(each.type) for each in native.get_inputs()}
        outputs = native.get_outputs()[:1]
        self._outputs = [each.name for each in outputs]
        self._columns: int | None = None
        self.threads: int = native.get_session_options().intra_op_num_threads
        """Threads that share in a run."""
        self._alone = self.threads > 1
        fields = Batch.__dataclass_fields__
        strange = [name for name, kind in self._inputs.items() if name not in fields or not kind]
        if strange or "input_ids" not in self._inputs or not self._outputs:
            raise BundleError(
                f"{name} is no graph of a BERT classifier: its inputs are "
                f"{', '.join(self._inputs) or 'none'}; expected {', '.join(fields)} as integers; "
                "export the model again"
            )
        if outputs[0].type not in _FLOATS:
            raise BundleError(f"{name} gives {outputs[0].type}, not logits; export the model again")

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        device: Device = CPU,
        threads: int | None = None,
        disabled_optimizers: Sequence[str] = (),
        optimized: bool = False,
    ) -> "Session":
        """Load an ONNX file on `device`.

        `threads` defaults to the cores this process may use. An `optimized` graph is taken as it
        is. Raises DeviceError where the device's provider does not load: onnxruntime itself would
        fall back to the CPU in silence.
        """
        native = open_native(
            str(path),
            device=device,
            threads=threads,
            disabled_optimizers=disabled_optimizers,
            optimized=optimized,
        )
        return cls(native, path.name)

    @property
    def providers(self) -> tuple[str, ...]:
        """Execution providers in use, best first."""
        return tuple(self._native.get_providers())

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Run the graph; see `Engine.logits`."""
        if "attention_mask" not in self._inputs and not batch.attention_mask.all():
            raise BundleError(
                f"{self._name} takes no attention_mask, so it cannot run a padded batch; "
                "export the model again"
            )
        feed = {
            name: getattr(batch, name).astype(kind, copy=False)
            for name, kind in self._inputs.items()
        }
        try:
            with LOCKS.all_cores if self._alone else contextlib.nullcontext(), NATIVE:
                logits = self._run(feed)
        except Exception as error:  # onnxruntime's own classes derive from Exception alone
            raise _run_error(self._name, batch, error) from error
        return self._checked(np.asarray(logits, np.float32), *batch.input_ids.shape)

    def _checked(self, logits: NDArray[np.float32], rows: int, length: int) -> NDArray[np.float32]:
        """Raise BundleError for logits of another shape than those of a classifier."""
        shape = logits.shape
        fits = len(shape) == 2 or (len(shape) == 3 and shape[1] == length)
        if not fits or shape[0] != rows or shape[-1] != (self._columns or shape[-1] or None):
            raise BundleError(
                f"{self._name} gives logits {shape} for a batch of {rows}x{length} tokens; "
                "export the model again"
            )
        self._columns = shape[-1]
        return logits

    def _run(self, feed: dict[str, NDArray[np.integer]]) -> Any:
        return self._native.run(self._outputs, feed)[0]


def check_threads(threads: int) -> None:
    """Refuse more threads than this machine can use: tens of thousands start one after another."""
    cores = os.cpu_count() or 1
    if not 1 <= threads <= MOST_THREADS_PER_CORE * cores:
        raise SettingError(
            f"threads is {shorten(str(threads))}; this machine has {cores} cores: give 1 to "
            f"{MOST_THREADS_PER_CORE * cores}, or leave it out"
        )


def open_native(
    model: str | bytes,
    *,
    device: Device,
    threads: int | None = None,
    disabled_optimizers: Sequence[str] = (),
    optimized: bool = False,
    provider_options: Mapping[str, str] | None = None,
) -> Any:
    """Create the `onnxruntime.InferenceSession` of a file (or a file's bytes) on `device`."""
    onnxruntime = import_onnxruntime()
    threads = machine.threads() if threads is None else threads
    check_threads(threads)
    available = onnxruntime.get_available_providers()
    if device.provider not in available:
        raise DeviceError(
            f"{device.provider} is not there: the installed onnxruntime offers "
            f"{', '.join(available)}; {device.install}"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY  # an exception says what it logs of an error
    if optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Spinning threads answer sooner; between runs they would only take cores from others.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    providers = [(device.provider, dict(provider_options or {}))]
    if device is not CPU:  # which runs what the device cannot
        providers.append((CPU.provider, {}))
    why = ""
    try:
        if device is not CPU:
            onnxruntime.set_default_logger_severity(_FATAL_ONLY)  # the error below says it
        if device.preloads:
            why = _preload(onnxruntime)
        with NATIVE:
            native = onnxruntime.InferenceSession(
                model,
                options,
                providers=providers,
                disabled_optimizers=list(disabled_optimizers),
                enable_fallback=0,  # it would print on standard output, and take the CPU instead
            )
    except Exception as error:  # onnxruntime's own classes derive from Exception alone
        if device is not CPU and isinstance(error, ValueError | RuntimeError):
            raise DeviceError(_not_loaded(device, why or str(error))) from error
        raise BundleError(
            f"{_name(model)} cannot be loaded by onnxruntime {onnxruntime.__version__} "
            f"({shorten(first_line(error), 180)}); export the model again, or upgrade onnxruntime"
        ) from error
    finally:
        if device is not CPU:
            onnxruntime.set_default_logger_severity(_WARNINGS)
    if device.provider not in native.get_providers():
        raise DeviceError(_not_loaded(device, why))
    keep(native)
    return native


def _preload(onnxruntime: Any) -> str:
    """Load the CUDA libraries of Python packages; return what onnxruntime prints if it cannot.

    One at a time: the stream is the process's, and threads would put back each other's.
    """
    heard = io.StringIO()
    with LOCKS.stdout, contextlib.redirect_stdout(heard):
        onnxruntime.preload_dlls()
    return heard.getvalue()


def import_onnxruntime() -> Any:
    """Import onnxruntime, or say which extra brings it."""
    try:
        import onnxruntime
    except ImportError as error:
        if error.name not in (None, "onnxruntime"):
            raise
        raise MissingExtraError(CPU.extra, "onnxruntime") from None
    return onnxruntime


def _not_loaded(device: Device, said: str) -> str:
    why = next((line.strip(" *") for line in said.splitlines() if line.strip(" *")), "")
    return (
        f"{device.provider} is installed but does not load ({shorten(why) or 'no reason given'}); "
        f"{device.repair}"
    )


def _run_error(name: str, batch: Batch, error: Exception) -> BertedgeError:
    why = shorten(first_line(error), 180)
    rows, length = batch.input_ids.shape
    if "alloc" in why:
        return DeviceError(
            f"{name} ran out of memory on a batch of {rows}x{length} tokens ({why}); "
            "lower token_budget"
        )
    return BundleError(
        f"{name} failed on a batch of {rows}x{length} tokens ({why}); export the model again"
    )


def _name(model: str | bytes) -> str:
    return "the model" if isinstance(model, bytes) else Path(model).name
