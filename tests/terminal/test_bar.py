"""The line of progress, at every width."""

import pytest

from bertedge.cli.bar import Work, cells, clip, clock, describe, lay_out

KNOWN = Work(
    what="training",
    unit="steps",
    total=1200,
    done=300,
    seconds=100.0,
    note="loss 0.123",
)
UNKNOWN = Work(what="reading", unit="lines", total=None, done=5000, seconds=10.0)
WIDE = Work(what="評価する", unit="rows", total=10, done=5, seconds=1.0, note="日本" * 20)


def test_all_is_shown_where_there_is_room():
    assert lay_out(KNOWN, 100) == (
        "training  [######------------------]  300/1,200 steps  3 steps/s  5:00 left  loss 0.123"
    )
    assert lay_out(UNKNOWN, 100) == "reading  5,000 lines  500 lines/s  0:10"


@pytest.mark.parametrize("work", [KNOWN, UNKNOWN, WIDE], ids=lambda work: work.what)
def test_it_never_takes_more_cells_than_there_are(work: Work):
    lines = [lay_out(work, columns) for columns in range(200)]
    assert all(cells(line) <= columns for columns, line in enumerate(lines))
    assert [len(line) for line in lines] == sorted(len(line) for line in lines)


def test_the_time_left_stays_when_room_is_short():
    assert lay_out(KNOWN, 39) == "training  [##--------]   25%  5:00 left"


def test_what_an_earlier_process_has_done_is_not_counted_as_speed():
    resumed = Work(what="training", unit="steps", total=100, done=60, before=50, seconds=5.0)
    assert "2 steps/s  0:20 left" in lay_out(resumed, 100)
    begun = Work(what="training", unit="steps", total=100, done=50, before=50, seconds=0.0)
    assert lay_out(begun, 100) == "training  [############------------]  50/100 steps"


@pytest.mark.parametrize(
    ("done", "seconds", "rate"),
    [(1, 20, "20 s/step"), (10, 4, "2.5 steps/s"), (12345, 1, "12,345 steps/s")],
)
def test_a_slow_rate_is_the_time_of_one(done: int, seconds: float, rate: str):
    work = Work(what="x", unit="steps", total=None, done=done, seconds=seconds)
    assert rate in lay_out(work, 100)


def test_a_total_that_was_wrong_breaks_nothing():
    more = Work(what="x", unit="rows", total=10, done=12, seconds=1.0)
    assert lay_out(more, 100).startswith("x  [########################]  12/10 rows")
    none = Work(what="x", unit="rows", total=0, done=0, seconds=0.0)
    assert lay_out(none, 100) == "x  [########################]  0/0 rows"
    assert describe(none) == "x: 0/0  0 s"


def test_a_log_line_says_the_same_in_full():
    assert describe(KNOWN) == "training: 300/1,200  3 steps/s  loss 0.123  100 s, 5:00 left"
    assert describe(UNKNOWN) == "reading: 5,000 lines  500 lines/s  10 s"


def test_durations_and_widths():
    assert [clock(s) for s in (0, 59.6, 3599, 3600, 90061)] == [
        "0:00",
        "1:00",
        "59:59",
        "1:00:00",
        "25:01:01",
    ]
    assert (cells("a日"), cells("é"), clip("日本", 3), clip("ab", 9)) == (3, 1, "日", "ab")
