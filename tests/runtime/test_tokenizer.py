import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import tokenizers

from bertedge.errors import BundleError, SettingError
from bertedge.runtime.encoding import best_context, longest_first
from bertedge.runtime.tokenizer import Tokenizer

WORDS = ["turn", "the", "kitchen", "lights", "unbelievableness", "kälter", ",", "日本", "zzz"]


@pytest.fixture(scope="module")
def json(token_bundle: Path) -> str:
    return (token_bundle / "tokenizer.json").read_text(encoding="utf-8")


def sentences(count: int, longest: int, seed: int = 0) -> list[str]:
    dice = random.Random(seed)
    return [" ".join(dice.choices(WORDS, k=dice.randint(0, longest))) for _ in range(count)]


@pytest.mark.parametrize("max_length", [8, 9, 17, 64])
def test_truncation_is_that_of_tokenizers(json: str, max_length: int) -> None:
    native = tokenizers.Tokenizer.from_str(json)
    native.enable_truncation(max_length)
    native.no_padding()
    tokenizer = Tokenizer(json, max_length=max_length)
    texts = sentences(60, 30)
    pairs = list(zip(texts[::2], texts[1::2], strict=True))
    for inputs in (texts, pairs):
        rows = tokenizer.encode(inputs)
        for number, (row, expected) in enumerate(
            zip(rows, native.encode_batch(inputs), strict=True)
        ):
            assert row.ids.tolist() == expected.ids
            assert row.type_ids.tolist() == expected.type_ids
            assert row.truncated == bool(expected.overflowing)
            assert row.text == number
            assert row.ids.dtype == row.type_ids.dtype == np.int64
    assert any(row.truncated for row in rows)


def test_the_longer_text_of_a_pair_gives_way_as_in_tokenizers(json: str) -> None:
    native = tokenizers.Tokenizer.from_str(json)
    native.no_padding()
    for room in range(1, 13):
        native.enable_truncation(room + 3)
        for first, second in itertools.product(range(12), repeat=2):
            origin = native.encode("turn " * first, "turn " * second).sequence_ids
            kept = (origin.count(0), origin.count(1))
            assert longest_first(first, second, room) == kept, (first, second, room)


@pytest.mark.parametrize("stride", [0, 1, 5, None, 1000])
def test_windows_cover_each_token_once_and_keep_the_one_with_most_context(
    json: str, stride: int | None
) -> None:
    tokenizer = Tokenizer(json, max_length=16, stride=stride)
    whole = Tokenizer(json, max_length=10_000)
    for text in ["", *sentences(40, 60)]:
        windows = tokenizer.encode_windows([text])
        (all_of_it,) = whole.encode_windows([text])
        kept = best_context(windows)
        parts = [
            (window.first - window.content.start + place, window.ids[place], window.offsets[place])
            for window, rows in zip(windows, kept, strict=True)
            for place in range(rows.start, rows.stop)
        ]
        content = all_of_it.content
        assert [part[0] for part in parts] == list(range(content.stop - content.start))
        assert [part[1] for part in parts] == all_of_it.ids[content].tolist()
        assert [part[2].tolist() for part in parts] == all_of_it.offsets[content].tolist()
        assert all(len(window.ids) <= 16 for window in windows)
        assert all(window.special.sum() == 2 for window in windows)
        for place, _, _ in parts:
            chosen = next(
                index
                for index, (window, rows) in enumerate(zip(windows, kept, strict=True))
                if rows.start <= place - window.first + window.content.start < rows.stop
            )
            contexts = [context(window, place, len(parts)) for window in windows]
            assert contexts[chosen] >= max(contexts) - 1  # the middle may fall between two tokens


def context(window: object, place: int, size: int) -> float:
    """Tokens seen on the poorer side; the ends of the text are no lack of context."""
    first = window.first  # type: ignore[attr-defined]
    end = first + window.content.stop - window.content.start  # type: ignore[attr-defined]
    if not first <= place < end:
        return -1
    before = float("inf") if first == 0 else place - first
    after = float("inf") if end == size else end - 1 - place
    return min(before, after)


@pytest.mark.parametrize("max_length", [24, 40, 64])
def test_windows_over_a_context_are_those_of_tokenizers(json: str, max_length: int) -> None:
    native = tokenizers.Tokenizer.from_str(json)
    native.no_padding()
    native.enable_truncation(max_length, stride=max_length // 2, strategy="only_second")
    tokenizer = Tokenizer(json, max_length=max_length)
    questions = itertools.cycle(["turn the lights", "", "the", "日本"])
    pairs = list(zip(questions, sentences(40, 60, seed=1), strict=False))
    windows = tokenizer.encode_questions(pairs)
    expected = [
        (number, window)
        for number, first in enumerate(native.encode_batch(pairs))
        for window in (first, *first.overflowing)
    ]
    assert len(windows) == len(expected) > 45
    for window, (number, wanted) in zip(windows, expected, strict=True):
        assert window.text == number and not window.truncated
        assert window.ids.tolist() == wanted.ids
        assert window.type_ids.tolist() == wanted.type_ids
        content = [i for i, origin in enumerate(wanted.sequence_ids) if origin == 1]
        assert np.arange(len(window.ids))[window.content].tolist() == content
        assert window.offsets[window.content].tolist() == [[*wanted.offsets[i]] for i in content]
        words = [wanted.word_ids[i] for i in content]
        assert window.word_ids[window.content].tolist() == words


def test_a_question_that_fills_the_window_is_cut_so_that_the_context_is_read(json: str) -> None:
    tokenizer = Tokenizer(json, max_length=32)
    context = "turn the lights " * 20
    (whole,) = tokenizer.encode_questions([("the " * 20, "turn")])
    assert not whole.truncated and len(whole.ids) == 24
    windows = tokenizer.encode_questions([("the " * 500, context)])
    assert all(window.truncated and len(window.ids) <= 32 for window in windows)
    assert windows[0].first == 0 and windows[-1].offsets[windows[-1].content][-1, 1] == 319
    firsts = [window.first for window in windows]
    assert set(np.diff(firsts).tolist()) == {4}  # 20 tokens of the context, 16 of them shared


def test_a_context_without_tokens_is_one_empty_window(json: str) -> None:
    tokenizer = Tokenizer(json, max_length=32)
    for context in ("", " \n", "\x07"):
        (window,) = tokenizer.encode_questions([("the", context)])
        assert window.content.start == window.content.stop and len(window.ids) == 4


def test_words_keep_their_numbers_through_windows(json: str) -> None:
    tokenizer = Tokenizer(json, max_length=12)
    rows = [["turn", "", "unbelievableness", "\x00", "off"] * 6, [], ["kitchen"]]
    windows = tokenizer.encode_words(rows)
    assert sorted({window.text for window in windows}) == [0, 1, 2]
    for index, words in enumerate(rows):
        own = [window for window in windows if window.text == index]
        kept = [w.word_ids[s].tolist() for w, s in zip(own, best_context(own), strict=True)]
        met = [number for part in kept for number in part]
        assert met == sorted(met)
        readable = [i for i, word in enumerate(words) if word not in ("", "\x00")]
        assert sorted(set(met)) == readable


def test_offsets_count_characters_of_the_callers_string(json: str) -> None:
    text = "🙂 KÄLTER cafe\u0301 日本 off"
    (window,) = Tokenizer(json, max_length=64).encode_windows([text])
    spans = [text[start:end] for start, end in window.offsets[window.content].tolist()]
    assert spans[0] == "🙂" and spans[-1] == "off" and "日" in spans
    assert spans[1:3] == ["K", "Ä"]


def test_lone_surrogates_are_read_as_replacement_characters(json: str) -> None:
    tokenizer = Tokenizer(json, max_length=64)
    (broken, whole) = tokenizer.encode_windows(["a \ud83d lights", "a \ufffd lights"])
    assert broken.ids.tolist() == whole.ids.tolist()
    assert broken.offsets.tolist() == whole.offsets.tolist()
    assert tokenizer.encode([("\udc00", "x")])[0].ids.size == 4
    assert tokenizer.encode_words([["lights", "\udc00on"]])[0].ids.size == 4


def test_a_length_that_special_tokens_fill_is_refused(json: str) -> None:
    with pytest.raises(SettingError, match="max_length is 3"):
        Tokenizer(json, max_length=3)


def test_a_tokenizer_that_does_not_parse_is_a_bundle_error() -> None:
    with pytest.raises(BundleError, match="tokenizer cannot be read"):
        Tokenizer('{"version": "9.0"}', max_length=8)
