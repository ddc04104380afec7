"""Prompt tuning whose prompt is tokens of the vocabulary, so that any tokenizer puts it there.

Lester et al. 2021 ("The Power of Scale for Parameter-Efficient Prompt Tuning", arXiv:2104.08691):
only the embeddings of virtual tokens, which stand before each text, are trained. Here they stand
after the first special token ([CLS]), which the head reads, and the tokenizer's template has them
from the beginning: what is trained is what will run.
"""

import json
from collections.abc import Callable
from typing import Any

import tokenizers  # type: ignore[import-untyped]
import torch
import transformers

from bertedge.errors import SettingError

Json = dict[str, Any]


def add_virtual_tokens(tokenizer: transformers.PreTrainedTokenizerFast, count: int) -> None:
    """Add tokens to the vocabulary, and let them stand before each text.

    Raises SettingError for a tokenizer without a template that they could stand in.
    """
    first = next(i for i in range(len(tokenizer)) if _name(i) not in tokenizer.get_vocab())
    names = [_name(first + i) for i in range(count)]
    # False keeps those of an earlier prompt; the argument's name depends on the version.
    tokenizer.add_special_tokens({"additional_special_tokens": names}, False)
    backend = tokenizer.backend_tokenizer
    data = json.loads(backend.to_str())
    processor = data["post_processor"] or {}
    *before, last = processor.get("processors") or [processor]
    if last.get("type") in ("BertProcessing", "RobertaProcessing"):
        *more, last = _as_templates(last)
        before += more
    if last.get("type") != "TemplateProcessing":
        raise SettingError(
            f"the tokenizer of {tokenizer.name_or_path} has no template in which virtual tokens "
            "could stand; take --peft lora"
        )
    last = _insert(last, names, tokenizer.convert_tokens_to_ids(names))
    data["post_processor"] = {"type": "Sequence", "processors": [*before, last]} if before else last
    backend.post_processor = tokenizers.Tokenizer.from_str(json.dumps(data)).post_processor


def _name(number: int) -> str:
    return f"[PROMPT_{number}]"


def _insert(template: Json, names: list[str], ids: list[int]) -> Json:
    """Return a template with the tokens before its first text, as one special token of many ids."""
    piece = {"SpecialToken": {"id": names[0], "type_id": 0}}
    special = {names[0]: {"id": names[0], "ids": ids, "tokens": names}}
    changed: Json = {"special_tokens": template["special_tokens"] | special}
    for kind in ("single", "pair"):
        at = next(i for i, part in enumerate(template[kind]) if "Sequence" in part)
        changed[kind] = [*template[kind][:at], piece, *template[kind][at:]]
    return template | changed


def _as_templates(processor: Json) -> list[Json]:
    """Return what puts BERT's, or RoBERTa's, special tokens around texts, the last a template."""
    (cls, cls_id), (sep, sep_id) = processor["cls"], processor["sep"]
    roberta = processor["type"] == "RobertaProcessing"
    template = tokenizers.processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} {sep} $B {sep}" if roberta else f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(cls, cls_id), (sep, sep_id)],
    )
    trims = {name: processor[name] for name in ("trim_offsets", "add_prefix_space") if roberta}
    offsets = [{"type": "ByteLevel", "use_regex": True, **trims}] if roberta else []
    return [*offsets, json.loads(template.__getstate__())]


class VirtualTokens(torch.nn.Module):
    """A word embedding whose rows from `first` on are those of a prompt, which alone is trained."""

    def __init__(self, words: torch.nn.Embedding, prompt: torch.nn.Module, first: int) -> None:
        super().__init__()
        self.words, self.prompt, self.first = words, prompt, first

    def rows(self) -> torch.Tensor:
        """Compute the embeddings of the virtual tokens `(tokens, hidden)`."""
        tokens = len(self.prompt.embedding.weight)
        return torch.as_tensor(self.prompt(torch.arange(tokens, device=self.words.weight.device)))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Look up vectors `(…, hidden)`."""
        rows, place = self.rows(), ids - self.first
        virtual = (place >= 0) & (place < len(rows))
        own = rows[place.clamp(0, len(rows) - 1)]
        return torch.where(virtual.unsqueeze(-1), own, self.words(ids))


def draw_rows(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    tokens: int,
) -> None:
    """Add to the model embeddings for the tokens of `add_virtual_tokens`, drawn from its words'."""
    words = model.get_input_embeddings()
    drawn = words(torch.randint(words.num_embeddings, (tokens,))).detach().clone()
    size = max(len(tokenizer), words.num_embeddings)
    words = model.resize_token_embeddings(size, mean_resizing=False)
    with torch.no_grad():
        words.weight[len(tokenizer) - tokens : len(tokenizer)] = drawn


def insert_prompt(
    model: transformers.PreTrainedModel,
    tokenizer: transformers.PreTrainedTokenizerFast,
    peft: Any,
    *,
    tokens: int,
    encoded: bool,
) -> Callable[[], None]:
    """Let the model look up the tokens of `add_virtual_tokens` in what peft trains for them.

    That is an embedding, which starts as `draw_rows` has left the model, or with `encoded` a
    perceptron over one (P-tuning: Liu et al. 2021, arXiv:2103.10385). Returns what makes its rows
    those of the vocabulary.
    """
    words = model.get_input_embeddings()
    first = len(tokenizer) - tokens
    sizes = {
        "task_type": "FEATURE_EXTRACTION",
        "num_virtual_tokens": tokens,
        "token_dim": words.embedding_dim,
        "num_transformer_submodules": 1,
    }
    if encoded:
        settings = peft.PromptEncoderConfig(encoder_hidden_size=words.embedding_dim, **sizes)
        prompt = peft.PromptEncoder(settings)
    else:
        prompt = peft.PromptEmbedding(peft.PromptTuningConfig(**sizes), words)
        with torch.no_grad():
            prompt.embedding.weight.copy_(words.weight[first : first + tokens])
    wrapped = VirtualTokens(words, prompt.to(words.weight.device), first)
    model.set_input_embeddings(wrapped)

    def merge() -> None:
        with torch.no_grad():
            words.weight[first : first + tokens] = wrapped.rows()
        model.set_input_embeddings(words)

    return merge
