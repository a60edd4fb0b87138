import csv
import io

import numpy as np
import pytest

from tinyunet.objects.measure import measure_objects, table_text


def boxes(ndim):
    instances = np.zeros((9,) * ndim, np.int32)
    instances[(slice(1, 4),) * ndim] = 1
    instances[(slice(5, 7), *(slice(4, 9),) * (ndim - 1))] = 6
    return instances


def test_a_square_by_hand():
    instances = np.zeros((6, 6), np.int32)
    instances[1:4, 2:5] = 3
    image = np.arange(36, dtype=np.uint16).reshape(6, 6, 1)
    table = {name: column.tolist() for name, column in measure_objects(instances, image).items()}
    assert (table["id"], table["pixels"], table["area"]) == ([3], [9], [9])
    assert (table["first_y"], table["last_y"], table["first_x"], table["last_x"]) == ([1], [3], [2], [4])
    assert (table["centroid_y"], table["centroid_x"]) == ([2], [3])
    assert (table["intensity_min"], table["intensity_mean"], table["intensity_max"]) == ([8], [15], [22])
    assert table["diameter"][0] == pytest.approx(2 * (9 / np.pi) ** 0.5)
    assert table["solidity"] == [1]


@pytest.mark.parametrize("ndim", [2, 3])
def test_sizes_and_grey_values_agree_with_plain_means(ndim):
    instances = boxes(ndim)
    image = np.random.default_rng(0).integers(0, 99, (*instances.shape, 2)).astype(np.uint8)
    table = measure_objects(instances, image)
    assert table["id"].tolist() == [1, 6]
    for row, number in enumerate((1, 6)):
        inside = instances == number
        assert table["pixels"][row] == inside.sum()
        centre = np.argwhere(inside).mean(axis=0)
        np.testing.assert_allclose([table[f"centroid_{axis}"][row] for axis in "zyx"[-ndim:]], centre)
        for c in (0, 1):
            assert table[f"intensity_mean_{c}"][row] == pytest.approx(image[inside][:, c].mean())
            assert table[f"intensity_std_{c}"][row] == pytest.approx(image[inside][:, c].std())


def test_a_spacing_adds_columns_in_its_unit():
    table = measure_objects(boxes(3), np.zeros((9, 9, 9, 1)), spacing=(2.0, 0.5, 0.5), unit="mm")
    assert table["volume"].tolist() == table["pixels"].tolist() == [27, 50]
    assert table["volume_mm3"].tolist() == [13.5, 25]
    assert (table["centroid_z"].tolist(), table["centroid_z_mm"].tolist()) == ([2, 5.5], [4, 11])
    assert table["diameter_mm"][0] == pytest.approx((6 * 13.5 / np.pi) ** (1 / 3))
    flat = measure_objects(boxes(2), np.zeros((9, 9, 1)), spacing=(2.0, 0.5))
    assert (flat["area"].tolist(), flat["area_um2"].tolist()) == ([9, 10], [9, 10])
    assert "perimeter_um" not in flat  # it is only known of square pixels
    square = measure_objects(boxes(2), np.zeros((9, 9, 1)), spacing=(0.5, 0.5))
    np.testing.assert_allclose(square["perimeter_um"], square["perimeter"] / 2)
    plain = measure_objects(boxes(2), np.zeros((9, 9, 1)))
    assert not [name for name in plain if "um" in name]
    assert list(plain) == [name for name in square if "um" not in name]


@pytest.mark.parametrize(
    ("ndim", "spacing"), [(2, (1.0, 1.0)), (2, (2.0, 1.0)), (3, (1.0, 1.0, 1.0)), (3, (2.0, 1.0, 0.5))]
)
def test_the_axes_of_an_ellipsoid_are_its_own(ndim, spacing):
    radii = (20.0, 14.0, 9.0)[:ndim]  # physical
    place = np.indices([int(2 * r / s) + 5 for r, s in zip(radii, spacing, strict=True)])
    centres = [(n - 1) / 2 for n in place.shape[1:]]
    far = sum(((p - c) * s / r) ** 2 for p, c, s, r in zip(place, centres, spacing, radii, strict=True))
    inside = (far <= 1).astype(np.int32)
    table = measure_objects(inside, np.zeros((*inside.shape, 1)), spacing=spacing)
    names = ("major_axis_um", "middle_axis_um", "minor_axis_um") if ndim == 3 else ("major_axis_um", "minor_axis_um")
    np.testing.assert_allclose([table[name][0] for name in names], 2 * np.array(radii), rtol=0.02)


def test_a_ball_is_rounder_than_a_box_and_a_physical_ball_is_one():
    place = np.indices((27, 27, 27)) - 13
    ball = (np.sum(place**2, axis=0) <= 11**2).astype(np.int32)
    box = np.zeros((27, 27, 27), np.int32)
    box[1:26, 10:14, 10:14] = 1
    flat = np.sum((place * np.array([4, 1, 1]).reshape(3, 1, 1, 1)) ** 2, axis=0) <= 11**2
    image = np.zeros((27, 27, 27, 1))

    def sphericity(instances, **options):
        return float(measure_objects(instances, image, **options)["sphericity"][0])

    assert 0.9 < sphericity(ball) <= 1
    assert sphericity(box) < 0.75
    assert sphericity(flat.astype(np.int32)) < 0.8 < sphericity(flat.astype(np.int32), spacing=(4.0, 1.0, 1.0))
    one = np.zeros((27, 27, 27), np.int32)
    one[0, 0, 0] = 1
    assert 0 < sphericity(one) <= 1


def test_an_image_without_objects_is_a_table_without_rows():
    text = table_text(measure_objects(np.zeros((4, 4), np.int32), np.zeros((4, 4, 1))))
    assert text.startswith("id,pixels,first_y")
    assert len(text.splitlines()) == 1


def test_the_text_is_csv_that_reads_back():
    table = measure_objects(boxes(2), np.ones((9, 9, 1), np.float32))
    rows = list(csv.DictReader(io.StringIO(table_text(table))))
    assert [row["id"] for row in rows] == ["1", "6"]
    assert float(rows[1]["centroid_x"]) == 6
