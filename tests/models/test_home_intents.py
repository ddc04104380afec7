"""The data set in models/home-intents."""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HOME = Path(__file__).resolve().parents[2] / "models" / "home-intents"
SPLITS = ("train", "dev", "test")


def load_grammar() -> ModuleType:
    spec = importlib.util.spec_from_file_location("home_intents_grammar", HOME / "grammar.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines(split: str) -> list[dict[str, Any]]:
    text = (HOME / "data" / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def intent_counts(split: str) -> Counter[str]:
    return Counter(line["intent"] for line in lines(split))


def slot_counts(split: str) -> Counter[str]:
    return Counter(tag[2:] for line in lines(split) for tag in line["tags"] if tag[0] == "B")


def spans(line: dict[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for token, tag in zip(line["tokens"], line["tags"], strict=True):
        if tag[0] == "B":
            found.append((tag[2:], token))
        elif tag[0] == "I":
            found[-1] = (found[-1][0], f"{found[-1][1]} {token}")
    return found


def table(header: str) -> list[list[str]]:
    """The cells of the rows below the one README row that reads so."""
    readme = (HOME / "README.md").read_text(encoding="utf-8").splitlines()
    assert readme.count(header) == 1
    rows = []
    for row in readme[readme.index(header) + 2 :]:
        if not row.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in row.strip("|").split("|")])
    return rows


def test_regenerating_gives_the_committed_bytes() -> None:
    committed = (HOME / "data" / "train.jsonl").read_bytes()
    assert load_grammar().render().encode("utf-8") == committed


def test_another_seed_gives_another_set() -> None:
    grammar = load_grammar()
    assert grammar.render(grammar.SEED + 1) != grammar.render()


@pytest.mark.parametrize("split", SPLITS)
def test_lines_have_the_keys_in_order_and_are_written_plainly(split: str) -> None:
    raw = (HOME / "data" / f"{split}.jsonl").read_text(encoding="utf-8")
    assert raw.endswith("\n")
    for row, line in zip(raw.splitlines(), lines(split), strict=True):
        assert list(line) == ["text", "intent", "tokens", "tags"]
        assert row == json.dumps(line, ensure_ascii=False)


@pytest.mark.parametrize("split", SPLITS)
def test_tokens_and_tags_agree_with_the_text(split: str) -> None:
    for line in lines(split):
        assert line["tokens"] == line["text"].split()
        assert " ".join(line["tokens"]) == line["text"]
        assert len(line["tags"]) == len(line["tokens"]) > 0


@pytest.mark.parametrize("split", SPLITS)
def test_texts_look_like_transcripts(split: str) -> None:
    for line in lines(split):
        assert re.fullmatch(r"[a-z0-9' :.]+", line["text"]), line["text"]


@pytest.mark.parametrize("split", SPLITS)
def test_tags_are_valid_iob2(split: str) -> None:
    for line in lines(split):
        before = "O"
        for tag in line["tags"]:
            assert re.fullmatch(r"O|[BI]-[a-z]+", tag), line["text"]
            if tag.startswith("I-"):
                assert before in (f"B-{tag[2:]}", tag), line["text"]
            before = tag


@pytest.mark.parametrize("split", SPLITS)
def test_out_of_scope_carries_no_slots(split: str) -> None:
    for line in lines(split):
        if line["intent"] == "out_of_scope":
            assert set(line["tags"]) == {"O"}, line["text"]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_every_intent_and_tag_is_in_train(split: str) -> None:
    train_tags = {tag for line in lines("train") for tag in line["tags"]}
    assert {tag for line in lines(split) for tag in line["tags"]} <= train_tags
    assert set(intent_counts(split)) == set(intent_counts("train"))


@pytest.mark.parametrize(
    ("split", "total", "each", "out_of_scope"),
    [("train", 2000, 120, 600), ("dev", 260, 12, 40), ("test", 340, 16, 55)],
)
def test_splits_are_large_enough(split: str, total: int, each: int, out_of_scope: int) -> None:
    counts = intent_counts(split)
    assert counts.total() >= total
    assert min(counts.values()) >= each
    assert counts["out_of_scope"] >= out_of_scope


def test_no_text_occurs_twice_within_or_across_splits() -> None:
    texts = Counter(line["text"] for split in SPLITS for line in lines(split))
    assert [text for text, times in texts.items() if times > 1] == []


def test_every_pattern_refers_to_known_rules_and_every_rule_is_used() -> None:
    grammar = load_grammar()
    sources = [*grammar.RULES.values(), *grammar.INTENTS.values()]
    used = {name for source in sources for name in grammar.RULE.findall(source)}
    assert used <= set(grammar.RULES)
    assert set(grammar.RULES) - used == {"before", "after", "opener"}


def test_every_intent_has_at_least_twenty_patterns() -> None:
    assert all(len(patterns) >= 20 for patterns in load_grammar().PATTERNS.values())


def test_readme_intents_are_the_intents_of_the_data() -> None:
    rows = table("| Intent | Meaning | Example |")
    assert [row[0] for row in rows] == list(intent_counts("train"))
    known = {(line["intent"], line["text"]) for split in SPLITS for line in lines(split)}
    assert {(row[0], row[2]) for row in rows} <= known


def test_readme_slots_are_the_slots_of_the_data() -> None:
    rows = table("| Slot | Meaning | Example |")
    assert {row[0] for row in rows} == set(slot_counts("train"))
    known = {span for split in SPLITS for line in lines(split) for span in spans(line)}
    assert {(row[0], row[2]) for row in rows} <= known


@pytest.mark.parametrize(
    ("header", "count"),
    [
        ("| Intent | train | dev | test |", intent_counts),
        ("| Slot | train | dev | test |", slot_counts),
    ],
)
def test_readme_counts_match_the_data(header: str, count: Any) -> None:
    counts = [count(split) for split in SPLITS]
    shown = {row[0]: [int(cell) for cell in row[1:]] for row in table(header)}
    assert shown.pop("total") == [c.total() for c in counts]
    assert shown == {name: [c[name] for c in counts] for name in counts[0]}


def test_readme_has_the_place_for_measurements() -> None:
    readme = (HOME / "README.md").read_text(encoding="utf-8")
    place = r"<!-- measured:begin home-intents -->\n.*<!-- measured:end home-intents -->"
    assert re.search(rf"^## Measured\n+{place}$", readme, re.M | re.S)
