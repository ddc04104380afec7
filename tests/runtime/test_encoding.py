import pytest

from bertedge.runtime.encoding import window_starts


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 100])
@pytest.mark.parametrize("stride", [0, 3, 7])
def test_all_windows_of_a_long_text_are_full(size: int, stride: int) -> None:
    starts = window_starts(size, 8, stride)
    ends = [min(start + 8, size) for start in starts]
    assert starts[0] == 0 and ends[-1] == size
    assert all(end - start >= stride for start, end in zip(starts[1:], ends[:-1], strict=True))
    assert size < 8 or all(end - start == 8 for start, end in zip(starts, ends, strict=True))
