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


def test_a_spacing_gives_physical_units():
    table = measure_objects(boxes(3), np.zeros((9, 9, 9, 1)), spacing=(2.0, 0.5, 0.5))
    assert table["pixels"].tolist() == [27, 50]
    assert table["volume"].tolist() == [13.5, 25]
    assert table["centroid_z"].tolist() == [4, 11]
    flat = measure_objects(boxes(2), np.zeros((9, 9, 1)), spacing=(2.0, 0.5))
    assert flat["area"].tolist() == [9, 10]
    assert "perimeter" not in flat  # it is only known of square pixels


def test_an_image_without_objects_is_a_table_without_rows():
    text = table_text(measure_objects(np.zeros((4, 4), np.int32), np.zeros((4, 4, 1))))
    assert text.startswith("id,pixels,first_y")
    assert len(text.splitlines()) == 1


def test_the_text_is_csv_that_reads_back():
    table = measure_objects(boxes(2), np.ones((9, 9, 1), np.float32))
    rows = list(csv.DictReader(io.StringIO(table_text(table))))
    assert [row["id"] for row in rows] == ["1", "6"]
    assert float(rows[1]["centroid_x"]) == 6
