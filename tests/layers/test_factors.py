import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.layers.factors import axis_factors


def test_two_along_every_axis_where_nothing_is_given():
    assert axis_factors(None, 3, name="block") == (2, 2, 2)
    assert axis_factors([1, 2], 2, name="block") == (1, 2)


@given(st.lists(st.integers(1, 2), max_size=3))
def test_what_is_given_is_kept(factors):
    assert axis_factors(factors, len(factors), name="block") == tuple(factors)


@pytest.mark.parametrize("given_factors", [(2,), (2, 2, 2), (0, 2), (2, 3)])
def test_others_are_refused(given_factors):
    message = f"`block` must be 1 or 2 for each of 2 axes of space, got {given_factors}."
    with pytest.raises(ValueError, match=re.escape(message)):
        axis_factors(given_factors, 2, name="block")
