"""The programs of models/summary: sentences, labels, and what is chosen."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from bertedge.data import Columns, TextExample, open_examples
from bertedge.spec import Task

SUMMARY = Path(__file__).resolve().parents[2] / "models" / "summary"
PARAGRAPH = (
    "The tower was built in 1889. It is 330 m tall, says Dr. Eiffel. Nobody liked it! "
    "Today it is loved."
)
ASKED = ("1889", "330 m", "Dr. Eiffel", "tower")


@pytest.fixture(scope="module")
def programs() -> Iterator[tuple[ModuleType, ModuleType]]:
    """`sentences` and `summarize`, imported as they import each other."""
    sys.path.insert(0, str(SUMMARY))
    try:
        import sentences
        import summarize

        yield sentences, summarize
    finally:
        sys.path.remove(str(SUMMARY))
        for name in ("sentences", "summarize"):
            sys.modules.pop(name, None)


def squad(path: Path, articles: int) -> Path:
    asked = [
        {
            "id": str(i),
            "question": "?",
            "answers": [{"text": a, "answer_start": PARAGRAPH.index(a)}],
        }
        for i, a in enumerate(ASKED)
    ]
    paragraphs = [
        {"context": PARAGRAPH, "qas": asked},
        {"context": "One sentence.", "qas": asked[:1]},
        {"context": PARAGRAPH, "qas": []},
    ]
    data = [{"title": str(i), "paragraphs": paragraphs} for i in range(articles)]
    path.write_text(json.dumps({"data": data}))
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            PARAGRAPH,
            [
                "The tower was built in 1889.",
                "It is 330 m tall, says Dr. Eiffel.",
                "Nobody liked it!",
                "Today it is loved.",
            ],
        ),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("The U.S. Army came. J. R. Smith left, i.e. went.", 2),
        ("It was built c. 1066 at 3.5 m (approx. 12 ft). 40 men died.", 2),
        ("他来了。他走了！好吗？", ["他来了。", "他走了！", "好吗？"]),
        ("no end", ["no end"]),
        ("  \n ", []),
        ("", []),
    ],
)
def test_sentences_end_where_they_should(
    programs: tuple[ModuleType, ModuleType], text: str, expected: list[str] | int
):
    found = programs[1].split_sentences(text)
    if isinstance(expected, int):
        assert len(found) == expected, found
    else:
        assert found == expected
    assert "".join("".join(found).split()) == "".join(text.split())


def test_a_sentence_is_kept_for_more_than_its_share_of_the_questions(
    programs: tuple[ModuleType, ModuleType], tmp_path: Path
):
    ((document,),) = programs[0].read_articles(squad(tmp_path / "squad.json", 1))
    assert document.answered == (2, 2, 0, 0)
    assert document.labels == ("keep", "keep", "leave", "leave")
    twice = programs[0].count_answers("Yes. No. Yes.", ["Yes.", "No.", "Yes."], [0, 9, 10])
    assert twice == (1, 0, 2)


def test_the_files_are_pairs_and_no_article_is_in_two(
    programs: tuple[ModuleType, ModuleType], tmp_path: Path
):
    train, test = squad(tmp_path / "train.json", 9), squad(tmp_path / "test.json", 1)
    programs[0].main(str(train), str(test), str(tmp_path / "data"))
    columns = Columns(text="sentence", pair="document", label="label")
    rows = {}
    for name in ("train", "dev", "test"):
        path = tmp_path / "data" / f"{name}.tsv"
        examples = open_examples(path, Task.TEXT_CLASSIFICATION, columns)
        rows[name] = [each for each in examples if isinstance(each, TextExample)]
        assert {each.pair for each in rows[name]} == {PARAGRAPH}
        assert [each.label for each in rows[name][:4]] == ["keep", "keep", "leave", "leave"]
    assert [len(part) for part in rows.values()] == [7 * 4, 2 * 4, 4]


def test_the_best_are_chosen_in_the_order_of_the_text(programs: tuple[ModuleType, ModuleType]):
    choose = programs[1].choose
    assert choose([0.1, 0.9, 0.2, 0.8], 2) == [1, 3]
    assert choose([0.5, 0.5, 0.5], 2) == [0, 1]
    assert choose([0.5], 3) == [0] and choose([], 3) == []


@pytest.fixture(scope="module")
def bundle(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of pairs with random weights."""
    pytest.importorskip("optimum", reason="needs the export extra")
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    from bertedge.export import ExportConfig, export

    folder = tmp_path_factory.mktemp("summary")
    config = BertConfig.from_pretrained(base, id2label={0: "keep", 1: "leave"})
    BertForSequenceClassification(config).save_pretrained(folder / "checkpoint")
    AutoTokenizer.from_pretrained(base).save_pretrained(folder / "checkpoint")
    checkpoint = str(folder / "checkpoint")
    export(ExportConfig(checkpoint=checkpoint, output=folder / "bundle", pair=True))
    return folder / "bundle"


def test_the_program_prints_sentences_of_the_text_without_torch(bundle: Path):
    program = (
        "import sys, runpy\n"
        f"sys.argv = ['summarize.py', {str(bundle)!r}, '2']\n"
        f"runpy.run_path({str(SUMMARY / 'summarize.py')!r}, run_name='__main__')\n"
        "assert 'torch' not in sys.modules\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], input=PARAGRAPH, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(said) == 2
    first, second = (PARAGRAPH.index(line) for line in said)
    assert first < second
