import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.data.axes import channels_last, check_axes, letters_of
from tinyunet.data.header import Unreadable
from tinyunet.errors import ConfigError


@pytest.mark.parametrize("axes", ["", "yx", "xy", "zyx", "ZYX", "yxc", "cyx", "czyx", "zyxc", "xyzc"])
def test_letters_that_are_known_pass_in_lower_case(axes):
    assert check_axes(axes, where="a") == axes.lower()


@pytest.mark.parametrize("axes", ["zzyx", "yxx", "zx", "zy", "c", "tyx", "hw", "y x", "yxs"])
def test_other_letters_twice_and_no_y_or_x(axes):
    with pytest.raises(ConfigError) as caught:
        check_axes(axes, where="dataset.toml")
    assert str(caught.value) == (
        "dataset.toml: `axes` must hold y and x, and may hold z (slices) and c (channels), each once and in the order "
        f'the files are stored in, such as "zyx"; got {axes!r}.'
    )


@pytest.mark.parametrize(
    ("dimensions", "axes", "letters"),
    [
        (2, "", "yx"),
        (3, "", "yxc"),
        (2, "yx", "yx"),
        (3, "yx", "yxc"),
        (3, "zyx", "zyx"),
        (4, "zyx", "zyxc"),
        (4, "czyx", "czyx"),
        (3, "czyx", "zyx"),
        (3, "cyx", "cyx"),
        (2, "cyx", "yx"),
        (2, "xyc", "xy"),
    ],
)
def test_the_letter_of_each_axis(dimensions, axes, letters):
    assert letters_of((5,) * dimensions, axes) == letters


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4, 5)])
def test_other_shapes_without_a_declaration(shape):
    with pytest.raises(Unreadable) as caught:
        letters_of(shape, "")
    assert str(caught.value) == (
        f"has the shape {shape}; save (height, width) or (height, width, channels), or set axes in dataset.toml, such "
        'as axes = "zyx" for volumes or axes = "yxc" for images with channels.'
    )


@pytest.mark.parametrize(("shape", "axes"), [((), "yx"), ((3,), "zyx"), ((4, 5), "zyx"), ((2, 3), "czyx")])
def test_other_shapes_than_declared(shape, axes):
    with pytest.raises(Unreadable) as caught:
        letters_of(shape, axes)
    assert str(caught.value) == f'has the shape {shape}, which does not fit axes = "{axes}" of dataset.toml.'


@given(st.sampled_from(["yx", "yxc", "zyx", "zyxc"]).flatmap(lambda axes: st.permutations(axes)))
def test_every_order_of_axes_comes_back(letters):
    sizes = dict(zip("zyxc", (2, 3, 4, 5), strict=True))
    array = np.arange(np.prod([sizes[letter] for letter in letters])).reshape([sizes[letter] for letter in letters])
    last = channels_last(array, "".join(letters))
    assert last.shape == (
        *(sizes[letter] for letter in "zyx" if letter in letters),
        sizes["c"] if "c" in letters else 1,
    )
    for place in itertools.islice(np.ndindex(array.shape), 20):
        at = dict(zip(letters, place, strict=True))
        assert last[(*(at[letter] for letter in "zyx" if letter in at), at.get("c", 0))] == array[place]
