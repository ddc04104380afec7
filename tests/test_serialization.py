import json
import math
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pytest

from bertedge.serialization import RecordError, from_plain, to_json, to_plain


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    size: float
    spokes: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Cart:
    name: str
    color: Color
    wheels: tuple[Wheel, ...]
    loads: tuple[tuple[float, ...], ...] = ()
    settings: dict[str, str | int | float | bool | None] | None = None
    spare: Wheel | None = None
    place: Path | None = None
    open: bool = False


PLAIN = {"name": "c", "color": "red", "wheels": [{"size": 1.5}]}


def test_records_survive_a_round_trip_through_json() -> None:
    cart = Cart(
        name='Grüße "x"\n',
        color=Color.BLUE,
        wheels=(Wheel(size=0.1), Wheel(size=2.0, spokes=7)),
        loads=((1e-9, -3.0), ()),
        settings={"a": "b", "c": 3, "d": 0.5, "e": True, "f": None},
        spare=Wheel(size=3.0),
        place=Path("a/b"),
        open=True,
    )
    assert from_plain(Cart, json.loads(to_json(cart))) == cart


def test_json_is_indented_but_lists_of_numbers_stand_on_one_line() -> None:
    cart = Cart(name="c", color=Color.RED, wheels=(), loads=((1.0, 2.0),))
    assert to_json(cart).startswith('{\n  "name": "c",\n  "color": "red",\n  "wheels": [],\n')
    assert '  "loads": [\n    [1.0, 2.0]\n  ],' in to_json(cart)


def test_defaults_are_filled_in_and_ints_are_taken_for_floats() -> None:
    cart = from_plain(Cart, PLAIN | {"wheels": [{"size": 2}]})
    assert cart.wheels == (Wheel(size=2.0, spokes=3),)
    assert isinstance(cart.wheels[0].size, float)
    assert cart.spare is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, r"colour is unknown; known are name, color, wheels"),
        ({"wheels": [{"size": 1.0}, {"size": "big"}]}, r"wheels\[1\]\.size is 'big'"),
        ({"wheels": [{}]}, r"wheels\[0\]\.size is missing"),
        ({"wheels": {}}, r"wheels must be a list, found dict"),
        ({"wheels": [{"size": 1.0, "spokes": 2.5}]}, r"spokes must be an integer, found float"),
        ({"wheels": [{"size": 1.0, "spokes": True}]}, r"spokes must be an integer, found bool"),
        ({"wheels": [{"size": math.nan}]}, "size is nan; it must be a finite number"),
        ({"wheels": [{"size": math.inf}]}, "finite"),
        ({"wheels": [{"size": 10**400}]}, "finite"),
        ({"wheels": [{"size": True}]}, "finite"),
        ({"color": "green"}, "color is 'green'; choose one of red, blue"),
        ({"color": ["red"]}, r"color is \['red'\]; choose one of red, blue"),
        ({"name": None}, "name must be a string, found null"),
        ({"open": 1}, "open must be a boolean, found int"),
        ({"settings": {"a": [1]}}, "settings"),
        ({"spare": {"size": "x"}}, r"spare\.size is 'x'"),
        ({"place": 3}, "place must be a string, found int"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_found(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(RecordError, match=message):
        from_plain(Cart, PLAIN | change)


@pytest.mark.parametrize("document", [None, [], "x", 3])
def test_a_document_that_is_no_table_is_an_error(document: object) -> None:
    with pytest.raises(RecordError, match="the document must be a table"):
        from_plain(Cart, document)


def test_a_prefix_stands_before_the_field() -> None:
    with pytest.raises(RecordError, match=r"^training\.size is missing"):
        from_plain(Wheel, {}, "training")


def test_nan_is_never_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json(Wheel(size=math.nan))


def test_plain_data_has_only_the_types_of_json() -> None:
    cart = Cart(name="c", color=Color.RED, wheels=(Wheel(size=1.0),), place=Path("a"))
    plain = to_plain(cart)
    assert plain["wheels"] == [{"size": 1.0, "spokes": 3}]
    assert (type(plain["color"]), type(plain["place"])) == (str, str)
