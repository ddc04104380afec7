"""A tokenizer.json that nobody vouches for: one line, and no text is read with it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertedge.errors import BundleError
from bertedge.runtime.tokenizer import Tokenizer

FILE = Path(__file__).parents[2] / "models" / "tiny" / "text-classification" / "tokenizer.json"
GOOD = json.loads(FILE.read_text(encoding="utf-8"))
TOKEN = GOOD["added_tokens"][0]

Document = dict[str, Any]


def with_part(name: str, value: Any) -> Document:
    return {**copy.deepcopy(GOOD), name: value}


def with_model(**fields: Any) -> Document:
    return with_part("model", {**copy.deepcopy(GOOD["model"]), **fields})


def without_unknown() -> Document:
    document = copy.deepcopy(GOOD)
    del document["model"]["vocab"]["[UNK]"]
    document["added_tokens"] = [t for t in GOOD["added_tokens"] if t["content"] != "[UNK]"]
    return document


def replaced(times: int, content: str) -> Document:
    part = {"type": "Replace", "pattern": {"String": "a"}, "content": content}
    return with_part("normalizer", {"type": "Sequence", "normalizers": [part] * times})


def split_at(pattern: str) -> Document:
    part = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return with_part("pre_tokenizer", part)


def template(single: list[Any]) -> Document:
    part = copy.deepcopy(GOOD["post_processor"])
    return with_part("post_processor", {**part, "single": single})


def added(count: int) -> Document:
    tokens = [{**TOKEN, "id": 10**6 + i, "content": f"<{i}>"} for i in range(count)]
    return with_part("added_tokens", [*GOOD["added_tokens"], *tokens])


SECOND = {"Sequence": {"id": "B", "type_id": 0}}
FIRST = {"Sequence": {"id": "A", "type_id": 0}}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (without_unknown(), r"Missing \[UNK\] token"),
        (with_model(type="WordLevel", unk_token="none"), "WordLevel error"),
        (with_model(max_input_chars_per_word=10**6), "words of up to 1,000,000 characters"),
        (with_part("model", {"type": "BPE", "vocab": {"a": 0}, "merges": [], "dropout": 0.5}),
         "a dropout"),
        (replaced(1, "a" * 10**6), "up to 1,000,000 times as long"),
        (replaced(20, "aa"), "up to 1,048,576 times as long"),
        (replaced(1000, "a"), "1001 parts in one component"),
        (with_part("normalizer", {"type": "Prepend", "prepend": "x" * 10**5}), "100,000 times"),
        (split_at("(x+)+$"), r"the pattern '\(x\+\)\+\$', which may take hours"),
        (split_at("x*x*x*x*y"), "which may take hours"),
        (split_at("x{1000}"), "which may take hours"),
        (split_at("x" * 501), "which may take hours"),
        (template([FIRST, SECOND]), "a template for single inputs"),
        (template([]), "a template for single inputs"),
        (template([FIRST] * 5000), "a template for single inputs|times as long"),
        (added(10_001), "added tokens, more than 10,000"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_would_hang_grow_or_panic_is_refused(document: Document, message: str) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        Tokenizer(json.dumps(document), max_length=64)
    assert len(str(caught.value)) < 300


def test_a_key_does_not_hide_behind_an_escape() -> None:
    text = json.dumps(split_at("(x+)+$")).replace('"Regex"', '"\\u0052egex"')
    assert json.loads(text) == split_at("(x+)+$")
    with pytest.raises(BundleError, match="which may take hours"):
        Tokenizer(text, max_length=64)


def test_a_panic_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    # An empty table: tokenizers reads past its end.
    document = with_part("normalizer", {"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="})
    with pytest.raises(BundleError, match=r"the tokenizer fails on a text|cannot be read"):
        Tokenizer(json.dumps(document), max_length=64)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "change",
    [
        lambda: split_at(r"'s|'t| ?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?!\S)|\s+"),
        lambda: with_part(
            "normalizer",
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
        ),
        lambda: with_part(
            "normalizer", {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
        ),
        lambda: added(500),
    ],
)
def test_what_known_models_use_is_read(change: Callable[[], Document]) -> None:
    Tokenizer(json.dumps(change()), max_length=64).encode(["turn the  lights off", ""])
