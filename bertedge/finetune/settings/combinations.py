"""Which techniques cannot be combined, and why: a row for each pair, refused in one line."""

from dataclasses import dataclass, fields
from typing import Any

from bertedge.errors import SettingError
from bertedge.finetune.settings.few_shot import FewShot


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """Two settings of which one must keep its default."""

    one: str
    other: str
    why: str
    """A sentence's end: "--one and --other cannot be combined: why"."""
    value: str | None = None
    """Of the first, where only this one clashes."""


_PROMPT = "that is for --peft prompt and p-tuning, "
CLASHES: tuple[Clash, ...] = (
    Clash(one="freeze", other="train_layers", why="each says which layers are trained"),
    *(
        Clash(one="freeze", value="auto", other=other, why="it needs the frozen layers run")
        for other in (
            *("adversarial", "augment", "ema_decay", "swa_start", "gradual_unfreezing", "peft"),
        )
    ),
    Clash(one="bitfit", other="mixout", why="bitfit leaves all that mixout mixes as it was"),
    Clash(one="bitfit", other="reinit_layers", why="bitfit would leave new layers random"),
    Clash(one="peft", other="mixout", why="all that mixout mixes stays frozen"),
    Clash(one="peft", other="reinit_layers", why="new layers would stay random"),
    *(
        Clash(one="few_shot", value=value, other=other, why=why)
        for value in (FewShot.HEAD, FewShot.CONTRASTIVE)
        for other, why in (
            ("teacher", "a student learns from its teacher, on all rows that there are"),
            ("peft", "it trains the head alone"),
            ("freeze", "it trains the head alone; --train-layers N trains more"),
            ("gradual_unfreezing", "it trains the head alone; --train-layers N trains more"),
            ("bitfit", "it trains the head alone; --train-layers N trains more"),
            ("reinit_layers", "new layers would stay random"),
            ("replay", "the old labels have their own head"),
            ("auto", "the search fine-tunes"),
        )
    ),
    Clash(one="ema_decay", other="swa_start", why="each is an average of the weights; leave one"),
    Clash(one="peft", other="bitfit", why="each trains other parameters of the layers"),
    Clash(one="peft", other="gradual_unfreezing", why="the layers stay frozen but for what is new"),
    Clash(
        one="unlabelled",
        other="folds",
        why="the model that labels has seen the rows of every fold",
    ),
    Clash(
        one="unlabelled",
        other="auto",
        why="search first, then give the settings that it found",
    ),
    Clash(
        one="num_virtual_tokens",
        other="teacher",
        why=_PROMPT + "whose tokens a teacher does not know; take --peft lora",
    ),
    Clash(one="num_virtual_tokens", other="freeze", why=_PROMPT + "which train no layer"),
    Clash(one="num_virtual_tokens", other="train_layers", why=_PROMPT + "which train no layer"),
)


def check_together(config: Any) -> None:
    """Raise SettingError for the first two settings that cannot be combined."""
    defaults = {each.name: each.default for each in fields(config)}
    for clash in CLASHES:
        names = (clash.one, clash.other)
        if clash.value not in (None, getattr(config, clash.one)):
            continue
        if all(getattr(config, name) != defaults[name] for name in names):
            one, other = (f"--{name.replace('_', '-')}" for name in names)
            one += f" {clash.value}" if clash.value else ""
            raise SettingError(f"{one} and {other} cannot be combined: {clash.why}")
