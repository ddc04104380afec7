"""Parameter-efficient fine-tuning: a few parameters are trained, and merged into the weights.

The encoder's own weights stay as they are. What is trained beside the head becomes a part of them
at the end, so that the checkpoint is a plain one of transformers.
"""

import re
from collections.abc import Callable
from typing import Any

import torch
import transformers

from bertedge.errors import MissingExtraError, SettingError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.layers import count_layers, depth_of
from bertedge.finetune.settings.adapters import ADAPTER, LORA, PROMPTS
from bertedge.finetune.virtual_tokens import insert_prompt

# The linear layers of an encoder's layer, as BERT, DeBERTa, DistilBERT, MPNet and ALBERT call them,
# and ModernBERT, which has one for queries, keys and values.
_WHOLE = ("attn.Wqkv",)
_QUERY = (
    *("attention.self.query", "attention.self.query_proj", "attention.q_lin", "attention.attn.q"),
    *("attention.query", *_WHOLE),
)
_KEY = (
    *("attention.self.key", "attention.self.key_proj", "attention.k_lin", "attention.attn.k"),
    *("attention.key", *_WHOLE),
)
_VALUE = (
    *("attention.self.value", "attention.self.value_proj", "attention.v_lin", "attention.attn.v"),
    *("attention.value", *_WHOLE),
)
_PROJECTION = (
    *("attention.output.dense", "attention.out_lin", "attention.attn.o", "attention.dense"),
    "attn.Wo",
)
_GATED = ("mlp.Wi",)
_FIRST = ("intermediate.dense", "ffn.lin1", "ffn", *_GATED)
_SECOND = ("output.dense", "ffn.lin2", "ffn_output", "mlp.Wo")
_ALL = (*_QUERY, *_KEY, *_VALUE, *_PROJECTION, *_FIRST, *_SECOND)
_OF_LAYER = re.compile(r"\.(?:albert_)?layers?\.\d+\.(.*)$")

Merge = Callable[[], None]
"""Makes what was trained a part of the model's weights, in place."""


def adapt(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    config: FinetuneConfig,
) -> Merge:
    """Freeze the model but for its head, and add to it, in place, what `config.peft` trains.

    The head is all that is no embedding and no layer: BERT's pooler is a part of it. Layers that
    are frozen already are not adapted: SettingError where none is left. MissingExtraError without
    the library.
    """
    if config.peft is None:
        return lambda: None
    layers = count_layers(model.config)
    head = [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and depth_of(name, layers) > layers
    ]
    if config.peft == ADAPTER:
        merge = _widen(model, config.adapter_size or 0)
    elif config.peft in PROMPTS:
        model.requires_grad_(False)
        merge = insert_prompt(
            model,
            tokenizer,
            import_peft(),
            tokens=config.num_virtual_tokens or 0,
            encoded=config.peft == "p-tuning",
        )
    else:
        merge = _by_library(model, config)
    for parameter in head:
        parameter.requires_grad_(True)
    return merge


def _by_library(model: transformers.PreTrainedModel, config: FinetuneConfig) -> Merge:
    """Insert LoRA (Hu et al. 2021, arXiv:2106.09685), DoRA (arXiv:2402.09353) or (IA)³.

    (IA)³ (Liu et al. 2022, arXiv:2205.05638, section 3.3) scales keys, values and what the second
    layer of the feed-forward network reads.
    """
    peft = import_peft()
    settings: Any
    if config.peft in LORA:
        whole = config.lora_target_modules == "all-linear"
        settings = peft.LoraConfig(
            r=config.lora_rank,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            use_dora=config.peft == "dora",
            target_modules=_linears(model, _ALL if whole else (*_QUERY, *_VALUE)),
        )
    else:
        settings = peft.IA3Config(
            target_modules=_linears(model, (*_KEY, *_VALUE, *_SECOND)),
            feedforward_modules=_linears(model, _SECOND),
        )
    adapted = peft.get_peft_model(model, settings)  # puts its modules into `model` itself

    def merge() -> None:
        adapted.merge_and_unload()

    return merge


class Widened(torch.nn.Module):
    """The first or the second layer of a feed-forward network, with more units beside its own.

    The parallel adapter of He et al. 2022 (arXiv:2110.04366, table 1): h + f(x W_down) W_up, where
    f is here the network's own activation. The adapter's units then are units of a wider network.
    """

    def __init__(
        self, own: torch.nn.Linear, units: int, *, first: bool, gated: bool = False
    ) -> None:
        """Stand beside `own`; a first layer may be `gated`: half of what it gives is the gate."""
        super().__init__()
        self.own, self._first, self._parts = own, first, 2 if gated else 1
        inputs, outputs = own.in_features, units * self._parts
        if not first:
            inputs, outputs = units, own.out_features
        bias = first and own.bias is not None
        self.added = torch.nn.Linear(inputs, outputs, bias=bias, device=own.weight.device)
        if not first:
            torch.nn.init.zeros_(self.added.weight)  # the model starts as it was

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute `(…, outputs)`; the units are the last of each part, or of the inputs."""
        if self._first:
            return self._beside(self.own(x), self.added(x), -1)
        own, added = x.split((self.own.in_features, self.added.in_features), dim=-1)
        return torch.as_tensor(self.own(own) + self.added(added))

    def merged(self) -> torch.nn.Linear:
        """Return one linear layer that computes the same."""
        own, added = self.own, self.added
        if self._first:
            weight = self._beside(own.weight, added.weight, 0)
        else:
            weight = torch.cat((own.weight, added.weight), dim=1)
        outputs, inputs = weight.shape
        biased = own.bias is not None
        linear = torch.nn.Linear(inputs, outputs, bias=biased, device=weight.device)
        with torch.no_grad():
            linear.weight.copy_(weight)
            if biased:
                bias = self._beside(own.bias, added.bias, 0) if self._first else own.bias
                linear.bias.copy_(bias)
        return linear

    def _beside(self, own: torch.Tensor, added: torch.Tensor, dim: int) -> torch.Tensor:
        """Join what both give, or are, part by part."""
        pairs = zip(own.chunk(self._parts, dim), added.chunk(self._parts, dim), strict=True)
        return torch.cat([each for pair in pairs for each in pair], dim)


def _widen(model: transformers.PreTrainedModel, units: int) -> Merge:
    """Widen all layers: their width stands in the config once. Those that are frozen learn none."""
    trained = _linears(model, (*_FIRST, *_SECOND))
    names = _linears(model, (*_FIRST, *_SECOND), frozen=True)
    model.requires_grad_(False)
    for name in names:
        first = _part(name) in _FIRST
        gated = _part(name) in _GATED
        widened = Widened(model.get_submodule(name), units, first=first, gated=gated)
        widened.added.requires_grad_(name in trained)
        model.set_submodule(name, widened)

    def merge() -> None:
        for name in names:
            model.set_submodule(name, model.get_submodule(name).merged())
        width = "hidden_dim" if hasattr(model.config, "hidden_dim") else "intermediate_size"
        wider = getattr(model.config, width) + units
        for module in model.modules():  # several models may share the layers
            if isinstance(module, transformers.PreTrainedModel):
                setattr(module.config, width, wider)

    return merge


def import_peft() -> Any:
    """Return the library; MissingExtraError where it is not installed."""
    try:
        import peft
    except ModuleNotFoundError as error:
        if error.name != "peft":
            raise
        raise MissingExtraError("peft", "peft") from None
    return peft


def _linears(
    model: transformers.PreTrainedModel, parts: tuple[str, ...], *, frozen: bool = False
) -> list[str]:
    """List the names of such linear layers of the encoder; `frozen`: of frozen ones too.

    Raises SettingError where there is none.
    """
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and _part(name) in parts
        and (frozen or module.weight.requires_grad)
    ]
    if not names:
        raise SettingError(
            "--peft adapts layers that are trained, and none is: leave out what freezes them"
        )
    return names


def _part(name: str) -> str:
    """Return the name of a module below that of its layer; "" outside of the layers."""
    found = _OF_LAYER.search(name)
    return found[1] if found else ""
