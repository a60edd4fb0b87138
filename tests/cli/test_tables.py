import math

import pytest

from tinyunet.cli.tables import table


def test_words_stand_left_and_numbers_right():
    assert table(["class", "Dice", "pixels"], [["cell", 0.91234, 5], ["wall", 1.0, 12345]]).splitlines() == [
        "class   Dice  pixels",
        "cell   0.912       5",
        "wall   1.000   12345",
    ]


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_a_score_that_does_not_exist_is_a_dash(nothing):
    assert table(["class", "Dice"], [["cell", nothing], ["wall", 0.5]]).splitlines() == [
        "class   Dice",
        "cell       –",
        "wall   0.500",
    ]


def test_a_table_without_rows_is_its_header():
    assert table(["class", "Dice"], []) == "class  Dice"


def test_no_line_ends_in_spaces():
    assert all(line == line.rstrip() for line in table(["a", "b"], [["long word", "x"], ["y", ""]]).splitlines())
