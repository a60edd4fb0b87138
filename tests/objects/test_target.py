import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import objects as naive

from tinyunet.errors import ConfigError
from tinyunet.objects.target import BACKGROUND, CORE, RIM, ObjectConfig, object_labels

CONFIG = ObjectConfig()


@st.composite
def instance_images(draw, *, lowest=0, ndim=2):
    """A few boxes over one another, with gaps between their ids."""
    shape = tuple(draw(st.integers(1, 9)) for _ in range(ndim))
    image = np.zeros(shape, np.int32)
    for number in draw(st.lists(st.sampled_from([lowest, 1, 2, 5, 40, 41]), max_size=6)):
        box = tuple(slice(a, a + draw(st.integers(1, 6))) for a in (draw(st.integers(0, n - 1)) for n in shape))
        image[box] = number
    return image


def test_two_objects_that_touch_have_cores_apart():
    instances = np.repeat([[1, 1, 1, 2, 2, 2]], 3, axis=0)
    # At the border of the image the objects go on: only where they touch there is a rim.
    assert object_labels(instances, ObjectConfig(rim_px=1))[1].tolist() == [CORE, CORE, RIM, RIM, CORE, CORE]


def test_the_rim_is_as_wide_as_told_but_never_all_of_a_small_object():
    instances = np.zeros((20, 20), np.int32)
    instances[1:16, 1:16] = 3
    instances[17:19, 3:5] = 9
    labels = object_labels(instances, ObjectConfig(rim_px=2))
    assert labels[8, 1:16].tolist() == [1, 1, *[2] * 11, 1, 1]
    assert (labels[17:19, 3:5] == CORE).all()  # two pixels across: all of it is 1 from the outside, beyond half of 1


def test_sides_that_differ_are_measured_in_the_shortest():
    instances = np.zeros((9, 40), np.int32)
    instances[1:8, 1:39] = 1
    labels = object_labels(instances, ObjectConfig(rim_px=3), spacing=(0.4, 0.2))
    assert labels[:, 20].tolist() == [0, 1, 2, 2, 2, 2, 2, 1, 0]  # distances of 2, 4, … along y
    assert labels[4, :6].tolist() == [0, 1, 1, 1, 2, 2]  # 1, 2, 3, 4 along x
    np.testing.assert_array_equal(labels, object_labels(instances, ObjectConfig(rim_px=3), spacing=(4.0, 2.0)))


def test_objects_that_touch_across_thick_slices_have_cores_apart():
    instances = np.zeros((6, 20, 20), np.int32)
    instances[1:3, 2:18, 2:18] = 1
    instances[3:5, 2:18, 2:18] = 2
    labels = object_labels(instances, CONFIG, spacing=(5.0, 1.0, 1.0))
    assert labels[:, 10, 10].tolist() == [0, CORE, RIM, RIM, CORE, 0]
    thin = np.repeat([[[1] * 9], [[2] * 9]], 9, axis=1).astype(np.int32)
    assert (object_labels(thin, CONFIG, spacing=(5.0, 1.0, 1.0))[0] == CORE).any()  # an object keeps a core


@pytest.mark.parametrize("ndim", [1, 2, 3])
@given(data=st.data())
def test_it_agrees_with_distances_by_plain_loops(ndim, data):
    instances = data.draw(instance_images(lowest=-1, ndim=ndim))
    rim_px, rim_share = data.draw(st.sampled_from([(1.0, 0.5), (2.5, 0.9), (100.0, 0.3)]))
    expected = naive.object_labels(instances, rim_px=rim_px, rim_share=rim_share)
    found = object_labels(instances, ObjectConfig(rim_px=rim_px, rim_share=rim_share))
    np.testing.assert_array_equal(found, expected)


@given(instance_images(lowest=-1))
def test_every_object_keeps_a_core_and_nothing_else_changes(instances):
    before = instances.copy()
    labels = object_labels(instances, CONFIG)
    np.testing.assert_array_equal(instances, before)
    np.testing.assert_array_equal(labels < 0, instances < 0)
    np.testing.assert_array_equal(labels == BACKGROUND, instances == 0)
    for number in np.unique(instances[instances > 0]):
        assert (labels[instances == number] == CORE).any()


@given(instance_images(), st.integers(0, 3), st.booleans())
def test_it_turns_and_flips_with_the_image(instances, turns, flip):
    def turned(x):
        return np.rot90(x[::-1] if flip else x, turns)

    np.testing.assert_array_equal(object_labels(turned(instances), CONFIG), turned(object_labels(instances, CONFIG)))


def test_an_image_without_objects_and_one_that_is_an_object():
    assert (object_labels(np.zeros((3, 4), np.int32), CONFIG) == BACKGROUND).all()
    assert (object_labels(np.full((3, 4), 7), CONFIG) == CORE).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rim_px": 0.0}, "`objects.rim_px` must be above 0, got 0.0."),
        ({"rim_px": float("nan")}, "`objects.rim_px` must be above 0, got nan."),
        ({"rim_share": 1.0}, "`objects.rim_share` must be in (0, 1), got 1.0."),
        ({"core_probability": 0.0}, "`objects.core_probability` must be in (0, 1), got 0.0."),
        ({"foreground_probability": 2.0}, "`objects.foreground_probability` must be in (0, 1), got 2.0."),
        ({"split_probability": 0.0}, "`objects.split_probability` must be in (0, 1), got 0.0."),
        ({"smallest_seed_px": 0}, "`objects.smallest_seed_px` must be at least 1, got 0."),
        ({"smallest_px": 0}, "`objects.smallest_px` must be at least 1, got 0."),
    ],
)
def test_values_out_of_range_are_refused(values, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        ObjectConfig(**values)
