import json
from pathlib import Path

import pytest

from bertedge.data.task import guess_task
from bertedge.errors import DataError, SettingError
from bertedge.spec import Task

SQUAD = {
    "data": [
        {
            "paragraphs": [
                {
                    "context": "a b",
                    "qas": [
                        {
                            "id": "1",
                            "question": "q",
                            "answers": [{"text": "a", "answer_start": 0}],
                        }
                    ],
                }
            ]
        }
    ]
}
CLEAR = [
    ("a.csv", "text,label\na,x\n", Task.TEXT_CLASSIFICATION),
    ("a.csv.gz", "text;label\na;x\n", Task.TEXT_CLASSIFICATION),
    ("a.tsv", "a\tx\nb\ty\n", Task.TEXT_CLASSIFICATION),
    ("a.txt", "x\ta text\ny\tanother\n", Task.TEXT_CLASSIFICATION),
    ("a.txt", "__label__x a text\n__label__y another\n", Task.TEXT_CLASSIFICATION),
    ("a.txt", "1 a good text\n0 a bad one\n" * 9, Task.TEXT_CLASSIFICATION),
    ("a.xlsx", "anything", Task.TEXT_CLASSIFICATION),
    ("a.conll", "a O\n", Task.TOKEN_CLASSIFICATION),
    ("a.bio", "O\ta\n", Task.TOKEN_CLASSIFICATION),
    (
        "a.txt",
        "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\n. . O\n",
        Task.TOKEN_CLASSIFICATION,
    ),
    ("a.tsv", "EU\tB-ORG\nrejects\tO\n", Task.TOKEN_CLASSIFICATION),
    ("a.jsonl", {"text": "a", "label": "x"}, Task.TEXT_CLASSIFICATION),
    ("a.json", {"sentence": "a", "labels": ["x"]}, Task.TEXT_CLASSIFICATION),
    ("a.jsonl", {"sentence1": "a", "sentence2": "b", "score": 1.5}, Task.TEXT_CLASSIFICATION),
    ("a.jsonl", {"tokens": ["a"], "tags": ["O"]}, Task.TOKEN_CLASSIFICATION),
    ("a.jsonl", {"words": ["a"], "ner": ["O"], "label": "x"}, Task.TOKEN_CLASSIFICATION),
    ("a.jsonl", {"text": "a", "label": [[0, 1, "X"]]}, Task.TOKEN_CLASSIFICATION),
    ("a.jsonl", {"text": "a", "label": {"X": {"a": [[0, 0]]}}}, Task.TOKEN_CLASSIFICATION),
    ("a.jsonl", {"text": "a", "spans": [{"start": 0, "end": 1}]}, Task.TOKEN_CLASSIFICATION),
    ("a.jsonl", {"tokens": ["a"], "tags": ["O"], "intent": "x"}, Task.INTENT_SLOTS),
    ("a.jsonl", {"text": "a", "slots": ["O"], "intent": "x"}, Task.INTENT_SLOTS),
    ("a.jsonl", {"question": "q", "context": "c", "answers": []}, Task.QUESTION_ANSWERING),
    ("a.json", SQUAD, Task.QUESTION_ANSWERING),
]


@pytest.mark.parametrize(("name", "content", "task"), CLEAR)
def test_a_clear_file_shows_its_task(write, name: str, content: object, task: Task) -> None:
    values = (content, [content])
    texts = [json.dumps(value, indent=indent) for value in values for indent in (None, 2)]
    for text in [content] if isinstance(content, str) else texts:
        assert guess_task(write(name, text)) is task


def test_a_folder_is_for_intents_and_a_format_can_be_told(write, tmp_path: Path) -> None:
    assert guess_task(tmp_path) is Task.INTENT_SLOTS
    path = write("a.dat", "a O\n")
    assert guess_task(path, "conll") is Task.TOKEN_CLASSIFICATION
    assert guess_task(path, "label-text") is Task.TEXT_CLASSIFICATION
    path = write("a.txt", "größe\tx\n".encode("cp1252"))
    assert guess_task(path, encoding="cp1252") is Task.TEXT_CLASSIFICATION


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "a text without a label\nanother\n"),
        ("a.dat", "a\tx\n"),
        ("a.jsonl", '{"a": 1}\n'),
        ("a.jsonl", "[1]\n"),
        ("a.json", "no json"),
        ("a.jsonl", "{" * 5000),
        ("a.txt", "O O\n"),
    ],
)
def test_what_is_not_clear_is_left_to_the_user(write, name: str, content: str) -> None:
    with pytest.raises(SettingError, match=r"--task is missing, and .* does not show it") as caught:
        guess_task(write(name, content))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_said_first(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        guess_task(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("banking77/test.csv", Task.TEXT_CLASSIFICATION),
        ("sms_spam/dev.tsv", Task.TEXT_CLASSIFICATION),
        ("mrpc/dev.txt", Task.TEXT_CLASSIFICATION),
        ("wikigold/dev.txt", Task.TOKEN_CLASSIFICATION),
        ("btc/a.conll", Task.TOKEN_CLASSIFICATION),
        ("conll2003_en/dev.txt.gz", Task.TOKEN_CLASSIFICATION),
        ("mit_movie_trivia/dev.bio", Task.TOKEN_CLASSIFICATION),
        ("tnews_fewclue/dev.json", Task.TEXT_CLASSIFICATION),
    ],
)
def test_real_files_show_their_task(shared_data: Path, name: str, task: Task) -> None:
    assert guess_task(shared_data / name) is task
