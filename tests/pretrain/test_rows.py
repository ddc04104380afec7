import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from bertedge.errors import DataError, SettingError
from bertedge.pretrain.collator import IGNORED, RowMasker, Run, collate, hold_out, split
from bertedge.pretrain.corpus import Corpus, open_corpus, read_text, tokenize
from bertedge.pretrain.rows import Pairs, Stream, cut
from bertedge.pretrain.vocabulary import train_tokenizer
from bertedge.progress import Silent


def corpus_of(text: str, base: Path, folder: Path) -> Corpus:
    path = folder / "text.txt"
    path.write_text(text, encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenize(read_text([path]), tokenizer.backend_tokenizer, folder / "corpus", Silent())
    return open_corpus(folder / "corpus")


def test_lines_words_and_documents_are_found(base: Path, tmp_path: Path) -> None:
    text = "see the redx\n  \n\nold plum\nnew\n\n\n\x01\n\n"
    corpus = corpus_of(text, base, tmp_path)
    tokens = AutoTokenizer.from_pretrained(base).convert_ids_to_tokens(corpus.tokens.tolist())
    assert tokens == ["see", "the", "red", "##x", "old", "plum", "new"]
    assert corpus.begins.tolist() == [True, True, True, False, True, True, True]
    assert corpus.lines.tolist() == [0, 4, 6, 7]
    assert corpus.documents.tolist() == [0, 1, 3]


def test_each_file_is_a_document_of_its_own_gzipped_or_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"three\n"))
    lines = list(read_text([tmp_path / "a.txt", tmp_path / "b.txt.gz"]))
    assert lines == ["one", "two", "", "three", ""]


def test_a_text_without_words_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no words"):
        corpus_of(" \n\x01\n", base, tmp_path)


def test_a_stream_holds_every_token_once_in_full_rows(base: Path, tmp_path: Path) -> None:
    corpus = corpus_of("see the old red plum\n" * 30, base, tmp_path)
    rows = cut(corpus, max_length=18, next_sentence=False, specials=2, seed=0)
    assert isinstance(rows, Stream) and len(rows) == 10
    rng = np.random.default_rng(0)
    parts = [rows.row(i, rng).parts for i in range(len(rows))]
    assert [len(part.ids) for (part,) in parts] == [16] * 9 + [6]
    assert np.concatenate([part.ids for (part,) in parts]).tolist() == corpus.tokens.tolist()


def documents(count: int) -> str:
    """Write documents that differ in their fruit, of lines that differ in their number."""
    fruits = ["apple", "pear", "plum", "grape"]
    lines = [[f"{fruits[d % 4]} {'see ' * (i % 5)}" for i in range(9)] for d in range(count)]
    return "\n\n".join("\n".join(each) for each in lines)


def test_half_of_the_second_texts_are_of_another_document(base: Path, tmp_path: Path) -> None:
    corpus = corpus_of(documents(4), base, tmp_path)
    rows = cut(corpus, max_length=24, next_sentence=True, specials=3, seed=0)
    assert isinstance(rows, Pairs)
    assert rows.chunks[0, 0] == 0 and rows.chunks[-1, 1] == len(corpus.lines) - 1
    fruits = {
        AutoTokenizer.from_pretrained(base).convert_tokens_to_ids(f)
        for f in ("apple", "pear", "plum", "grape")
    }
    random = of = 0
    for seed in range(60):
        for number in range(len(rows)):
            row = rows.row(number, np.random.default_rng(seed))
            one, two = (set(part.ids.tolist()) & fruits for part in row.parts)
            sizes = [len(part.ids) for part in row.parts]
            assert min(sizes) > 0 and sum(sizes) <= 21
            if rows.chunks[number, 1] - rows.chunks[number, 0] > 1:
                random, of = random + bool(row.random), of + 1
            if row.random:
                assert not one & two
            else:
                assert len(one | two) <= 1
    assert random / of == pytest.approx(0.5, abs=0.06)


def test_lines_longer_than_the_model_still_make_pairs(base: Path, tmp_path: Path) -> None:
    text = "\n\n".join(["see the old plum " * 40] * 3)
    rows = cut(
        corpus_of(text, base, tmp_path), max_length=16, next_sentence=True, specials=3, seed=0
    )
    for seed in range(20):
        row = rows.row(1, np.random.default_rng(seed))
        assert row.random and [len(part.ids) for part in row.parts] in ([7, 6], [6, 7])


def test_pairs_of_one_document_are_refused(base: Path, tmp_path: Path) -> None:
    corpus = corpus_of("see the plum\nold\n" * 20, base, tmp_path)
    with pytest.raises(SettingError, match="there is only one"):
        cut(corpus, max_length=16, next_sentence=True, specials=3, seed=0)


def test_a_text_of_one_row_is_refused(base: Path, tmp_path: Path) -> None:
    corpus = corpus_of("see the\n", base, tmp_path)
    with pytest.raises(DataError, match="has 2 tokens"):
        cut(corpus, max_length=16, next_sentence=False, specials=2, seed=0)


def run_of(base: Path, folder: Path, *, next_sentence: bool = False) -> tuple[Run, RowMasker]:
    corpus = corpus_of(documents(6), base, folder)
    specials = 3 if next_sentence else 2
    rows = cut(corpus, max_length=16, next_sentence=next_sentence, specials=specials, seed=3)
    masker = RowMasker.from_tokenizer(AutoTokenizer.from_pretrained(base), 0.15)
    return Run(rows, np.arange(len(rows)), masker, seed=3), masker


def test_an_entry_depends_on_its_place_alone_and_masks_change_by_epoch(
    base: Path, tmp_path: Path
) -> None:
    run, _ = run_of(base, tmp_path)
    length = run.length
    forward = [run[i].input_ids.tolist() for i in range(2 * length)]
    backward = [run[i].input_ids.tolist() for i in reversed(range(2 * length))]
    assert forward == backward[::-1]
    unmasked = [
        np.where(e.labels == IGNORED, e.input_ids, e.labels)
        for e in map(run.__getitem__, range(2 * length))
    ]
    epochs = [sorted(row.tolist() for row in unmasked[i : i + length]) for i in (0, length)]
    assert epochs[0] == epochs[1]
    assert sorted(forward[:length]) != sorted(forward[length:])


def test_pairs_have_token_types_and_special_tokens(base: Path, tmp_path: Path) -> None:
    run, masker = run_of(base, tmp_path, next_sentence=True)
    item = run[0]
    assert item.input_ids[0] == masker.cls and item.input_ids[-1] == masker.sep
    (middle,) = np.flatnonzero(item.input_ids[:-1] == masker.sep)
    assert item.token_type_ids.tolist() == [0] * (middle + 1) + [1] * (
        len(item.input_ids) - middle - 1
    )
    assert (item.labels[[0, middle, -1]] == IGNORED).all()
    batch = collate([run[i] for i in range(5)], masker.pad)
    assert batch["next_sentence_label"].shape == (5,)
    assert (batch["input_ids"][batch["attention_mask"] == 0] == masker.pad).all()
    assert (batch["labels"][batch["attention_mask"] == 0] == IGNORED).all()


def test_held_out_rows_are_fixed_by_the_seed_and_not_trained_on(base: Path, tmp_path: Path) -> None:
    parts = split(100, 0.1, most=500, seed=1)
    assert len(parts.held_out) == 10
    assert sorted([*parts.train, *parts.held_out]) == list(range(100))
    assert len(split(100, 0.1, most=4, seed=1).held_out) == 4
    assert len(split(2, 0.5, most=500, seed=1).train) == 1
    run, masker = run_of(base, tmp_path)
    rows = run._rows
    one, two = (hold_out(rows, np.array([0, 2]), masker, seed=s)[1].input_ids for s in (1, 1))
    assert one.tolist() == two.tolist()


def test_a_vocabulary_takes_chinese_character_by_character(tmp_path: Path) -> None:
    lines = ["我们今天去看电影 Running runners RUN", "电影很好看 run runner"] * 20
    tokenizer = train_tokenizer(lambda: lines, tmp_path, size=120, cased=False, max_length=32)
    assert tokenizer.tokenize("看电影") == ["看", "电", "影"]
    assert tokenizer.tokenize("Runner")[0].startswith("run")
    assert tokenizer("电", "影").token_type_ids == [0, 0, 0, 1, 1]
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.is_fast and again.model_max_length == 32 and again.mask_token == "[MASK]"
    cased = train_tokenizer(lambda: lines, tmp_path / "cased", size=120, cased=True, max_length=32)
    assert cased.tokenize("R") == ["R"] and "r" not in cased.tokenize("R")


def test_the_same_text_gives_the_same_vocabulary(tmp_path: Path) -> None:
    """In processes of their own: the trainer's hash tables are seeded once a process."""
    program = (
        "import sys, pathlib\n"
        "from bertedge.pretrain.vocabulary import train_tokenizer\n"
        "lines = lambda: ['abc abd cab bca dab abc'] * 9\n"
        "train_tokenizer(lines, pathlib.Path(sys.argv[1]), size=14, cased=False, max_length=8)"
    )
    vocabularies = set()
    for name in ("a", "b"):
        subprocess.run([sys.executable, "-c", program, tmp_path / name], check=True)
        vocabularies.add((tmp_path / name / "vocab.txt").read_text())
    assert len(vocabularies) == 1
