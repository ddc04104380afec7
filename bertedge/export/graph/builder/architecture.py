"""What the builder must know of an architecture, and of one model of it: data, no code."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from bertedge.errors import CheckpointError, shorten
from bertedge.spec import LabelKind

MOST_POSITIONS = 131_072
"""More than any encoder reads."""


class Positions(StrEnum):
    """Which row of the table of positions a token reads."""

    COUNTED = "counted"
    """0, 1, 2 … in every row."""
    AFTER_PADDING = "after padding"
    """Those of tokens that are no padding, counted from the padding token's id on (RoBERTa)."""


class AttentionKind(StrEnum):
    """What attention scores are made of beside products of queries and keys."""

    PLAIN = "plain"
    """Nothing."""
    DISENTANGLED = "disentangled"
    """Products of queries and keys with embeddings of distances (DeBERTa)."""
    ROTARY = "rotary"
    """Nothing, but queries and keys are turned by their positions, norms stand before, and the
    feed-forward has a gate (ModernBERT)."""
    ROTARY_POST_NORM = "rotary, norms behind"
    """Queries, keys and gates as of ROTARY, norms as of BERT (NomicBERT)."""
    DISTANCE_BIAS = "distance bias"
    """A value for each distance of two tokens and each head, the same in all layers (MPNet, T5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a head: `kind` is first, pool, dense, activation, norm or words."""

    kind: str
    name: str = ""
    """The weights' name; of an activation its own, or the config's key for it in braces."""
    bias: tuple[str, ...] = ()
    """Of words: the names that the bias may have."""
    flag: str = ""
    """The config's key for whether there is a bias; none: there is."""


FIRST = Step(kind="first")
"""Take the hidden state of the first token."""


POOL = Step(kind="pool")
"""Take it, or the mean of all, as the config's `classifier_pooling` says."""


def dense(name: str, flag: str = "") -> Step:
    """Multiply by weights and add a bias."""
    return Step(kind="dense", name=name, flag=flag)


def activation(name: str) -> Step:
    """Apply an activation."""
    return Step(kind="activation", name=name)


def norm(name: str) -> Step:
    """Apply a layer norm."""
    return Step(kind="norm", name=name)


def words(name: str, *bias: str, flag: str = "") -> Step:
    """Compare with the embedding of every word of the vocabulary."""
    return Step(kind="words", name=name, bias=bias, flag=flag)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNames:
    """The names of a layer's weights, below that of the layer."""

    query: str
    key: str
    value: str
    attention_output: str
    attention_norm: str
    inner: str
    output: str
    output_norm: str


BERT_LAYER = LayerNames(
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_output="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    inner="intermediate.dense",
    output="output.dense",
    output_norm="output.LayerNorm",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """An encoder of transformers: the names of its weights, and in what it differs from BERT."""

    prefix: str
    """Before the names of the encoder's weights in a checkpoint with a head."""
    heads: Mapping[LabelKind, tuple[Step, ...]]
    """The head of each task; those of embeddings are the same for all."""
    layer: str = "encoder.layer.{number}"
    """The name of a layer."""
    names: LayerNames = BERT_LAYER
    projection: str = "embeddings_project"
    """From the embeddings' width to the hidden states', where they are not the same."""
    positions: Positions = Positions.COUNTED
    attention: AttentionKind = AttentionKind.PLAIN
    words: str = "embeddings.word_embeddings"
    """The embeddings of words."""
    embeddings_norm: str = "embeddings.LayerNorm"
    """The norm behind the embeddings."""
    token_types: bool = True
    """Whether it has embeddings of token types."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """The config's names for sizes, where they are not BERT's."""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """Of the config's keys, where they are not BERT's."""


_DEFAULTS: Mapping[str, object] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "pad_token_id": 0,
    "embedding_size": None,
    "num_hidden_groups": 1,
    "inner_group_num": 1,
    "tie_word_embeddings": True,
    "relative_attention_num_buckets": 32,
    "summary_type": "first",
    "summary_use_proj": True,
    "position_embedding_type": "absolute",
    "position_biased_input": True,
    "norm_bias": True,
}


@dataclass(frozen=True, slots=True)
class Config:
    """A model's `config.json`, read by BERT's names for its values."""

    values: Mapping[str, object]
    architecture: Architecture

    def get(self, name: str) -> object:
        """Return a value, or its default."""
        key = self.architecture.keys.get(name, name)
        found = self.values.get(key)
        if found is not None:
            return found
        return self.architecture.defaults.get(name, _DEFAULTS.get(name))

    def size(self, name: str, *, least: int = 1, most: int = 2**31) -> int:
        """Return a whole number; CheckpointError where it is none, or not of `least` to `most`."""
        found = self.get(name)
        if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
            upper = "up" if most == 2**31 else f"to {most:,}"
            raise self._wrong(name, found, f"a whole number from {least} {upper}")
        return found

    def number(self, name: str) -> float:
        """Return a finite number; CheckpointError where it is none."""
        found = self.get(name)
        plain = isinstance(found, int | float) and not isinstance(found, bool)
        if not plain or not math.isfinite(found):  # type: ignore[arg-type]
            raise self._wrong(name, found, "a number")
        return float(found)  # type: ignore[arg-type]

    def text(self, name: str) -> str:
        """Return a name; CheckpointError where it is none."""
        found = self.get(name)
        if not isinstance(found, str):
            raise self._wrong(name, found, "a name")
        return found

    def require(self, name: str, wanted: object) -> None:
        """Raise CheckpointError where a value is another than the one that can be built."""
        found = self.get(name)
        if found != wanted:
            raise self._wrong(name, found, f"{wanted!r}, or export with --exporter optimum")

    @property
    def positions(self) -> int:
        """The longest input, of which tables are made; CheckpointError for more than any has."""
        return self.size("max_position_embeddings", most=MOST_POSITIONS)

    @property
    def hidden(self) -> int:
        """Width of the hidden states."""
        return self.size("hidden_size")

    @property
    def heads(self) -> int:
        """Attention heads of a layer, which divide the hidden states; else CheckpointError."""
        heads = self.size("num_attention_heads")
        if self.hidden % heads:
            raise CheckpointError(
                f"config.json divides a hidden size of {self.hidden} by {heads} attention heads, "
                "which leaves a rest; copy the model again"
            )
        return heads

    @property
    def layers(self) -> int:
        """Layers of the encoder, each time that a shared one runs counted."""
        return self.size("num_hidden_layers", least=0) * self.size("inner_group_num")

    def _wrong(self, name: str, found: object, wanted: str) -> CheckpointError:
        key = self.architecture.keys.get(name, name)
        return CheckpointError(
            f"config.json: {key} is {shorten(repr(found), 40)}; it must be {wanted}"
        )
