"""The data sets beside the repository are read as their README counts them."""

from collections import Counter
from pathlib import Path

import pytest

from bertedge.data import BadRows, Columns, TextExample, TokenExample, open_examples
from bertedge.errors import DataError
from bertedge.spec import ProblemType, Task

pytestmark = pytest.mark.shared

LABEL_FIRST = Columns(text="1", label="0")
LABEL_LAST = Columns(text="0", label="1")
MULTI, VALUES = ProblemType.MULTI_LABEL, ProblemType.REGRESSION
GOEMOTIONS = (("dev", 5_426), ("test", 5_427))
PAIR = Columns(text="0", pair="1", label="2")
TEXT_FILES = [
    ("sst2/test.tsv", Columns(), 872, 2),
    ("mrpc/dev.txt", Columns(), 400, 2),
    ("banking77/test.csv", Columns(), 3_080, 77),
    ("chnsenticorp/dev.tsv.gz", Columns(header=False), 1_200, 2),
    ("sms_spam/dev.tsv", LABEL_FIRST, 446, 2),
    ("sms_spam/test.tsv", Columns(label="0"), 1_114, 2),
    ("rte/dev.tsv", Columns(), 277, 2),
    ("ag_news/dev.tsv", LABEL_LAST, 1_000, 4),
    ("ag_news/test.csv.gz", Columns(text="1", pair="2", label="0"), 7_600, 4),
    ("online_shopping_10_cats/dev.csv.gz", Columns(), 3_000, 2),
    ("online_shopping_10_cats/test.csv.gz", Columns(label="cat"), 6_000, 10),
    ("imdb_subset/dev.tsv.gz", Columns(), 1_000, 2),
    ("cola/dev.tsv", Columns(text="3", label="1"), 1_301, 2),
    ("lcqmc/dev.txt", PAIR, 800, 2),
    ("afqmc/dev.txt.gz", PAIR, 4_316, 2),
    ("sst5/test.txt", Columns(), 2_210, 5),
    ("thucnews_titles/dev.txt", Columns(), 1_000, 10),
    ("online_shopping_10_cats/train.csv.gz", Columns(bad_rows=BadRows.SKIP), 53_773, 2),
    ("tnews_fewclue/test.json.gz", Columns(), 2_010, 15),
]
WIKI = {"PER", "ORG", "LOC", "MISC"}
TOKEN_FILES = [
    ("conll2003_en/test.txt.gz", 3_453, WIKI),
    ("wikigold/test.txt", 340, WIKI),
    ("btc/a.conll", 1_000, WIKI - {"MISC"}),
    ("btc/g.conll.gz", 2_138, WIKI - {"MISC"}),
    ("mit_movie_trivia/test.bio.gz", 1_953, 12),
    ("msra_ner/test.txt.gz", 3_000, WIKI - {"MISC"}),
    ("weibo_ner/train.conll.gz", 1_350, 8),
    ("crossner/ai/test.txt", 431, 14),
    ("crossner/literature/dev.txt", 400, 12),
    ("crossner/music/test.txt", 465, 13),
    ("crossner/politics/test.txt.gz", 651, 9),
    ("crossner/science/test.txt", 543, 17),
]


@pytest.mark.parametrize(("name", "columns", "count", "labels"), TEXT_FILES)
def test_texts(shared_data: Path, name: str, columns: Columns, count: int, labels: int) -> None:
    file = open_examples(shared_data / name, Task.TEXT_CLASSIFICATION, columns)
    examples = [example for example in file if isinstance(example, TextExample)]
    assert len(examples) == count
    assert len({example.label for example in examples}) == labels
    assert all((example.pair is not None) == file.pair for example in examples)


@pytest.mark.parametrize(("name", "count", "kinds"), TOKEN_FILES)
def test_tokens(shared_data: Path, name: str, count: int, kinds: set[str] | int | None) -> None:
    file = open_examples(shared_data / name, Task.TOKEN_CLASSIFICATION)
    examples = [example for example in file if isinstance(example, TokenExample)]
    assert len(examples) == count
    found = {tag[2:] for example in examples for tag in example.tags or () if tag != "O"}
    assert kinds is None or found == kinds or len(found) == kinds


def test_raw_quotes_and_pairs_of_mrpc(shared_data: Path) -> None:
    first = next(iter(open_examples(shared_data / "mrpc/dev.txt", Task.TEXT_CLASSIFICATION)))
    assert first == TextExample(
        text='Amrozi accused his brother, whom he called "the witness", of deliberately '
        "distorting his evidence.",
        pair='Referring to him as only "the witness", Amrozi accused his brother of deliberately '
        "distorting his evidence.",
        label="1",
        line=2,
    )


def test_rows_of_several_lines_of_banking77(shared_data: Path) -> None:
    path = shared_data / "banking77/test.csv"
    examples = list(open_examples(path, Task.TEXT_CLASSIFICATION))
    several = [e for e in examples if isinstance(e, TextExample) and "\n" in e.text]
    lines = path.read_text(encoding="utf-8").split("\n")
    assert several
    for example in several:
        assert lines[example.line - 1].lstrip('"').startswith(example.text.split("\n")[0][:10])


def test_iob1_of_conll_2003_becomes_iob2(shared_data: Path) -> None:
    tags = Counter(
        tag
        for example in open_examples(
            shared_data / "conll2003_en/train.txt.gz", Task.TOKEN_CLASSIFICATION
        )
        if isinstance(example, TokenExample)
        for tag in example.tags or ()
    )
    # The entities of the training part, as the shared task's page counts them.
    begun = {tag[2:]: count for tag, count in tags.items() if tag.startswith("B-")}
    assert begun == {"LOC": 7140, "MISC": 3438, "ORG": 6321, "PER": 6600}


def test_the_tag_stands_first_in_mit_movie_trivia(shared_data: Path) -> None:
    path = shared_data / "mit_movie_trivia/dev.bio"
    first = next(iter(open_examples(path, Task.TOKEN_CLASSIFICATION)))
    assert isinstance(first, TokenExample)
    assert first.tokens[:3] == ("steve", "mcqueen", "provided")
    assert first.tags is not None
    assert first.tags[:3] == ("B-Actor", "I-Actor", "O")


def test_the_empty_review_is_named(shared_data: Path) -> None:
    path = shared_data / "online_shopping_10_cats/train.csv.gz"
    with pytest.raises(DataError, match=r"train\.csv\.gz:31143: the text is empty"):
        list(open_examples(path, Task.TEXT_CLASSIFICATION))


def test_three_columns_without_a_header_need_a_word(shared_data: Path) -> None:
    with pytest.raises(DataError, match="--text-column N --label-column N"):
        open_examples(shared_data / "ag_news/test.csv.gz", Task.TEXT_CLASSIFICATION)


@pytest.mark.parametrize(
    ("name", "text"), [("chnsenticorp/dev.tsv.gz", 0), ("sms_spam/dev.tsv", 1)]
)
@pytest.mark.parametrize("labelled", [True, False])
def test_of_two_columns_without_a_header_the_text_is_found(
    shared_data: Path, name: str, text: int, labelled: bool
) -> None:
    file = open_examples(shared_data / name, Task.TEXT_CLASSIFICATION, labelled=labelled)
    assert (file.columns.text, file.columns.header) == (str(text), False)
    assert file.columns.label == (str(1 - text) if labelled else None)
    assert f"text from column {text}" in file.description


@pytest.mark.parametrize(
    ("name", "count", "overlaps"),
    [
        ("cluener/train.json.gz", 9_748, True),
        ("cluener/test.json", 1_343, False),
    ],
)
def test_character_spans_of_cluener(
    shared_data: Path, name: str, count: int, overlaps: bool
) -> None:
    path = shared_data / name
    file = open_examples(path, Task.TOKEN_CLASSIFICATION, Columns(bad_rows=BadRows.SKIP))
    examples = [example for example in file if isinstance(example, TokenExample)]
    assert len(examples) == count or (overlaps and count - 20 < len(examples) < count)
    assert ("1353: the spans 15 to 35 ('book') and" in file.findings) == overlaps
    assert len({tag[2:] for e in examples for tag in e.tags or () if tag != "O"}) == 10


@pytest.mark.parametrize(
    ("name", "count", "intents"),
    [
        *(("atis/train", 4_478, 21), ("atis/dev", 500, 16), ("atis/test", 893, None)),
        *(("snips/dev", 700, 7), ("snips/test", 700, 7)),
    ],
)
def test_intents_and_slots(shared_data: Path, name: str, count: int, intents: int | None) -> None:
    file = open_examples(shared_data / name, Task.INTENT_SLOTS)
    found = [example.intent for example in file if isinstance(example, TokenExample)]
    assert len(found) == count and (intents is None or len(set(found)) == intents)


@pytest.mark.parametrize(
    ("name", "problem_type", "columns", "count"),
    [
        *((f"goemotions/{split}.tsv.gz", MULTI, LABEL_LAST, n) for split, n in GOEMOTIONS),
        *((f"stsb_{lang}/dev.csv", VALUES, PAIR, 1_500) for lang in ("en", "zh")),
        *((f"stsb_{lang}/test.csv", VALUES, PAIR, 1_379) for lang in ("en", "zh")),
    ],
)
def test_several_labels_and_values(
    shared_data: Path, name: str, problem_type: ProblemType, columns: Columns, count: int
) -> None:
    path, task = shared_data / name, Task.TEXT_CLASSIFICATION
    examples = list(open_examples(path, task, columns, problem_type=problem_type))
    assert len(examples) == count
    labels = {label for example in examples for label in example.names}
    assert len(labels) == (28 if problem_type is MULTI else 0)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("mlm_en/wikitext2_valid.txt.gz", 2_461),
        ("mlm_zh/tidb_docs_zh.txt.gz", 12_428),
        ("mr_polarity/rt-polarity.pos.gz", 5_331),
        ("subj/objective.txt.gz", 5_000),
    ],
)
def test_plain_text(shared_data: Path, name: str, count: int) -> None:
    assert len(list(open_examples(shared_data / name, Task.FILL_MASK))) == count
