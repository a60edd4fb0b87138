import numpy as np
import pytest

from tinyunet.data.header import Header, Unreadable
from tinyunet.data.masks import read_mask
from tinyunet.data.numpyfile import decode_numpy, numpy_header
from tinyunet.data.readers import read_header, read_image
from tinyunet.errors import DataError

VOLUME = np.arange(120, dtype=np.int16).reshape(4, 3, 5, 2)  # z, y, x, c


@pytest.fixture
def saved(tmp_path):
    def save(array):
        np.save(tmp_path / "a.npy", array)
        return tmp_path / "a.npy"

    return save


@pytest.mark.parametrize(
    ("axes", "stored", "wanted"),
    [
        ("zyxc", VOLUME, VOLUME),
        ("czyx", VOLUME.transpose(3, 0, 1, 2), VOLUME),
        ("xyzc", VOLUME.transpose(2, 1, 0, 3), VOLUME),
        ("zyx", VOLUME[..., 1], VOLUME[..., 1:]),
        ("zyx", VOLUME, VOLUME),
        ("czyx", VOLUME[..., 0], VOLUME[..., :1]),
        ("yxc", VOLUME[0], VOLUME[0]),
        ("cyx", VOLUME[0].transpose(2, 0, 1), VOLUME[0]),
        ("xy", VOLUME[0, ..., 0].T, VOLUME[0, ..., :1]),
        ("", VOLUME[0], VOLUME[0]),
        ("", VOLUME[0, ..., 0], VOLUME[0, ..., :1]),
    ],
)
def test_axes_as_declared(saved, axes, stored, wanted):
    path = saved(stored)
    array, palette = decode_numpy(path, axes)
    np.testing.assert_array_equal(array, wanted)
    assert palette is None
    assert numpy_header(path, axes) == Header(wanted.shape[:-1], wanted.shape[-1], "int16")
    np.testing.assert_array_equal(read_image(path, axes=axes), wanted)


@pytest.mark.parametrize("axes", ["zyx", "czyx", "zyxc"])
def test_masks_have_no_channels(saved, axes):
    mask = read_mask(saved(VOLUME[..., 0]), axes=axes)
    np.testing.assert_array_equal(mask.values, VOLUME[..., 0])


def test_true_and_false_are_255_and_0(saved):
    path = saved(np.array([[[True], [False]]]))
    assert decode_numpy(path, "zyx")[0].ravel().tolist() == [255, 0]
    assert numpy_header(path, "zyx").dtype == "uint8"


def test_the_byte_order_becomes_the_machines(saved):
    array, _ = decode_numpy(saved(VOLUME.astype(">i2")), "zyxc")
    np.testing.assert_array_equal(array, VOLUME)
    assert array.dtype.isnative


@pytest.mark.parametrize("read", [numpy_header, decode_numpy])
def test_slices_that_nobody_declared_are_refused_with_the_way_out(saved, read):
    with pytest.raises(
        Unreadable, match=r'^has the shape \(4, 3, 5, 2\); .* such as axes = "zyx" for volumes or axes = '
    ):
        read(saved(VOLUME), "")
    with pytest.raises(
        Unreadable, match=r'^has the shape \(3, 5\), which does not fit axes = "zyx" of dataset\.toml\.$'
    ):
        read(saved(VOLUME[0, ..., 0]), "zyx")


def test_a_mask_of_slices_taken_for_channels_names_the_way_out(saved):
    path = saved(np.zeros((7, 8, 9), np.uint8))
    with pytest.raises(DataError) as caught:
        read_mask(path)
    assert str(caught.value) == (
        f'{path} has 9 channels: a mask has 1, or 3 for colours. If these are slices, set axes = "zyx" in dataset.toml.'
    )


def test_a_volume_cut_off_is_refused_by_its_header_too(saved):
    path = saved(VOLUME)
    path.write_bytes(path.read_bytes()[:-1])
    for read in (read_header, read_image):
        with pytest.raises(DataError, match=r"It is damaged or cut off: copy or export it again\.$"):
            read(path, axes="zyx")
