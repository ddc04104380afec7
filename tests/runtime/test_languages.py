"""Text of any language: tokens as in transformers, offsets in the caller's own string."""

import itertools
import unicodedata
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")

import torch
import transformers
from transformers import BertConfig, BertForTokenClassification, BertTokenizer, BertTokenizerFast

from bertedge.checkpoint import TorchEngine
from bertedge.runtime.engine import infer
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Aggregation
from bertedge.tasks.token_classification import find_entities, join_windows, split_tags

MAX_LENGTH = 64
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    "turn the lights off cafe straße naive istanbul über new york 2031 שלום ירושלים سلام القاهرة"
)
CHARACTERS = (
    "北京大学在海淀臺灣體驗，。！（）「」ＡＢａｂ１２３㎡が日本語ありがとう한국어🙂👩👧🏽🇩🇪❤️éüßİıñç"
    "אבגדהוזחטיכלמםנןסעפףצץקרשתابتثجحخدذرزسشصضطظعغفقكلمنهويةأإ٣٤"
)
TEXTS = {
    "chinese": (
        "北京大学在海淀。",
        "我爱自然语言处理，因为它很有用！",
        "臺灣大學的學生體驗",
        "价格是１２３元，ＡＢＣ公司（北京）㎡",
        "他在New York住了3年,iPhone很贵",
        "𠮷野家在𩸽的旁边",  # outside the basic plane
        "北京\u3000上海\u00a0广州",
        "㈱ｶﾞｲﾄﾞ豈",  # compatibility forms
    ),
    "accents": (
        "Kälter als das Café in São Paulo, naïve Ångström",
        "Ka\u0308lter als das Cafe\u0301 in Sa\u0303o Paulo, nai\u0308ve A\u030angstro\u0308m",
        "İstanbul'da IŞIK ılık",
        "STRASSE straße ẞ ﬁn ǅ Σίσυφος ΟΔΟΣ",
        "q\u0323\u0307 e\u0301\u0301\u0301 \u0301lone",
        "Tiếng Việt phở Đà Nẵng",
    ),
    "emoji": (
        "🙂 off 🙂🙂turn🙂",
        "👩\u200d👩\u200d👧 turn 👍🏽 the ❤\ufe0f lights 🇩🇪🇫🇷 off 🏴\U000e0067\U000e007f",
        "1\ufe0f\u20e3 ☎\ufe0f ©",
    ),
    "right to left": (
        "שלום, אני גר בירושלים!",
        "שָׁלוֹם עֲלֵיכֶם",
        "السلام عليكم في القاهرة، ٣٤٥؟",
        "السَّلَامُ عَلَيْكُمْ",
        "turn \u202bאור\u202c off \u200fשלום\u200e the",
        "لا إله ﷲ ﻻ",
    ),
    "mixed": (
        "東京タワーはTokyoにありますが、カフェ「Café」は北京。",
        "한국어를 turn 배웁니다 조사가",
        "हिन्दी में नमस्ते भारत",
        "ภาษาไทยไม่มีวรรค",
        "Привет, Йошкар-Ола! ёлка",
    ),
    "control": (
        "turn\tthe\r\nlights\x00off\x07\x1b[0m",
        "the\u200bzero\u2060width\ufeffjoin\u00adsoft",
        "\ufffd line\u2028separator\u2029paragraph\x85next",
        " \u2003 lights \u3000",
        "\ue000 private \uffff \U0010fffe",
        "",
        " ",
    ),
}
ALL = tuple(itertools.chain.from_iterable(TEXTS.values()))


def small_vocabulary() -> list[str]:
    plain = "abcdefghijklmnopqrstuvwxyz0123456789" + CHARACTERS
    letters = dict.fromkeys(plain + unicodedata.normalize("NFD", plain))
    return [*SPECIAL, *dict.fromkeys([*letters, *WORDS.split(), *(f"##{c}" for c in letters)])]


@pytest.fixture(
    scope="module",
    params=[
        "small-uncased",
        "small-cased",
        *(
            pytest.param(f"bert-base-{name}", marks=pytest.mark.shared)
            for name in ("uncased", "cased", "chinese")
        ),
    ],
)
def vocabulary(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a vocabulary, named as what it is."""
    name: str = request.param
    if name.startswith("bert-base"):
        shared: Path = request.getfixturevalue("shared_data")
        return shared / "vocab" / name
    folder = tmp_path_factory.mktemp("vocabularies") / name
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(small_vocabulary()) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def fast(vocabulary: Path) -> BertTokenizerFast:
    lower = not vocabulary.name.endswith("-cased")
    return BertTokenizerFast(str(vocabulary / "vocab.txt"), do_lower_case=lower)


@pytest.fixture(scope="module")
def tokenizer(fast: BertTokenizerFast) -> Tokenizer:
    return Tokenizer(fast.backend_tokenizer.to_str(), max_length=MAX_LENGTH)


@pytest.mark.parametrize("kind", TEXTS)
def test_tokens_types_and_offsets_are_those_of_transformers(
    fast: BertTokenizerFast, tokenizer: Tokenizer, kind: str
):
    texts = TEXTS[kind]
    pairs = list(itertools.pairwise(texts))
    for inputs in (list(texts), pairs):
        # Asked for one pair alone, transformers takes an empty second text for none; in a batch,
        # as in training, it does not.
        expected = fast(inputs, truncation=True, max_length=MAX_LENGTH)
        for row, given in zip(tokenizer.encode(inputs), inputs, strict=True):
            assert row.ids.tolist() == expected["input_ids"][row.text], given
            assert row.type_ids.tolist() == expected["token_type_ids"][row.text], given
    for text, window in zip(texts, tokenizer.encode_windows(texts), strict=True):
        expected = fast(text, return_offsets_mapping=True)
        assert window.ids.tolist() == expected["input_ids"], text
        assert window.offsets.tolist() == [list(span) for span in expected["offset_mapping"]], text


@pytest.mark.parametrize("kind", ["chinese", "accents", "emoji", "right to left", "mixed"])
def test_tokens_are_those_of_the_reference_in_python(
    vocabulary: Path, tokenizer: Tokenizer, kind: str
):
    lower = not vocabulary.name.endswith("-cased")
    slow = BertTokenizer(str(vocabulary / "vocab.txt"), do_lower_case=lower)
    for text in TEXTS[kind]:
        # Where case is kept, the reference composes accents first; the fast tokenizers do not.
        composed = text if lower else unicodedata.normalize("NFC", text)
        (row,) = tokenizer.encode([composed])
        assert row.ids.tolist() == slow(composed)["input_ids"], text


def test_every_token_stands_for_characters_of_the_callers_string(tokenizer: Tokenizer):
    for text in ALL:
        for window in tokenizer.encode_windows([text]):
            spans = window.offsets[window.content]
            assert (spans[:, 0] < spans[:, 1]).all() and (spans[1:, 0] >= spans[:-1, 0]).all(), text
            for start, end in spans.tolist():
                assert not text[start].isspace() and not text[end - 1].isspace(), text


def test_a_chinese_character_is_a_token_at_its_own_place(tokenizer: Tokenizer):
    text = "他在 New York 的北京大学，２０３１年臺灣"
    (window,) = tokenizer.encode_windows([text])
    spans = [tuple(span) for span in window.offsets[window.content].tolist()]
    for place, character in enumerate(text):
        if "\u4e00" <= character <= "\u9fff" or character == "，":
            assert spans.count((place, place + 1)) == 1, character


def test_composed_and_decomposed_words_are_the_same_tokens_at_their_own_places(
    tokenizer: Tokenizer, vocabulary: Path
):
    if vocabulary.name.endswith("-cased"):
        pytest.skip("a cased vocabulary keeps its accents, and the two ways to write them apart")
    composed, decomposed = "the café off", "the cafe\u0301 off"
    one, other = tokenizer.encode_windows([composed, decomposed])
    assert one.ids.tolist() == other.ids.tolist()
    for text, window in ((composed, one), (decomposed, other)):
        spans = [text[start:end] for start, end in window.offsets[window.content].tolist()]
        assert spans[0] == "the" and spans[-1] == "off"


@pytest.mark.parametrize("strategy", list(Aggregation))
def test_entities_are_those_of_the_pipeline_and_quote_the_callers_string(
    fast: BertTokenizerFast, tokenizer: Tokenizer, strategy: Aggregation
):
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(fast),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=MAX_LENGTH,
        initializer_range=0.5,
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
    )
    model = BertForTokenClassification(config).eval()
    pipeline = transformers.TokenClassificationPipeline(
        model=model, tokenizer=fast, aggregation_strategy=strategy.value, device="cpu"
    )
    texts = [text for text in ALL if len(tokenizer.encode_windows([text])) == 1]
    assert len(texts) > len(ALL) // 2
    windows = tokenizer.encode_windows(texts)
    logits = infer(TorchEngine(model), windows, pad_token_id=0)
    tokens = join_windows(texts, windows, logits, tokenizer)
    found = find_entities(texts, tokens, split_tags(LABELS), strategy)
    assert sum(map(len, found)) > len(texts)
    for text, entities in zip(texts, found, strict=True):
        expected = pipeline(text) if text.strip() else []
        key = "entity" if strategy is Aggregation.NONE else "entity_group"
        assert [(e.label, e.start, e.end) for e in entities] == [
            (e[key], e["start"], e["end"]) for e in expected
        ], text
        scores = [e["score"] for e in expected]
        np.testing.assert_allclose([e.score for e in entities], scores, atol=1e-4)
        for entity in entities:
            assert entity.text == text[entity.start : entity.end] != "", text
