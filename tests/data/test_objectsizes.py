import math

import pytest

from tinyunet.data.objectsizes import equivalent_diameter, object_sizes


def test_numbers_by_hand():
    found = object_sizes([([10, 20, 30], 0), ([40], 5), ([], 0)], dimensions=2)
    assert (found.count, found.per_image) == (9, (0, 3.0, 6))
    assert found.pixels == (10, 30, 40)
    assert found.diameter == pytest.approx([2 * math.sqrt(area / math.pi) for area in (10, 30, 40)])


def test_of_a_volume_the_diameter_is_that_of_a_ball():
    radius = 7.5
    assert equivalent_diameter(4 / 3 * math.pi * radius**3, 3) == pytest.approx(2 * radius)
    assert equivalent_diameter(math.pi * radius**2, 2) == pytest.approx(2 * radius)


def test_no_objects_have_no_sizes():
    assert object_sizes([], dimensions=2) is None
    assert object_sizes([([], 0)], dimensions=3) is None
