"""Questions from SQuAD's JSON and from JSON lines, with exact places in every error."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from bertedge.data import (
    BadRows,
    Columns,
    ExampleFile,
    GoldAnswer,
    QuestionExample,
    open_examples,
)
from bertedge.errors import DataError, FaultsError, SettingError
from bertedge.spec import Task

CONTEXT = "Anna 🙂 lives in Berlin. 安娜住在柏林。"


def qa(question: str = "Where?", answer: str = "Berlin", **changes: Any) -> dict[str, Any]:
    answers = [{"text": answer, "answer_start": CONTEXT.index(answer)}]
    return {"id": "q1", "question": question, "answers": answers} | changes


def save(path: Path, *qas: Any, context: Any = CONTEXT) -> Path:
    document = {"version": "1.1", "data": [{"paragraphs": [{"context": context, "qas": qas}]}]}
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return path


def ask(path: Path, **settings: Any) -> ExampleFile:
    return open_examples(path, Task.QUESTION_ANSWERING, **settings)


def test_squad_files_give_questions_with_all_their_answers(tmp_path: Path) -> None:
    several = [{"text": "柏林", "answer_start": 28}, {"text": "Anna", "answer_start": 0}]
    several[0]["answer_start"] = CONTEXT.index("柏林")
    path = save(tmp_path / "a.json", qa(), qa("Who?", id="q2", answers=several))
    file = ask(path)
    one, two = file
    assert isinstance(one, QuestionExample) and isinstance(two, QuestionExample)
    assert one.input == ("Where?", CONTEXT)
    assert one.answers == (GoldAnswer(text="Berlin", start=CONTEXT.index("Berlin")),)
    assert two.answers is not None and [each.text for each in two.answers] == ["柏林", "Anna"]
    assert file.pair and file.description == "SQuAD JSON, questions with answers"
    again = ask(path, columns=file.columns)
    assert again.columns == file.columns == Columns(format="squad", label="answers")


def test_impossible_questions_have_no_answers_and_plausible_ones_do_not_count(
    tmp_path: Path,
) -> None:
    plausible = {"is_impossible": True, "plausible_answers": qa()["answers"]}
    first, second, third = ask(
        save(
            tmp_path / "a.json",
            qa(answers=[], **plausible),
            qa(is_impossible=False),
            qa(is_impossible=True),
        )
    )
    assert isinstance(first, QuestionExample) and first.answers == ()
    assert isinstance(second, QuestionExample) and second.answers
    assert isinstance(third, QuestionExample) and third.answers == ()


def test_indented_and_gzipped_documents_are_read_too(tmp_path: Path) -> None:
    plain = json.loads(save(tmp_path / "a.json", qa()).read_text())
    indented = tmp_path / "b.json"
    indented.write_text(json.dumps(plain, indent=2))
    packed = tmp_path / "c.json.gz"
    packed.write_bytes(gzip.compress(indented.read_bytes()))
    for path in (indented, packed):
        assert [each.input for each in ask(path) if isinstance(each, QuestionExample)] == [
            ("Where?", CONTEXT)
        ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_json_lines_have_the_keys_of_the_hubs_squad(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    start = CONTEXT.index("Berlin")
    rows = [
        {"text": ["Berlin"], "answer_start": [start]},
        {"text": [], "answer_start": []},
        [{"text": "Berlin", "answer_start": start}],
    ]
    lines = [
        {"id": "1", "title": "t", "context": CONTEXT, "question": "Where?", "answers": row}
        for row in rows
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    file = ask(path)
    assert "question from key 'question', context from key 'context'" in file.description
    answers = [e.answers for e in file if isinstance(e, QuestionExample)]
    assert answers == [(GoldAnswer(text="Berlin", start=start),), (), answers[0]]


def test_unlabelled_questions_need_no_answers(tmp_path: Path) -> None:
    path = save(tmp_path / "a.json", {"question": "Where?"})
    (one,) = ask(path, labelled=False)
    assert isinstance(one, QuestionExample) and one.answers is None
    with pytest.raises(DataError, match="question 1: the answers are missing"):
        ask(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"answers": [{"text": " ", "answer_start": 0}]}, "the answer at 0 is empty"),
        ({"answers": [{"text": 5, "answer_start": 0}]}, "'text' must be a string, found 5"),
        ({"answers": [{"text": "Anna", "answer_start": "0"}]}, "must be a whole number, found"),
        ({"answers": [{"text": "Anna", "answer_start": True}]}, "must be a whole number, found t"),
        ({"answers": [{"text": "Anna", "answer_start": 1.0}]}, "must be a whole number, found 1"),
        ({"answers": {"text": ["Anna"], "answer_start": 3}}, "1 answers, but 3 of answer_start"),
        ({"answers": [["Anna"]]}, "'text' must be a string, found a list"),
        ({"answers": 7}, "the answers are 7; give a list"),
        ({"answers": {"text": ["Anna"], "answer_start": []}}, "1 answers, but 0 of answer_start"),
        ({"question": None}, "'question' must be a string, found missing"),
    ],
)
def test_what_is_wrong_with_a_question_is_one_line_with_its_place(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    path = save(tmp_path / "a.json", qa(), qa(**{"id": "q7"} | changed))
    with pytest.raises(DataError, match=message) as caught:
        list(ask(path))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: article 1, paragraph 1, question q7: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"data": [}', ":1: this is not JSON"),
        ('{"version": 2}\n', "there is no key 'question'|no key has a known name"),
        ("[]", "has no rows"),
        ("[3]", "article 1: 3 is no JSON object"),
        ('{"data": [{"paragraphs": 3}]}', "article 1: 'paragraphs' must be a list"),
        (
            '{"data": [{"paragraphs": [{"qas": [{"question": "Who?"}]}]}]}',
            "paragraph 1, question 1: 'context' must be a string",
        ),
        ('{"data": [{"paragraphs": [{"context": "a"}]}]}', "1: 'question' must be a string"),
        ('{"data": []}', "has no rows"),
        ('{"data": [' + "[" * 100_000, "cannot be read as JSON|not JSON"),
    ],
)
def test_documents_of_another_shape_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        ask(path)


def test_blank_contexts_and_half_characters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="question q1: the context is empty"):
        ask(save(tmp_path / "a.json", qa(answers=[]), context=" \n"))
    document = save(tmp_path / "b.json", qa()).read_text().replace("Where", "Wh\\ud800ere")
    (tmp_path / "b.json").write_text(document)
    with pytest.raises(DataError, match="half of a surrogate pair"):
        ask(tmp_path / "b.json")


def test_columns_and_other_formats_contradict_questions(tmp_path: Path) -> None:
    path = save(tmp_path / "a.json", qa())
    with pytest.raises(SettingError, match="names its own fields"):
        ask(path, columns=Columns(text="question"))
    with pytest.raises(SettingError, match="questions with answers are read from"):
        ask(path, columns=Columns(format="csv"))
    with pytest.raises(SettingError, match="questions with answers are read from"):
        open_examples(path, Task.TEXT_CLASSIFICATION, Columns(format="squad"))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("squad_v1_subset/train.json.gz", 6545),
        ("squad_v1_subset/dev.json.gz", 1481),
        ("drcd_zh_hant/train.json.gz", 3524),
        ("xquad_zh/dev.json", 889),
    ],
)
def test_every_answer_of_the_shared_files_stands_where_it_says(
    shared_data: Path, name: str, rows: int
) -> None:
    examples = list(ask(shared_data / name))
    assert len(examples) == rows
    for example in examples:
        assert isinstance(example, QuestionExample) and example.answers
        for answer in example.answers:
            assert example.context[answer.start :].startswith(answer.text)


def answers_of(file: ExampleFile) -> list[list[tuple[str, int | None]]]:
    return [
        [(answer.text, answer.start) for answer in example.answers or ()]
        for example in file
        if isinstance(example, QuestionExample)
    ]


@pytest.mark.parametrize(
    ("told", "found"),
    [(0, 0), (1, 0), (5, 6), (3, 0), (4, 6), (6, 6), (7, 6), (99, 12), (-5, 0), (None, 0)],
)
def test_an_answer_is_moved_to_the_nearest_place_where_it_stands(
    tmp_path: Path, told: int | None, found: int
) -> None:
    answer = {"text": "Bonn", "answer_start": told}
    path = save(tmp_path / "a.json", qa(answers=[answer]), context="Bonn, Bonn, Bonn")
    file = ask(path)
    assert answers_of(file) == [[("Bonn", found)]]
    moved = "1 answers moved to the nearest place" in file.description
    assert moved == (told is not None and told != found)
    assert ("1 answers without answer_start" in file.description) == (told is None)


def test_an_answer_that_is_nowhere_in_its_context_is_kept_for_scoring_and_counted(
    tmp_path: Path,
) -> None:
    two = [{"text": "Rome", "answer_start": 3}, {"text": "Anna", "answer_start": 0}]
    file = ask(save(tmp_path / "a.json", qa(answers=two[:1]), qa(answers=two)))
    assert answers_of(file) == [[("Rome", None)], [("Rome", None), ("Anna", 0)]]
    assert "2 answers that do not stand in their context" in file.description
    first, second = file
    assert isinstance(first, QuestionExample) and isinstance(second, QuestionExample)
    assert first.placed is None and first.gold == ["Rome"]
    assert second.placed == GoldAnswer(text="Anna", start=0)


def test_empty_questions_are_counted_and_left_out_but_kept_for_prediction(tmp_path: Path) -> None:
    path = save(tmp_path / "a.json", qa(" \n"), qa(), qa(""))
    file = ask(path)
    assert len(list(file)) == 1 and "2 empty questions left out" in file.description
    assert len(list(ask(path, labelled=False))) == 3


@pytest.mark.parametrize(
    "answers",
    [
        [],
        {"text": [], "answer_start": []},
        [{"text": "", "answer_start": -1}],
        {"text": [""], "answer_start": [-1]},
        [{"text": ""}],
    ],
)
def test_all_ways_to_write_no_answer_are_read(tmp_path: Path, answers: object) -> None:
    assert answers_of(ask(save(tmp_path / "a.json", qa(answers=answers)))) == [[]]


BERLIN = {"text": "Berlin", "answer_start": CONTEXT.index("Berlin")}
QUESTION = {"question": "Where?", "answers": [BERLIN]}
TEXTS_ALONE = {"query_text": "Where?", "query_id": 3, "answers": ["Berlin"]}


@pytest.mark.parametrize(
    "document",
    [
        # DRCD, KorQuAD: numeric ids, more keys; no title and no id at all.
        {"data": [{"paragraphs": [{"context": CONTEXT, "qas": [QUESTION | {"id": 7, "x": {}}]}]}]},
        {"data": [{"paragraphs": [{"context": CONTEXT, "qas": [QUESTION]}]}]},
        # CMRC 2018 as it was first published.
        [{"context_id": "T0", "context_text": CONTEXT, "title": "t", "qas": [TEXTS_ALONE]}],
        # A list of articles, of paragraphs (as simpletransformers takes them), of questions.
        [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": [QUESTION]}]}],
        [{"context": CONTEXT, "qas": [QUESTION]}],
        [QUESTION | {"context": CONTEXT}],
        {"data": [QUESTION | {"context": CONTEXT}]},
        {"context": CONTEXT, "qas": [QUESTION]},
        # The hub's columns, and one answer alone.
        [{"context": CONTEXT, "question": "Where?", "answers": {"text": ["Berlin"]}}],
        [{"context": CONTEXT, "question": "Where?", "answer": "Berlin"}],
        [{"context": CONTEXT, "question": "Where?", "answer": BERLIN}],
    ],
)
def test_the_files_of_other_publishers_are_read(tmp_path: Path, document: object) -> None:
    path = tmp_path / "a.json"
    for indent in (None, 1):
        path.write_text(json.dumps(document, ensure_ascii=False, indent=indent), encoding="utf-8")
        (example,) = ask(path)
        assert isinstance(example, QuestionExample)
        assert example.input == ("Where?", CONTEXT)
        assert example.answers == (GoldAnswer(text="Berlin", start=CONTEXT.index("Berlin")),)


def test_bad_questions_are_left_out_where_that_is_wanted(tmp_path: Path) -> None:
    bad = [qa(question=3), qa(answers=[5]), "no question"]
    path = save(tmp_path / "a.json", qa(), *bad, qa())
    with pytest.raises(FaultsError, match="has 3 bad rows") as caught:
        ask(path)
    assert "question q1: 'question' must be a string" in caught.value.details[0]
    file = ask(path, columns=Columns(bad_rows=BadRows.SKIP))
    assert len(list(file)) == 2
    assert "; 3 bad rows left out, the first: " in file.description
