"""The predictor against transformers' pipelines on the same checkpoints."""

import random
import string
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bertedge.predictor import Predictor
from bertedge.runtime.encoding import Batch
from bertedge.runtime.engine import infer
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Aggregation, Task
from bertedge.tasks.token_classification import find_entities, join_windows, split_tags

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

torch.set_num_threads(1)  # for models this small, handing work over takes longer than doing it

MAX_LENGTH = 64
WORDS = """
turn the kitchen lights off in bedroom at seven please play heating unbelievableness bedroomward
Kälter ÜBER señor naïve cafe\u0301 A\u030a Œuvre İstanbul ﬁne Ⅻ ½ ß ǆ ﷺ \u0301
日本語 中文 你好世界 한국어 हिन्दी العربية עברית ไทย
🙂 👩\u200d👩\u200d👧 🇩🇪 ☎️ … “quoted” don't e-mail U.S.A. 3.14 $5 a/b -- %%% ##ing
[x] [SEP] [UNK] [MASK] <unk> </s> \u200b \x07 \ufffd \ufeff
"""
SNIPPETS = [*WORDS.split(), "\u00a0", "\u3000", "\x00", "\t", "  ", "\n", "q" * 120]


def random_texts(count: int, seed: int, longest: int = 18) -> list[str]:
    dice = random.Random(seed)
    texts = ["", " ", ".", "a", "\u0301", "🙂"]
    while len(texts) < count:
        words = []
        for _ in range(dice.randint(1, longest)):
            kind = dice.random()
            if kind < 0.7:
                words.append(dice.choice(SNIPPETS))
            elif kind < 0.9:
                letters = dice.choices(string.ascii_letters + string.digits, k=dice.randint(1, 6))
                words.append("".join(letters))
            else:
                words.append(
                    chr(dice.choice([dice.randint(33, 0x2FF), dice.randint(0x300, 0xD7FF)]))
                )
        texts.append(dice.choice(["", " "]).join(words) if dice.random() < 0.2 else " ".join(words))
    return texts


class TorchEngine:
    def __init__(self, model: Any) -> None:
        self.model = model

    def logits(self, batch: Batch) -> Any:
        feed = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
        with torch.inference_mode():
            return self.model(**{k: torch.from_numpy(v) for k, v in feed.items()}).logits.numpy()


def assert_same_entities(found: Any, expected: list[dict[str, Any]], text: str) -> None:
    key = "entity" if expected and "entity" in expected[0] else "entity_group"
    assert [(e.label, e.start, e.end) for e in found] == [
        (e[key], e["start"], e["end"]) for e in expected
    ], repr(text)
    np.testing.assert_allclose(
        [e.score for e in found], [e["score"] for e in expected], atol=1e-4, err_msg=repr(text)
    )
    assert all(e.text == text[e.start : e.end] for e in found)


@pytest.fixture(scope="module")
def fresh_tagger(
    make_tiny: ModuleType, token_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Predictor:
    output = tmp_path_factory.mktemp("bundles") / "token-classification"
    make_tiny.make_bundle(Task.TOKEN_CLASSIFICATION, token_checkpoint, output)
    return Predictor.open(output, device="cpu", threads=1)


@pytest.mark.parametrize("strategy", list(Aggregation))
def test_entities_are_those_of_the_pipeline(
    strategy: Aggregation, fresh_tagger: Predictor, token_checkpoint: Path
) -> None:
    pipeline = transformers.pipeline(
        "ner", model=str(token_checkpoint), aggregation_strategy=strategy.value, device="cpu"
    )
    texts = [text for text in random_texts(160, seed=1) if fits(fresh_tagger.tokenizer, text)]
    assert len(texts) > 80
    found = fresh_tagger.predict(texts, aggregation=strategy)
    labels = set()
    for text, prediction in zip(texts, found, strict=True):
        assert prediction.windows == 1
        # The pipeline refuses the empty text.
        expected = pipeline(text) if text else []
        assert_same_entities(prediction.entities, expected, text)
        labels |= {entity.label for entity in prediction.entities}
    assert len(labels) >= 3


def fits(tokenizer: Tokenizer, text: str) -> bool:
    return len(tokenizer.encode_windows([text])) == 1


@pytest.mark.parametrize("strategy", list(Aggregation))
@pytest.mark.parametrize("kind", ["cased", "byte-level", "unprefixed"])
def test_other_tokenizers_follow_the_pipeline_too(kind: str, strategy: Aggregation) -> None:
    native = {"cased": cased, "byte-level": byte_level, "unprefixed": unigram}[kind]()
    labels = ("O", "B-PER", "I-PER", "LOC", "I-LOC", "S-MISC", "B-X-Y")
    model = random_model(native.get_vocab_size(), labels)
    unknown = "<unk>" if kind != "cased" else "[UNK]"
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=native, model_max_length=MAX_LENGTH, unk_token=unknown
    )
    pipeline = transformers.TokenClassificationPipeline(
        model=model, tokenizer=fast, aggregation_strategy=strategy.value
    )
    tokenizer = Tokenizer(fast.backend_tokenizer.to_str(), max_length=MAX_LENGTH)
    texts = [text for text in random_texts(120, seed=2) if text and fits(tokenizer, text)]
    windows = tokenizer.encode_windows(texts)
    logits = infer(TorchEngine(model), windows, pad_token_id=0)
    tokens = join_windows(texts, windows, logits, tokenizer)
    found = find_entities(texts, tokens, split_tags(labels), strategy)
    for text, entities in zip(texts, found, strict=True):
        assert_same_entities(entities, pipeline(text), text)


def random_model(vocabulary: int, labels: tuple[str, ...]) -> Any:
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=MAX_LENGTH,
        initializer_range=0.4,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    model = transformers.BertForTokenClassification(config).eval()
    torch.nn.init.normal_(model.bert.embeddings.word_embeddings.weight, std=3.0)
    return model


def cased() -> Any:
    import tokenizers as t

    alphabet = string.ascii_letters + string.digits + "äöü日本語🙂\u0301"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *alphabet, *(f"##{each}" for each in alphabet)]
    native = t.Tokenizer(
        t.models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]")
    )
    native.normalizer = t.normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    native.pre_tokenizer = t.pre_tokenizers.BertPreTokenizer()
    native.post_processor = t.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return native


def byte_level() -> Any:
    import tokenizers as t

    native = t.Tokenizer(t.models.BPE())
    native.pre_tokenizer = t.pre_tokenizers.ByteLevel(add_prefix_space=False)
    native.decoder = t.decoders.ByteLevel()
    trainer = t.trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=t.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    native.train_from_iterator(SNIPPETS, trainer)
    native.post_processor = t.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return native


def unigram() -> Any:
    import tokenizers as t

    native = t.Tokenizer(t.models.Unigram())
    native.pre_tokenizer = t.pre_tokenizers.Metaspace()
    native.decoder = t.decoders.Metaspace()
    trainer = t.trainers.UnigramTrainer(
        vocab_size=300,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    native.train_from_iterator([*SNIPPETS, string.ascii_letters, string.digits], trainer)
    native.post_processor = t.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return native


def test_classes_are_those_of_the_pipeline(
    make_tiny: ModuleType, text_checkpoint: Path, tmp_path: Path
) -> None:
    make_tiny.make_bundle(Task.TEXT_CLASSIFICATION, text_checkpoint, tmp_path / "bundle")
    predictor = Predictor.open(tmp_path / "bundle", device="cpu", threads=1)
    pipeline = transformers.pipeline(
        "text-classification", model=str(text_checkpoint), top_k=None, device="cpu"
    )
    texts = random_texts(200, seed=4, longest=60)
    found = predictor.predict(texts)
    for text, prediction in zip(texts, found, strict=True):
        expected = {each["label"]: each["score"] for each in pipeline([text], truncation=True)[0]}
        assert prediction.scores == pytest.approx(expected, abs=1e-4), repr(text)
        assert (
            prediction.scores[prediction.label]
            == prediction.score
            == max(prediction.scores.values())
        )
    assert {prediction.truncated for prediction in found} == {True, False}
    assert len({prediction.label for prediction in found}) == len(predictor.labels)
