import re

import numpy as np
import pytest
from reference import tiny

from tinyunet.data.header import Geometry
from tinyunet.data.readers import read_image
from tinyunet.data.sample import Sample, sample_header, sample_image, sample_mask
from tinyunet.errors import DataError


@pytest.fixture
def files(tmp_path):
    """An RGB file and two grey ones of one size."""
    rng = np.random.default_rng(0)
    for name, shape in (("a", (5, 7, 3)), ("b", (5, 7)), ("c", (5, 7))):
        tiny.save(tmp_path / f"{name}.png", rng.integers(0, 256, shape).astype(np.uint8))
    return [tmp_path / f"{name}.png" for name in "abc"]


def test_a_sample_of_one_file_is_the_file(files):
    sample = Sample("a", files[0], None)
    np.testing.assert_array_equal(sample_image(sample), read_image(files[0]))
    assert sample_header(sample).channels == 3


def test_the_channels_of_several_files_come_after_one_another(files):
    sample = Sample("a", files[0], None, more=tuple(files[1:]))
    assert sample.files == tuple(files)
    image, header = sample_image(sample), sample_header(sample)
    np.testing.assert_array_equal(image[..., 3:4], read_image(files[1]))
    np.testing.assert_array_equal(image[..., 4:], read_image(files[2]))
    assert (*header.shape, header.channels) == image.shape == (5, 7, 5)


def test_files_of_other_sizes_are_named(files, tmp_path):
    tiny.save(tmp_path / "d.png", np.zeros((4, 7), np.uint8))
    message = f"{tmp_path}/d.png is 4×7 pixels and {files[0]} 5×7; they must be equal."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        sample_image(Sample("a", files[0], None, more=(tmp_path / "d.png",)))


def test_axes_and_spacing_as_declared(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(24).reshape(2, 3, 4))
    sample = Sample("a", tmp_path / "a.npy", tmp_path / "a.npy", axes="zyx", spacing=(2.0, 1.0, 1.0))
    assert sample_image(sample).shape == (2, 3, 4, 1)
    assert sample_mask(sample).values.shape == (2, 3, 4)
    header = sample_header(sample)
    assert (header.shape, header.geometry) == ((2, 3, 4), Geometry((2.0, 1.0, 1.0)))
    assert sample_header(Sample("a", tmp_path / "a.npy", None)).geometry is None


def test_a_sample_without_a_mask_has_none(files):
    with pytest.raises(DataError, match=r"a\.png has no mask; it cannot be trained on or scored\.$"):
        sample_mask(Sample("a", files[0], None))
