import numpy as np
import pytest
from seqeval.metrics.sequence_labeling import get_entities

from bertedge.data.tags import split_tag, to_iob2
from bertedge.errors import DataError

WANTED = ("B-A", "I-A", "I-A", "B-A", "O", "B-B", "B-A", "I-A")


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("IOB1", "I-A I-A I-A B-A O I-B I-A I-A"),
        ("IOB2", "B-A I-A I-A B-A O B-B B-A I-A"),
        ("BIOES", "B-A I-A E-A S-A O S-B B-A E-A"),
        ("BMES", "B-A M-A E-A S-A O S-B B-A E-A"),
        ("BMEWO", "B-A M-A E-A W-A O W-B B-A E-A"),
        ("BILOU", "B-A I-A L-A U-A O U-B B-A L-A"),
        ("IOE2", "I-A I-A E-A E-A O E-B I-A E-A"),
    ],
)
def test_every_scheme_becomes_iob2(scheme: str, tags: str) -> None:
    assert to_iob2(tags.split()) == WANTED


def test_tags_with_i_only_join_neighbours_of_one_type() -> None:
    assert to_iob2(["I-A", "I-A", "O", "I-A", "I-B"]) == ("B-A", "I-A", "O", "B-A", "B-B")


@pytest.mark.parametrize("tags", [["O", "E-A", "I-A"], ["S-A", "E-A"], ["I-B", "E-A", "B-A"]])
def test_ill_formed_tags_are_read_as_seqeval_reads_them(tags: list[str]) -> None:
    assert get_entities(list(to_iob2(tags))) == get_entities(tags)


def test_random_tags_keep_the_entities_that_seqeval_sees() -> None:
    random = np.random.default_rng(0)
    choices = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("A", "B-C"))]
    for _ in range(300):
        tags = random.choice(choices, 12).tolist()
        result = to_iob2(tags)
        assert get_entities(list(result)) == get_entities(tags)
        assert to_iob2(result) == result


def test_a_type_may_hold_hyphens_and_dots() -> None:
    assert split_tag("B-PER.NAM") == ("B", "PER.NAM")
    assert split_tag("I-a-b") == ("I", "a-b")


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("", "the tag is empty"),
        ("0", "'0' must be the capital letter O"),
        ("o", "'o' must be the capital letter O"),
        ("B", "'B' names no type; write such as B-PER"),
        ("I-", "'I-' names no type; write such as I-PER"),
        ("X-PER", "'X-PER' has the unknown prefix 'X'; known are B- I- and O"),
        ("b-PER", "'b-PER' has the unknown prefix 'b'"),
        ("B_PER", "'B_PER' must be written 'B-PER'"),
        ("PER", "'PER' has no prefix; write B- before it"),
        ("x" * 5000, "has no prefix"),
        ("a\nb", "has no prefix"),
    ],
)
def test_a_tag_of_no_scheme_says_how_to_write_it(tag: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        to_iob2(["O", tag], "a.conll:1")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)
    assert split_tag(tag) is None
