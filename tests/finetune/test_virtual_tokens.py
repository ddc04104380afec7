"""Virtual tokens stand after [CLS] of every text, and nothing else of the tokenizer changes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from tokenizers import Tokenizer as Native
from tokenizers import decoders, models, pre_tokenizers, processors

from bertedge.checkpoint import read_config
from bertedge.checkpoint.tokenizer import load_tokenizer, save_tokenizer
from bertedge.errors import SettingError
from bertedge.finetune.config import FinetuneConfig
from bertedge.finetune.data import open_data
from bertedge.finetune.inputs import open_inputs
from bertedge.finetune.virtual_tokens import add_virtual_tokens
from bertedge.runtime.tokenizer import Tokenizer
from bertedge.spec import Task

TOKENS = 3
NAMES = ["[PROMPT_0]", "[PROMPT_1]", "[PROMPT_2]"]
TEXTS: list[Any] = ["take one red apple", ("take one", "red apple here"), "", "[PROMPT_1] red"]


def bert(base: Path) -> transformers.PreTrainedTokenizerFast:
    """Special tokens by a template."""
    return transformers.AutoTokenizer.from_pretrained(base)


def bert_processing(base: Path) -> transformers.PreTrainedTokenizerFast:
    tokenizer = bert(base)
    ends = [(name, tokenizer.convert_tokens_to_ids(name)) for name in ("[SEP]", "[CLS]")]
    tokenizer.backend_tokenizer.post_processor = processors.BertProcessing(*ends)
    return tokenizer


def roberta(base: Path) -> transformers.PreTrainedTokenizerFast:
    """Byte-level, by RobertaProcessing, which trims the space off a word's offsets."""
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces = [*names, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Native(models.BPE({piece: i for i, piece in enumerate(pieces)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return transformers.RobertaTokenizerFast(tokenizer_object=backend, add_prefix_space=True)


MAKERS = {"template": bert, "bert": bert_processing, "roberta": roberta}


@pytest.mark.parametrize("kind", MAKERS)
def test_the_tokens_stand_after_the_first_one_and_all_else_is_as_before(
    kind: str, base: Path, tmp_path: Path
) -> None:
    plain, changed = MAKERS[kind](base), MAKERS[kind](base)
    add_virtual_tokens(changed, TOKENS)
    save_tokenizer(changed, tmp_path)
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.model_input_names == plain.model_input_names
    size = len(plain)
    ids = [size, size + 1, size + 2]
    assert changed.convert_ids_to_tokens(ids) == NAMES and len(changed) == size + TOKENS
    for text in TEXTS[:3]:
        given = text if isinstance(text, tuple) else (text,)
        before = plain(*given, return_offsets_mapping=True, return_token_type_ids=True)
        for each in (changed, loaded):
            after = each(*given, return_offsets_mapping=True, return_token_type_ids=True)
            for name, added in (
                ("input_ids", ids),
                ("token_type_ids", [0] * TOKENS),
                ("offset_mapping", [(0, 0)] * TOKENS),
            ):
                assert after[name] == before[name][:1] + added + before[name][1:], (text, name)
            first = slice(1, 1 + TOKENS)
            assert after.word_ids()[first] == [None] * TOKENS


@pytest.mark.parametrize("kind", MAKERS)
def test_the_runtime_reads_them_as_special_tokens(kind: str, base: Path) -> None:
    plain, changed = MAKERS[kind](base), MAKERS[kind](base)
    before = Tokenizer(plain.backend_tokenizer.to_str(), max_length=12)
    add_virtual_tokens(changed, TOKENS)
    after = Tokenizer(changed.backend_tokenizer.to_str(), max_length=12 + TOKENS)
    assert after.specials == before.specials + TOKENS
    long = "take one very old red apple here and there " * 5
    added = [len(plain) + i for i in range(TOKENS)]
    pairs = [(long, long), ("red", long)]
    for one, other in (
        (before.encode([long, *pairs]), after.encode([long, *pairs])),
        (before.encode_windows([long]), after.encode_windows([long])),
        (before.encode_words([long.split()]), after.encode_words([long.split()])),
    ):
        for row, wider in zip(one, other, strict=True):
            assert wider.ids.tolist() == [*row.ids[:1], *added, *row.ids[1:]]
            assert np.array_equal(wider.ids[wider.content], row.ids[row.content])
            assert (wider.first, wider.truncated) == (row.first, row.truncated)
    for window in after.encode_questions([("red", long)]):
        assert window.ids.tolist()[1 : 1 + TOKENS] == added
        assert not set(added) & set(window.ids[window.content].tolist())


def test_more_tokens_are_added_before_those_of_an_earlier_prompt(base: Path) -> None:
    tokenizer = bert(base)
    for _ in range(2):
        add_virtual_tokens(tokenizer, 2)
    names = tokenizer.convert_ids_to_tokens(tokenizer("red")["input_ids"])
    order = ["[PROMPT_0]", "[PROMPT_1]", "[PROMPT_2]", "[PROMPT_3]"]
    assert names == ["[CLS]", *order, "red", "[SEP]"]


def test_tokens_are_not_lost_where_the_class_of_the_base_is_named(
    base: Path, tmp_path: Path
) -> None:
    tokenizer = bert(base)
    add_virtual_tokens(tokenizer, TOKENS)
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer_class": "BertTokenizer"}))
    config = read_config(base)
    config.vocab_size += TOKENS
    loaded = load_tokenizer(tmp_path, config)
    assert loaded("take one red apple")["input_ids"] == tokenizer("take one red apple")["input_ids"]


def test_no_name_is_saved_that_only_one_version_of_transformers_knows(
    base: Path, tmp_path: Path
) -> None:
    for number, tokens in enumerate((0, TOKENS)):
        tokenizer, folder = bert(base), tmp_path / str(number)
        if tokens:
            add_virtual_tokens(tokenizer, tokens)
        save_tokenizer(tokenizer, folder)
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
        assert isinstance(settings.get("extra_special_tokens", {}), dict)
        assert settings.get("additional_special_tokens", []) == NAMES[:tokens]


def test_a_tokenizer_without_a_template_is_refused(base: Path) -> None:
    odd = bert(base)
    odd.backend_tokenizer.post_processor = processors.ByteLevel()
    with pytest.raises(SettingError, match="has no template in which virtual tokens could stand"):
        add_virtual_tokens(odd, TOKENS)


def test_more_tokens_than_half_of_the_length_are_refused(
    base: Path, texts: dict[str, Path], tmp_path: Path
) -> None:
    config = FinetuneConfig(
        task=Task.TEXT_CLASSIFICATION,
        train=texts["train"],
        output=tmp_path / "run",
        model=str(base),
        peft="prompt",
        num_virtual_tokens=17,
    )
    with pytest.raises(SettingError, match=r"num_virtual_tokens is 17, but .* give 16 at most"):
        open_inputs(config, open_data(config))
