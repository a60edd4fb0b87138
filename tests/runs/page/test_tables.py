import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.runs.page.tables import (
    NOTHING,
    bytes_text,
    counted,
    duration_text,
    number_text,
    percent_text,
    score_cell,
    score_text,
)

WRITERS = (score_text, number_text, percent_text, duration_text, bytes_text)


@given(st.floats(0, 1), st.integers(1, 5))
def test_a_score_is_never_rounded_up_to_a_perfect_one(value, digits):
    text = score_text(value, digits=digits)
    if value < 1:
        assert text.startswith("> 0.") or float(text) < 1
    assert text.startswith("> ") or abs(float(text) - value) <= 0.5001 * 10**-digits


@given(st.floats(0, 1))
def test_a_share_is_none_or_all_only_if_it_is(share):
    assert (percent_text(share) == "0 %") == (share == 0)
    assert (percent_text(share) == "100 %") == (share == 1)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("value", [None, float("nan")])
def test_no_number_is_a_dash(write, value):
    assert write(value) == NOTHING


@pytest.mark.parametrize("write", [number_text, percent_text, duration_text, bytes_text])
def test_infinity_is_a_dash(write):
    assert write(float("inf")) == NOTHING


@pytest.mark.parametrize(
    ("seconds", "text"), [(9.96, "10.0 s"), (10, "10 s"), (59.6, "1 min 00 s"), (3599.7, "1 h 00 min"), (0.0, "0.0 s")]
)
def test_a_time_carries_over_to_the_next_unit(seconds, text):
    assert duration_text(seconds) == text


def test_a_cell_of_a_score_keeps_the_number_it_is_sorted_by():
    assert (score_cell(0.12345).text, score_cell(0.12345).value) == ("0.123", 0.12345)


def test_none_of_a_thing_are_many():
    assert counted(0, "image") == "0 images"
