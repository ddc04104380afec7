"""A row a device: which execution provider of onnxruntime runs it, and what is particular to it.

All that depends on a device reads it from its row, so that another provider is another row.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bertedge.errors import SettingError, shorten

AUTO = "auto"
"""Asks for the fastest device that works and that a bundle has a variant for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a session, the choice of a variant, the scheduler and `doctor` know of a device."""

    name: str
    """As users call it, and PyTorch too."""
    provider: str
    """onnxruntime's execution provider."""
    precisions: tuple[str, ...]
    """Of the variants that it runs, fastest first."""
    torch_precisions: tuple[str, ...]
    """In which PyTorch always computes on it, the fastest last."""
    token_budget: int
    """Padded tokens in a batch."""
    one_run_at_a_time: bool
    """True where one batch fills the device: batches then take turns, one thread feeds them."""
    captures_graphs: bool
    """True where `bertedge.runtime.cuda` runs it: inputs and outputs stay bound on the device, and
    small batches replay captured graphs."""
    preloads: bool
    """True where libraries of Python packages must be loaded before the provider."""
    extra: str
    """Of bertedge, which brings the provider."""
    package: str
    """The distribution of onnxruntime that offers the provider."""
    hardware: tuple[Path, ...]
    """Files of which one is there where the machine has such a device; empty where all have."""
    install: str
    """What to do where the installed onnxruntime does not offer the provider."""
    repair: str
    """What to do where the provider is offered but does not load."""

    @property
    def is_there(self) -> bool:
        """Whether the machine seems to have the device."""
        return not self.hardware or any(path.exists() for path in self.hardware)


CPU = Device(
    name="cpu",
    provider="CPUExecutionProvider",
    precisions=("int8", "fp32", "fp16"),
    torch_precisions=("fp32",),
    # What a batch computes then stays in a core's cache: on CPUs 256 to 512 took 10 to 40 % less
    # time a text than 2,048 and more, and 256 was never slower than the best by more than noise
    # (benchmarks/NOTES.md).
    token_budget=256,
    one_run_at_a_time=False,
    captures_graphs=False,
    preloads=False,
    extra="cpu",
    package="onnxruntime",
    hardware=(),
    install="reinstall onnxruntime",
    repair="reinstall onnxruntime",
)
CUDA = Device(
    name="cuda",
    provider="CUDAExecutionProvider",
    # No int8: onnxruntime runs it 10 to 20 times slower there.
    precisions=("fp16", "fp32"),
    torch_precisions=("fp32", "bf16", "fp16"),
    token_budget=16_384,  # a GPU wants more to do at a time
    one_run_at_a_time=True,
    captures_graphs=True,
    preloads=True,
    extra="gpu",
    package="onnxruntime-gpu",
    hardware=(Path("/dev/nvidia0"), Path("/dev/nvidiactl"), Path("/dev/dxg")),
    install="pip uninstall onnxruntime && pip install 'bertedge[gpu]', or use device cpu",
    repair="check the driver with nvidia-smi and the CUDA and cuDNN libraries with "
    "pip install 'bertedge[gpu]', or use device cpu",
)
DEVICES = (CPU, CUDA)
"""All of them; `AUTO` tries the last one first."""
NAMES = (*(device.name for device in DEVICES), AUTO)
"""What a user may ask for."""


def find_devices(name: str) -> tuple[Device, ...]:
    """Return the devices that `name` asks for, in the order in which to try them.

    Raises SettingError for a name that is not in `NAMES`.
    """
    if name not in NAMES:
        raise SettingError(f"device is {shorten(repr(name))}; choose one of {', '.join(NAMES)}")
    return tuple(device for device in reversed(DEVICES) if name in (device.name, AUTO))


def first_device(providers: Iterable[str]) -> Device | None:
    """Return the device of the first execution provider that bertedge uses; None for none."""
    by_provider = {device.provider: device for device in DEVICES}
    return next((by_provider[name] for name in providers if name in by_provider), None)
