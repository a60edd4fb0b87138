import math

import numpy as np
import pytest

from tinyunet.data.header import MAX_PIXELS, Geometry, Header, Unreadable, corners, shape_text


def affine(spacing=(1.0, 1.0, 1.0), shift=(0.0, 0.0, 0.0), degrees=0.0):
    """Rows of an affine turned about z; spacing and shift along x, y, z."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    rows = np.column_stack([turn * spacing, shift])
    return (*(tuple(row) for row in rows.tolist()), (0.0, 0.0, 0.0, 1.0))


def test_corners_of_a_volume_by_hand():
    found = corners(Geometry((4.0, 3.0, 2.0), affine((2, 3, 4), (10, 0, -1))), (2, 3, 5))
    assert found.shape == (8, 3)
    assert found.min(axis=0).tolist() == [10, 0, -1]
    assert found.max(axis=0).tolist() == [18, 6, 3]


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (affine(), True),
        (affine(shift=(0.05, 0, 0)), True),
        (affine(shift=(0.2, 0, 0)), False),
        (affine((1.0001, 1, 1)), True),
        (affine((1.01, 1, 1)), False),  # a whole voxel at the far end
        (affine(degrees=0.01), True),
        (affine(degrees=90), False),
    ],
)
def test_the_same_place_is_where_the_corners_are(other, same):
    one = Geometry((1.0, 1.0, 1.0), affine())
    assert one.same_place(Geometry((1.0, 1.0, 1.0), other), (10, 100, 100)) == same
    assert Geometry((1.0, 1.0, 1.0), other).same_place(one, (10, 100, 100)) == same


def test_without_an_affine_spacings_are_compared():
    assert Geometry((1.0, 0.5)).same_place(Geometry((1.0, 0.501)), (8, 8))
    assert not Geometry((1.0, 0.5)).same_place(Geometry((0.5, 0.5)), (8, 8))
    assert not Geometry((1.0, 0.5)).same_place(Geometry((1.0, 1.0, 0.5)), (8, 8))
    assert Geometry((1.0, 0.5, 0.5)).same_place(Geometry((9.0, 9.0, 9.0), affine()), (8, 8, 8))  # of unknown units


def test_a_header_of_pixels_passes():
    header = Header((2, 3), 1, "uint8")
    assert header.check() is header
    assert Header((2**11, 2**10, 2**10), 1, "float32").check().shape == (2048, 1024, 1024)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (Header((0, 3), 1, "uint8"), "has no pixels: its size is 0 x 3 x 1."),
        (Header((2, 3), 0, "uint8"), "has no pixels: its size is 2 x 3 x 0."),
        (
            Header((2, 2**20, 2**20), 1, "uint8"),
            f"claims 2 x 1048576 x 1048576 pixels, more than the {MAX_PIXELS} that are read; cut it into smaller "
            "images.",
        ),
        (Header((2, 3), 1, "complex64"), "holds values of type complex64; save real numbers or integers."),
    ],
)
def test_what_cannot_be_read(header, text):
    with pytest.raises(Unreadable) as caught:
        header.check()
    assert str(caught.value) == text


def test_a_shape_as_a_person_writes_it():
    assert shape_text((36, 50, 35)) == "36 x 50 x 35"
