"""Tiles that are decoded alone, in the layouts of files that this project's own libraries do not write."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from tinyunet.data.lazy import open_lazily
from tinyunet.data.tiffsegment import decode_alone, libtiff_keeps

GREY = np.random.default_rng(0).integers(0, 255, (32, 48)).astype(np.uint8)


def compressed(array, compression, **options):
    """One strip of bytes as libtiff compresses an array."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, "TIFF", compression=compression, tiffinfo={278: len(array)}, **options)
    file.seek(0)
    with tifffile.TiffFile(file) as tif:
        page = tif.pages[0]
        content = file.getvalue()
        return content[page.dataoffsets[0] : page.dataoffsets[0] + page.databytecounts[0]]


def write_tiles(path, array, **options):
    """A TIFF of tiles that libtiff compressed by LZW one by one; tifffile alone writes others only."""
    tiles = [array[y : y + 16, x : x + 16] for y in range(0, len(array), 16) for x in range(0, array.shape[1], 16)]
    content = iter([compressed(np.ascontiguousarray(tile), "tiff_lzw") for tile in tiles])
    tifffile.imwrite(path, content, shape=array.shape, dtype=array.dtype, tile=(16, 16), compression="zlib", **options)
    with tifffile.TiffFile(path, mode="r+") as tif:
        tif.pages[0].tags["Compression"].overwrite(5)


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiles_of_lzw(tmp_path, byteorder):
    write_tiles(tmp_path / "a.tif", GREY, byteorder=byteorder)
    with open_lazily(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(image[slice(0, 32), slice(0, 48)][..., 0], GREY)
        np.testing.assert_array_equal(image[slice(10, 20), slice(15, 33)][..., 0], GREY[10:20, 15:33])


def test_a_tile_of_another_size_is_refused(tmp_path):
    write_tiles(tmp_path / "a.tif", GREY)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        page = tif.pages[0]
        assert libtiff_keeps(page)
        data = compressed(GREY[:8, :8], "tiff_lzw")
        with pytest.raises((OSError, ValueError)):
            decode_alone(page, data, rows=16, columns=16)
