"""A checkpoint's fast tokenizer, loaded from its own files and by transformers' own classes."""

import json
import reprlib
from pathlib import Path
from typing import Any

import tokenizers  # type: ignore[import-untyped]
import transformers
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING, tokenizer_class_from_name

from bertedge.checkpoint.config import POSITIONS_AFTER_PADDING, refuse_code
from bertedge.checkpoint.files import read_object, shown
from bertedge.errors import CheckpointError, library_errors
from bertedge.libraries import has_sentencepiece

SETTINGS = "tokenizer_config.json"
WHOLE = "tokenizer.json"
MOST_ADDED = 10_000
_STEERING = (
    "fast_tokenizer_files",
    "from_slow",
    "gguf_file",
    "init_inputs",
    "tokenizer_object",
    "__slow_tokenizer",
)
"""Keys that make transformers read other files, or pass what only a program can."""
_AS_SAVED = "PreTrainedTokenizerFast"
"""The class that reads tokenizer.json as it is. transformers 5 makes other classes' anew, from the
vocabulary, and calls this one TokenizersBackend, a name that transformers 4 does not know."""
_SPECIAL = 2
"""Special tokens that a class puts around a text: [CLS] and [SEP]."""
_BYTE_LEVEL = ("roberta", "modernbert")
"""Architectures whose words begin with the space before them."""
_LEAST = 1 + _SPECIAL
"""Tokens of a text: a piece between them."""


def load_tokenizer(
    folder: Path, config: transformers.PretrainedConfig, *, words: bool = False
) -> transformers.PreTrainedTokenizerFast:
    """Load the checkpoint's fast tokenizer; `words` prepares byte-level ones for split words.

    It runs no code of the checkpoint's and opens no connection. CheckpointError where there is
    none, or none that fits the model.
    """
    settings = _settings(folder)
    kind = _kind(folder, config, settings)
    options: dict[str, object] = {
        key: str(folder / name) if (folder / name).exists() else None
        for key, name in _files_of(kind).items()
        if key in settings  # a path of another machine, or of another's choice
    }
    if words and config.model_type in _BYTE_LEVEL:
        options["add_prefix_space"] = True
    with library_errors(f"{shown(folder)} has no tokenizer that can be loaded"):
        tokenizer = kind.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **options
        )
        tokenizer.chat_template = None  # whose names saving would take for those of files
        _restore_template(tokenizer, folder)
        if words and config.model_type in _BYTE_LEVEL:
            _begin_words_with_spaces(tokenizer.backend_tokenizer)
        pair = tokenizer("a", "b", return_token_type_ids=True)
        largest = max((*tokenizer.get_vocab().values(), *pair["input_ids"]))
        pad = tokenizer.pad_token_id
    if pad is None:
        raise CheckpointError(f"{shown(folder)} needs a tokenizer with a pad token")
    if largest >= config.vocab_size:
        raise CheckpointError(
            f"{shown(folder)} has a tokenizer with ids up to {largest:,}, and a model of "
            f"{config.vocab_size:,} token embeddings; they do not belong together"
        )
    kinds, last = getattr(config, "type_vocab_size", 0), max(pair["token_type_ids"])
    if kinds == 1 and last:
        forget_types(tokenizer.backend_tokenizer)
    elif 0 < kinds <= last:
        raise CheckpointError(
            f"{shown(folder)} has a tokenizer with token types up to {last}, and a model of "
            f"{kinds} (type_vocab_size in config.json); they do not belong together"
        )
    return tokenizer


def save_tokenizer(tokenizer: transformers.PreTrainedTokenizerFast, folder: Path) -> None:
    """Save a tokenizer so that transformers 4 and 5 both open it, and read texts as it does."""
    tokenizer.save_pretrained(folder)
    path = folder / SETTINGS
    settings = json.loads(path.read_text(encoding="utf-8"))
    for key in ("chat_template", "is_local", "local_files_only"):  # of none, and of this loading
        settings.pop(key, None)
    more = settings.get("extra_special_tokens")
    if isinstance(more, list):  # of transformers 5; in transformers 4 it is an object
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    prompted = tokenizer.num_special_tokens_to_add() > _SPECIAL
    if prompted or settings["tokenizer_class"] == "TokenizersBackend":
        settings["tokenizer_class"] = _AS_SAVED
        settings["model_input_names"] = tokenizer.model_input_names
    path.write_text(json.dumps(settings, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def longest_input(
    config: transformers.PretrainedConfig, tokenizer: transformers.PreTrainedTokenizerFast
) -> int:
    """Count the tokens that the architecture has positions for; CheckpointError for too few."""
    positions = int(config.max_position_embeddings)
    if config.model_type in POSITIONS_AFTER_PADDING:  # its positions start after the padding index
        positions -= int(config.pad_token_id or 0) + 1
    longest = min(positions, int(tokenizer.model_max_length))
    if longest < _LEAST:
        raise CheckpointError(
            f"{shown(tokenizer.name_or_path)} reads {longest} tokens at most, too few for a text; "
            f"set max_position_embeddings, or model_max_length in its {SETTINGS}, right"
        )
    return longest


def forget_types(backend: Any) -> None:
    """Let a tokenizer give both texts of a pair type 0: all that a model of one type can read."""
    whole = json.loads(backend.to_str())
    whole["post_processor"] = _of_one_type(whole["post_processor"])
    backend.post_processor = tokenizers.Tokenizer.from_str(json.dumps(whole)).post_processor


def _of_one_type(part: Any) -> Any:
    if isinstance(part, list):
        return [_of_one_type(each) for each in part]
    if not isinstance(part, dict):
        return part
    if part.get("type") == "BertProcessing":  # whose types stand in no file
        (cls, cls_id), (sep, sep_id) = part["cls"], part["sep"]
        begin, end = ({"SpecialToken": {"id": name, "type_id": 0}} for name in (cls, sep))
        first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
        ids = {cls: cls_id, sep: sep_id}
        return {
            "type": "TemplateProcessing",
            "single": [begin, first, end],
            "pair": [begin, first, end, second, end],
            "special_tokens": {
                name: {"id": name, "ids": [number], "tokens": [name]}
                for name, number in ids.items()
            },
        }
    return {key: 0 if key == "type_id" else _of_one_type(each) for key, each in part.items()}


def _restore_template(tokenizer: transformers.PreTrainedTokenizerFast, folder: Path) -> None:
    """Restore the special tokens of tokenizer.json that a class made anew does not put there.

    Those are a prompt's, of a checkpoint that names the class of its base.
    """
    path, backend = folder / WHOLE, tokenizer.backend_tokenizer
    saved = tokenizers.Tokenizer.from_file(str(path)) if path.exists() else backend
    if saved.num_special_tokens_to_add(False) > backend.num_special_tokens_to_add(False):
        backend.post_processor = saved.post_processor


def _begin_words_with_spaces(backend: Any) -> None:
    """Let a byte-level tokenizer put a space before words, which some of its classes forget."""
    whole = json.loads(backend.to_str())
    first = whole["pre_tokenizer"] or {}
    for part in first.get("pretokenizers") or [first]:
        if part.get("type") == "ByteLevel":
            part["add_prefix_space"] = True
    backend.pre_tokenizer = tokenizers.Tokenizer.from_str(json.dumps(whole)).pre_tokenizer


def _settings(folder: Path) -> dict[str, object]:
    path = folder / SETTINGS
    settings = read_object(path) if path.exists() else {}
    refuse_code(path, settings)
    steering = next((key for key in _STEERING if settings.get(key)), None)
    if steering:
        raise CheckpointError(f"{shown(path)} sets {steering}, which is not supported; remove it")
    longest = settings.get("model_max_length", 1)
    if not isinstance(longest, int | float) or longest != longest or longest < 1:  # noqa: PLR0124
        raise CheckpointError(
            f"{shown(path)}: model_max_length is {reprlib.repr(longest)}; it must be a number of "
            "tokens"
        )
    added = settings.get("added_tokens_decoder")
    if isinstance(added, dict) and len(added) > MOST_ADDED:
        raise CheckpointError(
            f"{shown(path)} adds {len(added):,} tokens; at most {MOST_ADDED:,} are supported"
        )
    return settings


def _kind(folder: Path, config: transformers.PretrainedConfig, settings: dict[str, object]) -> Any:
    """Choose the class: what the folder names, else that of the architecture."""
    name = settings.get("tokenizer_class") or config.tokenizer_class
    kind: Any = TOKENIZER_MAPPING[type(config)]
    if isinstance(kind, tuple):  # the slow one and the fast one of transformers 4
        kind = kind[1]
    if name is not None:
        if not isinstance(name, str) or not name.isidentifier():
            raise CheckpointError(
                f"{shown(folder / SETTINGS)}: tokenizer_class is {reprlib.repr(name)}; it must be "
                "the name of a class of transformers"
            )
        with library_errors(f"{shown(folder)} has no tokenizer that can be loaded"):
            fast = _AS_SAVED if name == "TokenizersBackend" else name.removesuffix("Fast") + "Fast"
            kind = tokenizer_class_from_name(fast)
    if not isinstance(kind, type) or not issubclass(kind, transformers.PreTrainedTokenizerFast):
        raise CheckpointError(
            f"{shown(folder)} needs a fast tokenizer (tokenizer.json), and transformers has none "
            f"for {reprlib.repr(name)}"
        )
    files = _files_of(kind).values()
    there = [name for name in files if (folder / name).exists()]
    if not there:
        raise CheckpointError(
            f"{shown(folder)} has no tokenizer: {' and '.join(files)} are missing; save it too: "
            "tokenizer.save_pretrained(directory)"
        )
    model = next((name for name in there if name.endswith(".model")), None)
    if model and WHOLE not in there and not has_sentencepiece():
        raise CheckpointError(
            f"{shown(folder)} has its tokenizer in {model} alone, without {WHOLE}; to convert it, "
            "pip install 'bertedge[sentencepiece]'"
        )
    return kind


def _files_of(kind: Any) -> dict[str, str]:
    names: dict[str, str] = kind.vocab_files_names
    return names
