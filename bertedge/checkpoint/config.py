"""`config.json`, checked before anything is made of it: every size, and every label's name.

transformers takes what it finds. A wrong type would end in an error of some other place, a size
of 10^9 in an allocation, and a few keys import code or ask the network. What is read here is what
the architecture's class takes, and what says of the labels; the rest of the file is left alone.
"""

import inspect
import reprlib
from pathlib import Path
from typing import Any

import transformers

from bertedge.checkpoint.files import read_object, shown
from bertedge.checkpoint.own_code import OWN_CODE
from bertedge.errors import CheckpointError, library_errors, shorten
from bertedge.spec import ProblemType

ARCHITECTURES = (
    "bert",
    "roberta",
    "distilbert",
    "electra",
    "xlm-roberta",
    "camembert",
    "mpnet",
    "albert",
    "deberta-v2",
    "modernbert",
)
"""`model_type` of the checkpoints that are trained and exported; MiniLM is a bert."""
EXPORTED = (*ARCHITECTURES, "nomic_bert")
"""Those and what is exported alone."""
POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert", "mpnet")
"""Architectures whose positions start after the padding token's id."""
MOST_LABELS = 100_000
POSITIONS, ABSOLUTE = "position_embedding_type", "absolute"

_SIZES = {
    "vocab_size": (1, 4_000_000),
    "hidden_size": (1, 16_384),
    "dim": (1, 16_384),
    "embedding_size": (1, 16_384),
    "num_hidden_layers": (1, 256),
    "n_layers": (1, 256),
    "num_attention_heads": (1, 1_024),
    "n_heads": (1, 1_024),
    "intermediate_size": (1, 131_072),
    "hidden_dim": (1, 131_072),
    "max_position_embeddings": (2, 1_000_000),
    "type_vocab_size": (0, 1_024),
    "num_labels": (1, MOST_LABELS),
    "num_hidden_groups": (1, 256),
    "inner_group_num": (1, 256),
    "relative_attention_num_buckets": (1, 1_024),
    "position_buckets": (-1, 65_536),
    "max_relative_positions": (-1, 65_536),
    "conv_kernel_size": (0, 64),
    "pooler_hidden_size": (1, 16_384),
    "local_attention": (1, 1_000_000),
    "global_attn_every_n_layers": (1, 256),
}
_SHARES = {
    "hidden_dropout_prob": (0.0, 1.0),
    "attention_probs_dropout_prob": (0.0, 1.0),
    "classifier_dropout": (0.0, 1.0),
    "dropout": (0.0, 1.0),
    "attention_dropout": (0.0, 1.0),
    "qa_dropout": (0.0, 1.0),
    "seq_classif_dropout": (0.0, 1.0),
    "summary_last_dropout": (0.0, 1.0),
    "initializer_range": (0.0, 100.0),
    "layer_norm_eps": (0.0, 1.0),
    "norm_eps": (0.0, 1.0),
    "classifier_dropout_prob": (0.0, 1.0),
    "pooler_dropout": (0.0, 1.0),
    "embedding_dropout": (0.0, 1.0),
    "mlp_dropout": (0.0, 1.0),
    "global_rope_theta": (1.0, 1e12),
    "local_rope_theta": (1.0, 1e12),
}
_ACTIVATIONS = (
    "gelu",
    "gelu_10",
    "gelu_accurate",
    "gelu_fast",
    "gelu_new",
    "gelu_python",
    "gelu_python_tanh",
    "gelu_pytorch_tanh",
    "leaky_relu",
    "linear",
    "mish",
    "quick_gelu",
    "relu",
    "relu2",
    "relu6",
    "sigmoid",
    "silu",
    "swish",
    "tanh",
)
_CHOICES = {
    "hidden_act": _ACTIVATIONS,
    "activation": _ACTIVATIONS,
    "summary_activation": _ACTIVATIONS,
    "hidden_activation": _ACTIVATIONS,
    "classifier_activation": _ACTIVATIONS,
    "pooler_hidden_act": _ACTIVATIONS,
    "classifier_pooling": ("cls", "mean"),
    "summary_type": ("last", "first", "mean", "cls_index"),
    POSITIONS: (ABSOLUTE, "relative_key", "relative_key_query"),
    "problem_type": tuple(ProblemType),
}
_FLAGS = (
    *("use_cache", "sinusoidal_pos_embds", "summary_use_proj", "tie_word_embeddings"),
    *("relative_attention", "position_biased_input", "share_att_key", "legacy"),
    *("norm_bias", "attention_bias", "mlp_bias", "decoder_bias", "classifier_bias"),
)
_OPEN = (
    *("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"),
    *("classifier_dropout", "problem_type", "local_rope_theta"),
)
"""What may be null: no such token, no dropout of its own, nothing said."""
_OF_ALL = ("problem_type", "num_labels", "tie_word_embeddings")
_UNNAMED = {
    "deberta-v2": ("position_buckets", "norm_rel_ebd", "share_att_key", "conv_kernel_size"),
    "modernbert": ("global_attn_every_n_layers", "global_rope_theta", "local_rope_theta"),
}
"""What an architecture's class takes without naming it."""
_ALWAYS = {"modernbert": {"reference_compile": False}}
"""What an architecture is run with, whatever its config says."""
_KERNELS = (
    *("attn_implementation", "_attn_implementation", "_attn_implementation_internal"),
    *("experts_implementation", "_experts_implementation", "_experts_implementation_internal"),
)
"""Keys by which transformers below 5.3 downloads and runs code of the hub (CVE-2026-4372)."""
_DIFFERENT = {
    "quantization_config": "is quantized; give the checkpoint that it was made from",
    "is_decoder": "is a decoder, which reads from left to right; give an encoder",
    "add_cross_attention": "is a decoder, which reads another model's output; give an encoder",
}


def read_config(folder: Path) -> transformers.PretrainedConfig:
    """Read `config.json`; CheckpointError where a value in it cannot be, or is not supported."""
    path = folder / "config.json"
    data = read_object(path)
    refuse_code(path, data)
    kind = data.get("model_type")
    if kind not in EXPORTED:
        raise CheckpointError(
            f"{shown(folder)} has the architecture {kind!r}; supported are {', '.join(EXPORTED)}"
        )
    if kind not in transformers.CONFIG_MAPPING:
        raise CheckpointError(
            f"{shown(folder)} has the architecture {kind!r}, which transformers "
            f"{transformers.__version__} does not have; install transformers 5"
        )
    for key, why in _DIFFERENT.items():
        if data.get(key):
            raise CheckpointError(f"{shown(folder)} {why} ({key} in its config.json)")
    maker = transformers.CONFIG_MAPPING[kind]
    taken = _parameters(maker) | {*_OF_ALL, *_UNNAMED.get(kind, ())}
    known = {key: value for key, value in data.items() if key in taken}
    for key, value in known.items():
        _check(path, key, value)
    _check_positions(path, data, kind, taken=POSITIONS in taken)
    names = _architectures(path, data)
    labels = _labels(path, data)
    known.pop("num_labels", None)
    problem = known.pop("problem_type", None)
    with library_errors(f"{shown(path)} cannot be read"):
        config = maker(
            **(known | _ALWAYS.get(kind, {})),
            architectures=names,
            tokenizer_class=_tokenizer_class(path, data),
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
        )
    # Set now, as transformers 5 refuses one for the labels in words of its own.
    config.problem_type = problem
    _check_together(path, config)
    return config


def _parameters(maker: Any) -> set[str]:
    """Return what a class takes of a config; what every class takes is settled here instead."""
    own, common = (
        set(inspect.signature(each.__init__).parameters)
        for each in (maker, transformers.PretrainedConfig)
    )
    checked = {*_SIZES, *_SHARES, *_CHOICES, *_FLAGS}
    settled = {name for name in common - checked if not name.endswith("_token_id")}
    return own - {"self", "args", "kwargs", *_DIFFERENT} - settled


def refuse_code(path: Path, data: dict[str, object]) -> None:
    """Raise CheckpointError where a config names code of its own, which is never run."""
    kernel = next((key for key in _KERNELS if data.get(key) not in (None, "eager", "sdpa")), None)
    odd = kernel if data.get("auto_map") in (None, {}, OWN_CODE) else "auto_map"
    if odd is not None:
        raise CheckpointError(
            f"{shown(path)} asks for code of its own ({odd}), which bertedge never runs; "
            "give a model that transformers itself knows"
        )


def _check(path: Path, key: str, value: object) -> None:
    if value is None and key in _OPEN:
        return
    if key in _SIZES:
        low, high = _SIZES[key]
        if not _is_int(value) or not low <= value <= high:  # type: ignore[operator]
            raise _wrong(path, key, value, f"a whole number of {low:,} to {high:,}")
    elif key in _SHARES:
        least, most = _SHARES[key]
        number = isinstance(value, float) or _is_int(value)
        if not number or not least <= value <= most:  # type: ignore[operator]
            raise _wrong(path, key, value, f"a number of {least:g} to {most:g}")
    elif key in _CHOICES:
        if value not in _CHOICES[key]:
            raise _wrong(path, key, value, f"one of {', '.join(_CHOICES[key])}")
    elif key in _FLAGS:
        if not isinstance(value, bool):
            raise _wrong(path, key, value, "true or false")
    elif key.endswith("_token_id") and (not _is_int(value) or value < 0):  # type: ignore[operator]
        raise _wrong(path, key, value, "a token's number")


def _check_positions(path: Path, data: dict[str, object], kind: str, *, taken: bool) -> None:
    """Raise CheckpointError for positions that the class would read as absolute ones, unsaid.

    transformers 5 has no relative ones for these architectures.
    """
    positions = data.get(POSITIONS, ABSOLUTE)
    if not taken and positions != ABSOLUTE:
        _check(path, POSITIONS, positions)
        raise CheckpointError(
            f"{shown(path)}: {POSITIONS} is {positions!r}, and transformers "
            f"{transformers.__version__} has {ABSOLUTE!r} alone for {kind}"
        )


def _check_together(path: Path, config: transformers.PretrainedConfig) -> None:
    heads, size = int(config.num_attention_heads), int(config.hidden_size)
    if size % heads:
        raise CheckpointError(
            f"{shown(path)} divides a hidden size of {size} by {heads} attention heads, which "
            "leaves a rest; copy the model again"
        )
    pad, words = config.pad_token_id, int(config.vocab_size)
    if pad is not None and pad >= words:
        raise _wrong(path, "pad_token_id", pad, f"below the vocab_size of {words}")
    if config.model_type in POSITIONS_AFTER_PADDING and int(config.max_position_embeddings) <= (
        (pad or 0) + 1
    ):
        raise _wrong(
            path, "max_position_embeddings", config.max_position_embeddings, "above pad_token_id"
        )


def _architectures(path: Path, data: dict[str, object]) -> list[str] | None:
    names = data.get("architectures")
    if names is None:
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _wrong(path, "architectures", names, "a list of names")
    return names


def _tokenizer_class(path: Path, data: dict[str, object]) -> str | None:
    name = data.get("tokenizer_class")
    if name is not None and not isinstance(name, str):
        raise _wrong(path, "tokenizer_class", name, "a name")
    return name


def _labels(path: Path, data: dict[str, object]) -> tuple[str, ...]:
    """Read the labels' names in their order; transformers' own where the config has none."""
    names, count = data.get("id2label"), data.get("num_labels")
    if names is None:
        return tuple(f"LABEL_{i}" for i in range(count if isinstance(count, int) else 2))
    if not isinstance(names, dict) or not names:
        raise _wrong(path, "id2label", names, "an object of ids and labels")
    if len(names) > MOST_LABELS:
        raise CheckpointError(
            f"{shown(path)} has {len(names):,} labels; at most {MOST_LABELS:,} are supported"
        )
    missing = next((i for i in range(len(names)) if str(i) not in names), None)
    if missing is not None:
        numbers = {str(i) for i in range(len(names))}
        odd = shorten(next(key for key in names if key not in numbers), 40)
        raise CheckpointError(
            f"{shown(path)} names {len(names)} labels in id2label, but not number {missing}; "
            f"found {odd!r}: number them from 0 without a gap"
        )
    if count is not None and count != len(names):
        raise _wrong(path, "num_labels", count, f"{len(names)}, as many as id2label has")
    labels = []
    for key, label in names.items():
        if not isinstance(label, str) and not _is_int(label):
            raise _wrong(path, f"id2label {key}", label, "a label's name")
        labels.append((int(key), str(label)))
    return tuple(label for _, label in sorted(labels))


def _wrong(path: Path, key: str, value: object, wanted: str) -> CheckpointError:
    found = reprlib.repr(value)
    return CheckpointError(f"{shown(path)}: {key} is {found}; it must be {wanted}")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
