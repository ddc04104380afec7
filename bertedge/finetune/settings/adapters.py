"""Settings of parameter-efficient fine-tuning."""

from dataclasses import dataclass
from typing import Any

from bertedge.errors import SettingError, shorten
from bertedge.fields import setting

LORA = ("lora", "dora")
ADAPTER = "adapter"
PROMPTS = ("prompt", "p-tuning")
METHODS = (*LORA, "ia3", ADAPTER, *PROMPTS)

_NO_PLACE = "which no layer of a plain checkpoint holds"
_PREFIX = f"keys and values for each layer, {_NO_PLACE}; take prompt or p-tuning"
_BOTTLENECK = f"modules after each layer, {_NO_PLACE}; take adapter, which runs beside it"
_REFUSED = {
    "prefix": _PREFIX,
    "prefix-tuning": _PREFIX,
    "p-tuning-v2": _PREFIX,
    "houlsby": _BOTTLENECK,
    "pfeiffer": _BOTTLENECK,
    "bottleneck": _BOTTLENECK,
}
"""What methods that papers name would add, and what to take instead."""
_OPTIONS: dict[str, tuple[tuple[str, ...], object]] = {
    "lora_rank": (LORA, 8),
    "lora_alpha": (LORA, 16.0),
    "lora_dropout": (LORA, 0.1),
    "lora_target_modules": (LORA, "query-value"),
    "adapter_size": ((ADAPTER,), 64),
    "num_virtual_tokens": (PROMPTS, 20),
}
"""What each option is for, and its default."""


@dataclass(frozen=True, kw_only=True)
class AdaptersConfig:
    """Which few parameters are trained in place of the encoder's; the head is trained too."""

    peft: str | None = setting(
        None, "Train few parameters: ia3, adapter, prompt …", metavar="lora|dora|…"
    )
    lora_rank: int | None = setting(None, "Of the update.", metavar="N", unset="8", ge=1, le=4096)
    lora_alpha: float | None = setting(
        None, "Scale of the update: alpha / rank.", metavar="X", unset="16", gt=0, le=1_000_000
    )
    lora_dropout: float | None = setting(
        None, "Before the update.", metavar="X", unset="0.1", ge=0, le=0.9
    )
    lora_target_modules: str | None = setting(
        None, "What is adapted.", unset="query-value", choices=("query-value", "all-linear")
    )
    adapter_size: int | None = setting(
        None, "Units beside each layer's own.", metavar="N", unset="64", ge=1, le=65_536
    )
    num_virtual_tokens: int | None = setting(
        None, "Before each text.", metavar="N", unset="20", ge=1, le=256
    )


def check_adapters(config: Any) -> None:
    """Set what is unset of the method's options; SettingError for those of another."""
    method: str | None = config.peft
    if method in _REFUSED:
        raise SettingError(f"peft is {method!r}, which adds {_REFUSED[method]}")
    if method is not None and method not in METHODS:
        raise SettingError(
            f"peft is {shorten(repr(method), 60)}; choose one of {', '.join(METHODS)}"
        )
    given = [option for option in _OPTIONS if getattr(config, option) is not None]
    if any(method not in _OPTIONS[option][0] for option in given):
        uses = [f"{option} is for --peft {' or '.join(_OPTIONS[option][0])}" for option in given]
        raise SettingError(f"{', '.join(uses)}; peft is {method or 'not set'}")
    if method in PROMPTS and "masked-lm" in config.augment:
        raise SettingError(
            f"--augment masked-lm and --peft {method} cannot be combined: the base's masked "
            "language model does not know virtual tokens; take another of each"
        )
    for option, (methods, default) in _OPTIONS.items():
        if method in methods and option not in given:
            object.__setattr__(config, option, default)
