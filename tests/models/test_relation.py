"""The program that makes the files of models/relation, and the markers that it writes."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from bertedge.data import Columns, TextExample, open_examples
from bertedge.spec import Task

RELATION = Path(__file__).resolve().parents[2] / "models" / "relation"
WORDS = ["fly", "from", "san", "jose", "to", "boston", "with", "a", "stop", "in", "denver"]
TAGS = "O O B-fromloc.city_name I-fromloc.city_name O B-toloc.city_name O O O O B-stoploc.city_name"


@pytest.fixture(scope="module")
def relations() -> ModuleType:
    spec = importlib.util.spec_from_file_location("relations", RELATION / "relations.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_ordered_pair_is_marked_and_named_by_its_roles(relations: ModuleType):
    made = {each["text"]: each["label"] for each in relations.make_examples(WORDS, TAGS.split())}
    assert made == {
        "fly from @ san jose @ to # boston # with a stop in denver": "departure_of",
        "fly from # san jose # to @ boston @ with a stop in denver": "destination_of",
        "fly from @ san jose @ to boston with a stop in # denver #": "departure_before",
        "fly from # san jose # to boston with a stop in @ denver @": "stop_from",
        "fly from san jose to @ boston @ with a stop in # denver #": "destination_after",
        "fly from san jose to # boston # with a stop in @ denver @": "stop_to",
    }
    for text in made:
        assert [word for word in text.split() if word not in "@#"] == WORDS


def test_cities_of_one_role_or_without_one_have_no_relation(relations: ModuleType):
    tags = ["B-toloc.city_name", "O", "B-toloc.city_name", "B-city_name", "B-toloc.state_name"]
    made = list(relations.make_examples(["boston", "or", "denver", "dallas", "texas"], tags))
    assert len(made) == 6 and {each["label"] for each in made} == {"none"}
    assert made[0]["text"] == "@ boston @ or # denver # dallas texas"


def test_two_departures_with_two_destinations_are_left_out(relations: ModuleType):
    tags = ["B-fromloc.city_name", "B-toloc.city_name"] * 2
    assert list(relations.make_examples(["a", "b", "c", "d"], tags)) == []
    assert len(list(relations.make_examples(["a", "b", "d"], [*tags[:2], tags[3]]))) == 6


def test_a_sentence_with_a_marker_of_its_own_is_refused(relations: ModuleType):
    with pytest.raises(ValueError, match="holds a marker"):
        list(relations.make_examples(["gate", "#", "boston"], ["O", "O", "B-city_name"]))


def test_a_marker_is_one_token_apart_from_its_neighbours(relations: ModuleType, tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "@", "#", "boston", "##s", "fly", "to"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n")
    tokenizer = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"))
    text = relations.mark(
        ["fly", "bostons", "to"],
        relations.City(start=1, end=2, role=""),
        relations.City(start=2, end=3, role=""),
    )
    assert tokenizer.tokenize(text) == ["fly", "@", "boston", "##s", "@", "#", "to", "#"]


@pytest.mark.shared
@pytest.mark.parametrize("name", ["uncased", "cased", "chinese"])
def test_markers_are_in_the_vocabularies(relations: ModuleType, shared_data: Path, name: str):
    vocabulary = (shared_data / "vocab" / f"bert-base-{name}" / "vocab.txt").read_text().split("\n")
    assert {relations.FIRST, relations.SECOND} <= set(vocabulary)


def test_the_files_are_read_as_labelled_texts(relations: ModuleType, tmp_path: Path):
    for split in relations.SPLITS:
        folder = tmp_path / "atis" / split
        folder.mkdir(parents=True)
        line = " ".join(WORDS)
        (folder / "seq.in").write_text(f"{line}\n{line}\nhello\n")
        (folder / "seq.out").write_text(f"{TAGS}\n{TAGS}\nO\n")
    relations.main(str(tmp_path / "atis"), str(tmp_path / "out"))
    path = tmp_path / "out" / "train.jsonl"
    assert len(path.read_text().splitlines()) == 6  # each text once
    assert json.loads(path.read_text().splitlines()[0])["label"] == "departure_of"
    examples = open_examples(path, Task.TEXT_CLASSIFICATION, Columns(text="text", label="label"))
    assert {each.label for each in examples if isinstance(each, TextExample)} == {
        "departure_of",
        "destination_of",
        "departure_before",
        "stop_from",
        "destination_after",
        "stop_to",
    }


def test_words_and_tags_that_do_not_match_are_refused(relations: ModuleType, tmp_path: Path):
    (tmp_path / "seq.in").write_text("fly to boston\n")
    (tmp_path / "seq.out").write_text("O O\n")
    with pytest.raises(ValueError, match=":1: 3 words have 2 tags"):
        list(relations.read_split(tmp_path))
