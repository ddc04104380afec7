"""A `tokenizer.json` that no hash vouches for: what it may hold, checked before it meets a text.

tokenizers panics, which Python sees as a BaseException, where parts of the file contradict each
other; and a normalizer or a regular expression may turn a short text into gigabytes or hours.
"""

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import tokenizers  # type: ignore[import-untyped]

from bertedge.errors import BundleError, first_line, shorten
from bertedge.runtime.process import NATIVE

MOST_ADDED = 10_000
"""Added tokens: each text is searched for all of them."""
LONGEST_FILE = 2**26
"""Characters; a vocabulary of 250,000 pieces takes a quarter of it."""
LONGEST_WORD = 1_000
"""Characters of a word that WordPiece looks for pieces in; the time grows with the square."""
LONGEST_PATTERN = 500
MOST_PARTS = 32

_NORMALIZERS = """BertNormalizer ByteLevel Lowercase NFC NFD NFKC NFKD Nmt Precompiled Prepend
Replace Sequence Strip StripAccents"""
_PRE_TOKENIZERS = """BertPreTokenizer ByteLevel CharDelimiterSplit Digits Metaspace Punctuation
Sequence Split UnicodeScripts Whitespace WhitespaceSplit"""
_POST_PROCESSORS = "BertProcessing ByteLevel RobertaProcessing Sequence TemplateProcessing"
_PARTS = ("normalizers", "pretokenizers", "processors")
_CHARSMAP = "precompiled_charsmap"
"""A table that tokenizers follows without looking whether it leads outside."""
_STDERR = threading.Lock()
_ESCAPED_ASCII = r"\\u00[2-7]"
_REGEX = r'"Regex"\s*:\s*("(?:[^"\\]|\\.)*")'
_SLOW_REGEX = r"\)[*+{]|x[1-9]|\{\d{3,}"
_ENDLESS = r"[*+]|\{\d*,\}"
_MOST_ENDLESS = 3
"""Open repetitions in one alternative of a pattern; its time grows with that power of a text."""
_UNSEEN = "\U000f1234 \u2603\u00e9"
"""Characters that hardly a vocabulary has."""


def parse(text: str) -> tokenizers.Tokenizer:
    """Read the file's text; BundleError for what tokenizers cannot read or should not run."""
    _check_text(text)
    try:
        with NATIVE:
            native = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # tokenizers raises bare Exception
        raise BundleError(
            f"the tokenizer cannot be read by tokenizers {tokenizers.__version__} "
            f"({shorten(first_line(error))}); upgrade with pip install -U tokenizers, "
            "or export the model again"
        ) from error
    _check_part(native.normalizer, _NORMALIZERS)
    _check_part(native.pre_tokenizer, _PRE_TOKENIZERS)
    _check_part(native.post_processor, _POST_PROCESSORS)
    _check_model(native.model)
    native.no_padding()
    native.no_truncation()
    with _without_backtrace() if _CHARSMAP in text else contextlib.nullcontext():
        _try(native)
    return native


@contextlib.contextmanager
def _without_backtrace() -> Iterator[None]:
    """Send what Rust prints of a panic nowhere: the error that it becomes says it.

    The descriptor is the process's, so this is for what is known to panic, and for an instant.
    """
    with _STDERR:
        kept = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


def broken(error: Exception) -> BundleError:
    """Return the error of a tokenizer that failed on a text."""
    return BundleError(
        f"the tokenizer fails on a text ({shorten(first_line(error))}); export the model again"
    )


def _check_text(text: str) -> None:
    if len(text) > LONGEST_FILE:
        raise _refused(f"{len(text):,} characters, more than {LONGEST_FILE:,}")
    if "\\u00" in text and re.search(_ESCAPED_ASCII, text):  # a key could hide behind it
        try:
            text = json.dumps(json.loads(text), ensure_ascii=False)
        except (ValueError, RecursionError):
            return  # tokenizers will say what is wrong
    added = text.count('"single_word"')
    if added > MOST_ADDED:
        raise _refused(f"{added:,} added tokens, more than {MOST_ADDED:,}")
    for found in re.finditer(_REGEX, text) if '"Regex"' in text else ():
        pattern = _unquoted(found[1])
        plain = re.sub(r"\[[^]]*\]", "c", re.sub(r"\\.", lambda each: "x" + each[0][1:], pattern))
        endless = max(len(re.findall(_ENDLESS, part)) for part in plain.split("|"))
        if (
            len(pattern) > LONGEST_PATTERN
            or endless > _MOST_ENDLESS
            or re.search(_SLOW_REGEX, plain)
        ):
            raise _refused(f"the pattern {shorten(repr(pattern))}, which may take hours")


def _unquoted(quoted: str) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError:
        return quoted


def _check_part(part: Any, known: str) -> None:
    """Refuse a component, or one of its parts, that is not known or that makes texts grow."""
    if part is None:
        return
    state = json.loads(part.__getstate__())
    parts = list(_flatten(state))
    if len(parts) > MOST_PARTS:
        raise _refused(f"{len(parts)} parts in one component, more than {MOST_PARTS}")
    growth = 1
    for each in parts:
        if each.get("type") not in known.split():
            raise _refused(f"the component {shorten(repr(each.get('type')))}")
        growth *= _growth(each)
        if each["type"] == "TemplateProcessing":
            _check_template(each)
    if growth > LONGEST_WORD:
        raise _refused(f"replacements that make a text up to {growth:,} times as long")


def _flatten(state: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield state
    for name in _PARTS:
        for part in state.get(name) or ():
            yield from _flatten(part)


def _check_template(part: Mapping[str, Any]) -> None:
    """Refuse a template that asks for a text which is not there, or leaves one out."""
    for name, wanted in (("single", ["A"]), ("pair", ["A", "B"])):
        found = sorted(piece["Sequence"]["id"] for piece in part[name] if "Sequence" in piece)
        if found != wanted:
            raise _refused(f"a template for {name} inputs of {shorten(str(found), 40)}")


def _growth(part: Mapping[str, Any]) -> int:
    """Return how many times as long a text may become."""
    match part:
        case {"type": "Replace", "content": str(content), "pattern": {"String": str(text)}}:
            return max(-(-len(content) // max(len(text), 1)), 1)
        case {"type": "Replace" | "Prepend", **rest}:
            return max(len(str(rest.get("content", rest.get("prepend", "")))), 1)
        case {"type": "TemplateProcessing", **rest}:
            pieces = (*rest["single"], *rest["pair"], *rest["special_tokens"].values())
            return len(str(pieces)) // 100 + 1
    return 1


def _check_model(model: Any) -> None:
    longest = getattr(model, "max_input_chars_per_word", 0)
    if longest > LONGEST_WORD:
        raise _refused(f"words of up to {longest:,} characters, more than {LONGEST_WORD:,}")
    if getattr(model, "dropout", None):
        raise _refused("a dropout, which reads a text differently every time")


def _try(native: tokenizers.Tokenizer) -> None:
    """Read a character that is not in the vocabulary, alone and in a pair."""
    try:
        with NATIVE:
            native.encode(_UNSEEN)
            native.encode(_UNSEEN, _UNSEEN)
    except Exception as error:  # tokenizers raises bare Exception
        raise broken(error) from error


def _refused(what: str) -> BundleError:
    return BundleError(f"the tokenizer has {what}; do not use it, or export the model again")
