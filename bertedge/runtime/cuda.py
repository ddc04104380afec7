"""A session on CUDA: inputs and outputs stay bound on the device, small batches replay graphs.

onnxruntime keeps captured graphs by thread, and captures anew in a thread that has none: so one
thread of the session's own runs everything, and all others wait for it, as they would for the GPU.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertedge.errors import DeviceError
from bertedge.runtime.buckets import (
    CAPTURE_BYTES,
    Bucket,
    empty_batch,
    find_bucket,
    pad_to_bucket,
)
from bertedge.runtime.providers import CUDA
from bertedge.runtime.session import Session, import_onnxruntime, open_native

ROOM_BYTES = 4 * 2**30
"""What the arena may hold besides the weights: the intermediate results of a large batch."""
NO_GRAPH = -1
"""The graph id with which a run neither captures nor replays."""

Feed = dict[str, NDArray[np.integer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Memory on the device for one shape, and the graph id that replays what was captured."""

    inputs: dict[str, Any]
    output: Any
    binding: Any
    run_options: Any


class CudaSession(Session):
    """A session whose inputs and output are bound on `device`, onnxruntime's name of it."""

    def __init__(self, native: Any, name: str, *, device: str = CUDA.name) -> None:
        super().__init__(native, name)
        self._device = device
        self._captured: dict[Bucket, Bound] = {}
        self._shape = native.get_outputs()[0].shape
        self._loose = _run_options(NO_GRAPH)
        self._thread = ThreadPoolExecutor(1, "bertedge-cuda")

    @property
    def captured(self) -> tuple[Bucket, ...]:
        """The shapes that replay a graph, smallest first."""
        return tuple(self._captured)

    def capture(self, buckets: tuple[Bucket, ...]) -> None:
        """Capture a graph for each shape; the first that finds no memory ends it, silently.

        Larger batches than those captured run without a graph.
        """
        for bucket in buckets:
            bound = self._thread.submit(self._bind, bucket, len(self._captured) + 1).result()
            self._captured[bucket] = bound
            try:
                self.logits(empty_batch(bucket))
            except DeviceError:
                del self._captured[bucket]
                return

    def _run(self, feed: Feed) -> Any:
        return self._thread.submit(self._run_here, feed).result()

    def _run_here(self, feed: Feed) -> Any:
        rows, length = feed["input_ids"].shape
        bucket = find_bucket(self.captured, rows, length)
        if bucket is None:
            return self._run_loose(feed)
        bound = self._captured[bucket]
        for name, values in pad_to_bucket(feed, bucket).items():
            bound.inputs[name].update_inplace(values)
        self._native.run_with_iobinding(bound.binding, bound.run_options)
        logits = bound.output.numpy()
        # A copy: the next run of this shape writes where this one did.
        return np.array(logits[:rows] if logits.ndim == 2 else logits[:rows, :length])

    def _run_loose(self, feed: Feed) -> Any:
        values = import_onnxruntime().OrtValue
        binding = self._native.io_binding()
        inputs = {name: values.ortvalue_from_numpy(v, self._device, 0) for name, v in feed.items()}
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_output(self._outputs[0], self._device, 0)
        self._native.run_with_iobinding(binding, self._loose)
        return binding.copy_outputs_to_cpu()[0]

    def _bind(self, bucket: Bucket, graph: int) -> Bound:
        """Set aside memory for a shape; graph ids start at 1, 0 is onnxruntime's own."""
        make = import_onnxruntime().OrtValue.ortvalue_from_shape_and_type
        shape = (bucket.rows, bucket.length)
        inputs = {name: make(shape, kind, self._device, 0) for name, kind in self._inputs.items()}
        logits = (*shape[: len(self._shape) - 1], self._shape[-1])
        output = make(logits, np.float32, self._device, 0)
        binding = self._native.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_ortvalue_output(self._outputs[0], output)
        return Bound(inputs=inputs, output=output, binding=binding, run_options=_run_options(graph))


def open_cuda(path: Path, *, buckets: tuple[Bucket, ...] = ()) -> CudaSession:
    """Load an ONNX file on CUDA and capture `buckets`; DeviceError where CUDA does not load."""
    options = provider_options(path.stat().st_size, capture=bool(buckets))
    native = open_native(str(path), device=CUDA, threads=1, provider_options=options)
    session = CudaSession(native, path.name)
    session.capture(buckets)
    return session


def provider_options(model_bytes: int, *, capture: bool) -> dict[str, str]:
    """Return the CUDA provider's options for a model: a bounded arena, fp32 that is fp32."""
    return {
        "gpu_mem_limit": str(2 * model_bytes + CAPTURE_BYTES + ROOM_BYTES),
        "arena_extend_strategy": "kSameAsRequested",
        "enable_cuda_graph": "1" if capture else "0",
        "use_tf32": "0",
        # Sums of a layer norm in fp32; newer releases do so always and ignore the option.
        "enable_skip_layer_norm_strict_mode": "1",
    }


def _run_options(graph: int) -> Any:
    options = import_onnxruntime().RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph))
    return options
