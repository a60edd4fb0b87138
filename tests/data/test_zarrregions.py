import numpy as np
import pytest
from reference import zarrs

from tinyunet.data.header import Unreadable
from tinyunet.data.zarrregions import zarr_regions

IMAGE = np.arange(20 * 20, dtype=np.uint16).reshape(20, 20)


def test_chunks_that_are_not_met_may_be_missing(tmp_path):
    path = zarrs.write_array(tmp_path / "a.zarr", IMAGE, version=3, chunk=8, dimension_names=["y", "x"])
    (path / "c/2/2").unlink()
    told = []
    regions = zarr_regions(path)
    found = regions.read((slice(0, 16), slice(0, 20)), lambda *damage: told.append(damage))
    np.testing.assert_array_equal(found, IMAGE[:16])
    assert told == []
    regions.read((slice(15, 17), slice(15, 17)), lambda *damage: told.append(damage))
    assert told == [((slice(16, 20), slice(16, 20)), "the chunk 2 is missing")]


def test_a_shard_is_read_by_its_chunks(tmp_path):
    path = zarrs.write_array(tmp_path / "a.zarr", IMAGE, version=3, chunk=5, shard=2, dimension_names=["y", "x"])
    found = zarr_regions(path).read((slice(3, 18), slice(9, 11)), lambda *damage: pytest.fail(str(damage)))
    np.testing.assert_array_equal(found, IMAGE[3:18, 9:11])


def test_folders_that_are_links_are_not_followed(tmp_path):
    path = zarrs.write_array(tmp_path / "a.zarr", IMAGE, version=3, chunk=8, dimension_names=["y", "x"])
    (path / "c/1").rename(tmp_path / "elsewhere")
    (path / "c/1").symlink_to(tmp_path / "elsewhere")
    told = []
    zarr_regions(path).read((slice(0, 20), slice(0, 8)), lambda *damage: told.append(damage))
    assert told == [((slice(8, 16), slice(0, 8)), "c/1 is a link or no file")]


def test_an_array_that_is_not_what_its_metadata_say(tmp_path):
    path = zarrs.write_array(tmp_path / "a.zarr", IMAGE, version=2, chunk=8)
    about = (path / ".zarray").read_text()
    (path / ".zarray").write_text(about.replace('"zlib"', '"none such"').replace('"blosc"', '"none such"'))
    with pytest.raises(Unreadable, match=r"^cannot be decoded: "):
        zarr_regions(path, "yx")
