import numpy as np
import pytest
import tifffile

from tinyunet.data import tiffregions
from tinyunet.data.tiffregions import tiff_regions

IMAGE = np.arange(40 * 40, dtype=np.uint16).reshape(40, 40)


def never(box, reason):
    raise AssertionError((box, reason))


@pytest.fixture
def counted(monkeypatch):
    """The numbers of the tiles or strips that are decoded."""
    decoded = []
    real = tiffregions._Page._decode
    monkeypatch.setattr(
        tiffregions._Page, "_decode", lambda self, file, number: decoded.append(number) or real(self, file, number)
    )
    return decoded


def test_only_the_tiles_that_are_met_are_decoded(tmp_path, counted):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, tile=(16, 16), compression="zlib")
    regions = tiff_regions(tmp_path / "a.tif")
    found = regions.read((slice(2, 12), slice(20, 31)), never)
    regions.close()
    assert counted == [1]
    np.testing.assert_array_equal(found, IMAGE[2:12, 20:31])


def test_strips_that_reach_into_the_next_rows_are_decoded_once(tmp_path, counted):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, rowsperstrip=8, compression="zlib")
    regions = tiff_regions(tmp_path / "a.tif")
    for start in range(0, 40, 5):
        found = regions.read((slice(start, start + 5), slice(0, 40)), never)
        np.testing.assert_array_equal(found, IMAGE[start : start + 5])
    regions.close()
    assert counted == [0, 1, 2, 3, 4]


def test_pieces_too_large_to_be_decoded_at_once(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, rowsperstrip=40, compression="zlib")
    monkeypatch.setattr(tiffregions, "_MAX_SEGMENT_BYTES", IMAGE.nbytes - 1)
    assert tiff_regions(tmp_path / "a.tif") is None


def test_damage_is_told_with_its_page(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([IMAGE] * 3), compression="zlib", tile=(32, 32), ome=True)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        offset = tif.pages[1].dataoffsets[3]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[offset : offset + 9] = bytes(9)
    (tmp_path / "a.tif").write_bytes(content)
    regions, told = tiff_regions(tmp_path / "a.tif"), []
    found = regions.read((slice(0, 3), slice(30, 36), slice(30, 36)), lambda box, reason: told.append(box))
    regions.close()
    assert told == [(slice(1, 2), slice(32, 40), slice(32, 40))]
    expected = np.stack([IMAGE] * 3)[:, 30:36, 30:36]
    expected[1, 2:, 2:] = 0
    np.testing.assert_array_equal(found, expected)
