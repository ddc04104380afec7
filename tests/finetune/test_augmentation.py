"""Rows are changed in training alone, and so that what is right of them stays right."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest
import tokenizers
import torch
import transformers

from bertedge.checkpoint.config import ARCHITECTURES
from bertedge.errors import SettingError
from bertedge.finetune import augmentation
from bertedge.finetune.augmentation import Augmenter, label_words, make_augmenter
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.features import Features
from bertedge.finetune.label_words import typical_words
from bertedge.finetune.masked_lm import MaskedLm
from bertedge.finetune.run import finetune
from bertedge.finetune.settings.augmentation import Augmentation
from bertedge.finetune.words import join_words, read_vocabulary, split_words
from bertedge.progress import Silent
from bertedge.tasks.token_classification import IGNORED

TAGS = ("O", "B-COLOR", "I-COLOR", "B-PLACE", "I-PLACE")


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> transformers.PreTrainedTokenizerFast:
    return transformers.AutoTokenizer.from_pretrained(base)


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "UNCHANGED", 0.0)


def row_of(tokenizer: Any, *texts: str, labels: object = 0) -> dict[str, Any]:
    return dict(tokenizer(*texts, return_attention_mask=False)) | {"labels": labels}


def features_of(rows: list[dict[str, Any]]) -> Features:
    data = datasets.Dataset.from_list(rows)
    return Features(data=data, rows=len(rows), truncated=0, windowed=0)


def augmenter(tokenizer: Any, *kinds: str, seed: int = 1, share: float = 0.3) -> Augmenter:
    made = Augmenter([Augmentation(kind) for kind in kinds], seed, share=share)
    made.vocabulary = read_vocabulary(tokenizer)
    made.changes = {Augmentation.DELETION: made.delete, Augmentation.SWAP: made.swap}
    return made


def words(tokenizer: Any, row: dict[str, Any]) -> list[str]:
    return tokenizer.decode(row["input_ids"]).split()


def of_many(change: Augmenter, row: dict[str, Any], epochs: int = 40) -> list[dict[str, Any]]:
    found = []
    for change.epoch in range(epochs):
        found += change([row])
    return found


TEXT = "the old red apple here see take one grape paris"


def test_words_are_those_of_the_text_and_come_together_again(tokenizer: Any) -> None:
    row = row_of(tokenizer, "see reddish apple", "old plums")
    found = split_words(row, read_vocabulary(tokenizer), tagged=False)
    texts = [tokenizer.decode(word.ids).replace(" ##", "") for word in found]
    assert texts == ["[CLS]", "see", "reddish", "apple", "[SEP]", "old", "plums", "[SEP]"]
    assert [word.segment for word in found] == [-1, 0, 0, 0, -1, 1, 1, -1]
    assert join_words(found, row) == row


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_deletion_leaves_out_its_share_of_words_in_their_order(tokenizer: Any, seed: int) -> None:
    row = row_of(tokenizer, TEXT)
    found = of_many(augmenter(tokenizer, "deletion", seed=seed), row, epochs=200)
    left = [words(tokenizer, each)[1:-1] for each in found]
    assert all(each and iter_is_subsequence(each, TEXT.split()) for each in left)
    assert sum(map(len, left)) / len(left) == pytest.approx(7, abs=0.5)
    assert all(each["labels"] == 0 for each in found)
    assert all(len(each["token_type_ids"]) == len(each["input_ids"]) for each in found)


def iter_is_subsequence(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(word in rest for word in part)


def test_no_text_of_a_pair_is_emptied(tokenizer: Any) -> None:
    change = augmenter(tokenizer, "deletion", share=0.9)
    for found in of_many(change, row_of(tokenizer, "red", "old apple")):
        text, second = tokenizer.decode(found["input_ids"]).split("[SEP]")[:2]
        assert text == "[CLS] red " and second.split()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_swap_moves_words_within_their_text(tokenizer: Any, seed: int) -> None:
    row = row_of(tokenizer, "the old red apple", "see one grape here")
    found = of_many(augmenter(tokenizer, "swap", seed=seed), row)
    assert any(each["input_ids"] != row["input_ids"] for each in found)
    for each in found:
        one, other = tokenizer.decode(each["input_ids"][1:-1]).split(" [SEP] ")
        assert sorted(one.split()) == sorted(["the", "old", "red", "apple"])
        assert sorted(other.split()) == sorted(["see", "one", "grape", "here"])


def test_an_epoch_draws_anew_and_the_same_epoch_draws_the_same(tokenizer: Any) -> None:
    row = row_of(tokenizer, TEXT)
    first, again = (of_many(augmenter(tokenizer, "deletion", "swap"), row) for _ in range(2))
    assert first == again
    assert len({tuple(each["input_ids"]) for each in first}) > 20
    other = of_many(augmenter(tokenizer, "deletion", "swap", seed=9), row)
    assert other != first


def test_half_of_the_rows_stay_as_they_are(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "UNCHANGED", 0.5)
    row = row_of(tokenizer, TEXT)
    found = of_many(augmenter(tokenizer, "swap"), row, epochs=300)
    same = sum(each == row for each in found) / len(found)
    assert 0.4 < same < 0.65


def test_a_labels_own_words_come_in_and_words_that_say_little_go(tokenizer: Any) -> None:
    rows = [row_of(tokenizer, "the old red here", labels=0)] * 3
    rows += [row_of(tokenizer, "the old blue here", labels=0)]
    rows += [row_of(tokenizer, "the old apple here", labels=1)] * 4
    change = augmenter(tokenizer, "label-words", share=0.25)
    assert change.vocabulary is not None
    typical = typical_words(features_of(rows), change.vocabulary)
    ids = tokenizer.get_vocab()
    # 3 and 1 times in the label, in 1 of 2 labels: 3 and 1 times log(3 / 2).
    assert dict(zip(typical[0].words, typical[0].shares, strict=True)) == {
        (ids["red"],): pytest.approx(0.75),
        (ids["blue"],): pytest.approx(0.25),
    }
    change.changes[Augmentation.LABEL_WORDS] = label_words(change, typical, 32)
    drawn: Counter[str] = Counter()
    for each in of_many(change, rows[0], epochs=200):
        text = words(tokenizer, each)[1:-1]
        assert text.count("red") + text.count("blue") == 2 and text[2] == "red", text
        drawn.update(text)
    assert drawn["red"] - 200 == pytest.approx(150, abs=30)


def tagged(tokenizer: Any, text: str, tags: list[int]) -> dict[str, Any]:
    row = tokenizer(text.split(), is_split_into_words=True, return_attention_mask=False)
    labels, before = [], None
    for number in row.word_ids():
        labels.append(IGNORED if number in (None, before) else tags[number])
        before = number
    return dict(row) | {"labels": labels}


def tagger(tokenizer: Any, rows: list[dict[str, Any]], *kinds: str) -> Augmenter:
    config = FinetuneConfig(
        task="token-classification", train="t", output="o", model="m",  # type: ignore[arg-type]
        augment=kinds, augment_share=0.5,  # type: ignore[arg-type]
    )  # fmt: skip
    inputs: Any = SimpleNamespace(tokenizer=tokenizer, labels=TAGS, max_length=12)
    made = make_augmenter(config, inputs, features_of(rows))
    assert made is not None
    return made


def entities(tokenizer: Any, row: dict[str, Any]) -> list[tuple[str, str]]:
    vocabulary = read_vocabulary(tokenizer)
    found = split_words(row, vocabulary, tagged=True)
    return [
        (tokenizer.decode(w.ids).replace(" ##", ""), TAGS[w.labels[0]])
        for w in found
        if w.labels[0] > 0
    ]


def test_of_tagged_words_only_those_outside_are_deleted(tokenizer: Any) -> None:
    row = tagged(tokenizer, "see the reddish green here in oslo", [0, 0, 1, 2, 0, 0, 3])
    found = of_many(tagger(tokenizer, [row], "deletion"), row)
    assert min(len(each["input_ids"]) for each in found) < len(row["input_ids"])
    for each in found:
        assert len(each["labels"]) == len(each["input_ids"])
        assert entities(tokenizer, each) == entities(tokenizer, row)


def test_a_mention_becomes_another_of_its_type_with_its_tags(tokenizer: Any) -> None:
    rows = [
        tagged(tokenizer, "see red here", [0, 1, 0]),
        tagged(tokenizer, "see blue greenish here", [0, 1, 2, 0]),
        tagged(tokenizer, "take paris", [0, 3]),
    ]
    known = [[("red", "B-COLOR")], [("blue", "B-COLOR"), ("greenish", "I-COLOR")]]
    change = tagger(tokenizer, rows, "mention")
    found = [entities(tokenizer, each) for each in of_many(change, rows[0])]
    assert all(each in known for each in found) and known[1] in found
    (place,) = {tuple(entities(tokenizer, each)) for each in of_many(change, rows[2])}
    assert place == (("paris", "B-PLACE"),)
    crowded = tagged(tokenizer, "see " * 8 + "red", [0] * 8 + [1])
    assert all(len(each["input_ids"]) <= 12 for each in of_many(change, crowded))


@pytest.fixture(scope="module")
def base_with_head(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masked") / "base"
    torch.manual_seed(0)
    config = transformers.AutoConfig.from_pretrained(base)
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def run(base: Path, files: dict[str, Path], output: Path, **changes: object) -> bytes:
    settings: dict[str, object] = {"task": "text-classification", "model": str(base), **files}
    settings |= {"output": output, "epochs": 2, "learning_rate": 1e-3, **changes}
    finetune(FinetuneConfig(**settings), Silent())  # type: ignore[arg-type]
    return (output / "model.safetensors").read_bytes()


def test_the_base_itself_fills_words_by_others_of_the_data(
    base_with_head: Path, tokenizer: Any
) -> None:
    config = FinetuneConfig(
        task="text-classification", train="t", output="o", model="m",  # type: ignore[arg-type]
        augment=("masked-lm",),  # type: ignore[arg-type]
    )  # fmt: skip
    inputs: Any = SimpleNamespace(
        tokenizer=tokenizer,
        labels=("a", "b"),
        max_length=32,
        base=base_with_head,
        base_config=transformers.AutoConfig.from_pretrained(base_with_head),
    )
    row = row_of(tokenizer, TEXT)
    change = make_augmenter(config, inputs, features_of([row]))
    assert change is not None
    found = of_many(change, row, epochs=30)
    assert found == of_many(change, row, epochs=30)
    assert {len(each["input_ids"]) for each in found} == {len(row["input_ids"])}
    changed = [
        int((np.array(each["input_ids"]) != np.array(row["input_ids"])).sum()) for each in found
    ]
    assert max(changed) == 1 and sum(changed) > 15, "a tenth of ten words, one at least"
    assert {word for each in found for word in words(tokenizer, each)} <= {
        *TEXT.split(), "[CLS]", "[SEP]"
    }  # fmt: skip


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_the_masked_language_model_of_every_architecture_fills_words(
    kind: str, tokenizer: Any
) -> None:
    sizes = {"num_hidden_layers": 1, "n_layers": 1, "num_attention_heads": 2, "n_heads": 2}
    sizes |= {"hidden_size": 8, "dim": 8, "intermediate_size": 8, "hidden_dim": 8}
    sizes |= {"embedding_size": 8, "pad_token_id": 0, "vocab_size": len(tokenizer)}
    config = transformers.AutoConfig.for_model(kind, **sizes)
    model = transformers.AutoModelForMaskedLM.from_config(config)
    allowed = np.array([20, 21])
    filler = MaskedLm(model, tokenizer, allowed)
    row = {"input_ids": [2, 6, 7, 3], "token_type_ids": [0, 0, 0, 0]}
    (found,) = filler.fill([row], [[1]], [np.random.default_rng(0)])
    assert found[1] in allowed and [found[0], *found[2:]] == [2, 7, 3]


def test_a_base_without_that_head_is_refused(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match="has no masked language model") as raised:
        run(base, texts, tmp_path / "run", augment=("masked-lm",))
    assert len(str(raised.value)) <= 300 + len(str(base))
    assert not list(tmp_path.iterdir())


def test_training_changes_rows_and_the_dev_data_stay(
    base_with_head: Path, texts: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augmentation, "UNCHANGED", 0.5)
    seen: list[int] = []
    plain = Augmenter.__call__
    monkeypatch.setattr(
        Augmenter, "__call__", lambda self, rows: seen.append(len(rows)) or plain(self, rows)
    )
    kinds = ("deletion", "swap", "label-words", "masked-lm")
    run(base_with_head, texts, tmp_path / "a", augment=kinds)
    assert sum(seen) == 2 * 320


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": ("shuffle",)}, "choose one of deletion, swap, masked-lm"),
        ({"augment": ("swap",), "augment_share": 0.0}, "augment_share is 0.0; it must be above 0"),
        ({"augment": ("swap",), "task": "token-classification"}, "has a tag for each word; use"),
        ({"augment": ("label-words",), "task": "intent-slots"}, "augment is label-words, intent-"),
        ({"augment": ("mention",)}, "augment is mention, which is for tagged words"),
        ({"augment": ("deletion",), "task": "question-answering"}, "what is right of question-"),
        ({"augment": ("deletion",), "task": "multiple-choice"}, "what is right of multiple-"),
        (
            {"augment": ("label-words",), "problem_type": "regression"},
            "augment is label-words, but regression has no labels",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    plain = {"task": "text-classification", "train": "t", "output": "o", "model": "m"}
    with pytest.raises(SettingError) as raised:
        FinetuneConfig(**{**plain, **changes})  # type: ignore[arg-type]
    assert message in str(raised.value)


def test_byte_level_vocabularies_mark_where_words_begin() -> None:
    backend = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    specials = ["<s>", "</s>", "<unk>", "<pad>", "<mask>"]
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=60, special_tokens=specials)
    backend.train_from_iterator([TEXT] * 3, trainer)
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    roberta = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **dict(zip(("bos_token", "eos_token", "unk_token", "pad_token", "mask_token"), specials,
                   strict=True)),
    )  # fmt: skip
    ids = roberta("the old grapes")["input_ids"]
    found = split_words({"input_ids": ids, "labels": 0}, read_vocabulary(roberta), tagged=False)
    texts = ["".join(roberta.convert_ids_to_tokens(word.ids)) for word in found]
    assert texts == ["<s>", "the", "Ġold", "Ġgrapes", "</s>"]
