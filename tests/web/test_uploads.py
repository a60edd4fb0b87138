import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from reference.uploads import png_bomb, tiff_bomb

from tinyunet.data.readers import read_image
from tinyunet.web.uploads import UploadError, UploadLimits, kind_of, read_upload, stored_upload

PIXELS = np.arange(48, dtype=np.uint8).reshape(6, 8)


def encoded(array: np.ndarray, kind: str, **options) -> bytes:
    file = io.BytesIO()
    if kind == "npy":
        np.save(file, array)
    elif kind == "tiff":
        tifffile.imwrite(file, array, **options)
    else:
        Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


def refused(content: bytes, limits: UploadLimits | None = None) -> UploadError:
    with pytest.raises(UploadError) as caught:
        read_upload(content, limits)
    assert "\n" not in caught.value.detail
    assert "/" not in caught.value.detail  # no path of ours
    return caught.value


@pytest.mark.parametrize("kind", ["PNG", "BMP", "tiff", "npy"])
def test_an_upload_is_what_our_readers_read(kind, tmp_path):
    content = encoded(PIXELS, kind)
    upload = read_upload(content)
    path = tmp_path / f"image{upload.suffix}"
    path.write_bytes(content)
    np.testing.assert_array_equal(upload.image, read_image(path))
    assert upload.header.shape == (6, 8)


def test_jpeg_and_compressed_tiff_are_read():
    assert read_upload(encoded(PIXELS, "JPEG")).image.shape == (6, 8, 1)
    for compression in ("tiff_adobe_deflate", "packbits", "tiff_lzw"):
        content = encoded(np.tile(PIXELS, (40, 40)), "TIFF", compression=compression)
        np.testing.assert_array_equal(read_upload(content).image[..., 0], np.tile(PIXELS, (40, 40)))
    tiled = encoded(np.tile(PIXELS, (40, 40)), "tiff", compression="zlib", tile=(64, 64), predictor=True)
    np.testing.assert_array_equal(read_upload(tiled).image[..., 0], np.tile(PIXELS, (40, 40)))


def test_the_file_bears_a_name_of_ours_and_vanishes():
    with stored_upload(encoded(PIXELS, "PNG")) as (path, header):
        assert path.name == "image.png"
        assert path.parent.stat().st_mode & 0o077 == 0
        assert header.channels == 1
    assert not path.parent.exists()
    with pytest.raises(RuntimeError), stored_upload(encoded(PIXELS, "PNG")) as (path, _):
        raise RuntimeError
    assert not path.parent.exists()


def test_a_png_bomb_is_refused_by_its_header():
    bomb = png_bomb(30_000)
    assert len(bomb) < 2**18
    error = refused(bomb)
    assert error.status == 413
    assert "claims 30000 × 30000 pixels of 1 channels" in error.detail
    assert error.detail.endswith("at most 67108864 pixels are taken: cut it or shrink it.")


def test_pixels_of_many_channels_count():
    limits = UploadLimits(max_pixels=64)
    assert read_upload(encoded(np.zeros((8, 8, 4), np.uint8), "PNG"), limits).image.size == 256
    assert refused(encoded(np.zeros((8, 8, 300), np.float32), "npy"), limits).status == 413


def test_a_strip_that_holds_more_than_it_says_is_refused_before_it_is_decoded():
    for scheme, content in ((8, zlib.compress(bytes(2**24))), (32946, zlib.compress(bytes(2**20)))):
        error = refused(tiff_bomb(content, scheme))
        assert (error.status, "more than its size says" in error.detail) == (413, True)
    assert refused(tiff_bomb(b"\x81\0" * 2**14, 32773)).status == 413
    assert read_upload(tiff_bomb(zlib.compress(b"\7"), 8)).image.tolist() == [[[7]]]
    assert read_upload(tiff_bomb(b"\0\7", 32773)).image.tolist() == [[[7]]]


def test_a_tile_that_is_larger_than_any_image_is_refused():
    limits = UploadLimits(max_pixels=2**16)
    assert "tiles are larger" in refused(tiff_bomb(zlib.compress(bytes(2**24)), 8, tile=4096), limits).detail
    small = tiff_bomb(zlib.compress(b"\7" * 256), 8, tile=16)
    assert read_upload(small, limits).image.tolist() == [[[7]]]


def test_a_tiff_of_ever_more_pages_is_refused():
    assert "more than 4096 pages" in refused(tiff_bomb(b"\7", 1, pages=4097)).detail
    circle = tiff_bomb(b"\7", 1, pages=2)
    first = struct.unpack("<I", circle[4:8])[0]
    assert "more than 4096 pages" in refused(circle[:-4] + struct.pack("<I", first)).detail


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "tiff", "npy"])
def test_what_is_cut_off_is_refused(kind):
    content = encoded(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8), kind)
    for size in (3, 9, 30, len(content) // 2, len(content) - 40):
        assert refused(content[:size]).status in (415, 422)


def test_a_limit_in_bytes_counts_first():
    assert refused(encoded(PIXELS, "npy"), UploadLimits(max_bytes=100)).status == 413


def test_what_is_no_image_is_refused():
    assert refused(b"").status == 400
    assert "empty (0 bytes)" in refused(b"").detail
    for content in (b"GIF89a" + bytes(100), b"<svg/>", b"PK\3\4" + bytes(99), b"MZ", b"\0" * 64, b"%PDF-1.7"):
        assert refused(content).status == 415


def test_an_animation_is_refused():
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (0, 200)]
    file = io.BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    assert "animation of 2 frames" in refused(file.getvalue()).detail


def test_pixels_that_are_none_are_refused():
    assert refused(encoded(np.zeros((0, 4), np.uint8), "npy")).status == 422
    assert "NaN" in refused(encoded(np.full((2, 2), np.nan), "npy")).detail


def test_a_pickled_object_is_never_opened():
    file = io.BytesIO()
    np.save(file, np.array([Path("x"), {}], object), allow_pickle=True)
    assert refused(file.getvalue()).status == 422


def test_a_file_of_two_formats_is_read_as_what_it_begins_as():
    both = encoded(PIXELS, "PNG") + b"PK\3\4<script>alert(1)</script>"
    assert read_upload(both).suffix == ".png"
    assert kind_of(b"II*\0" + b"\x89PNG", UploadLimits()) == ".tif"


@given(st.sampled_from(["PNG", "BMP", "tiff", "npy", "JPEG"]), st.data())
def test_damaged_bytes_give_pixels_or_one_line(kind, data):
    content = bytearray(encoded(PIXELS, kind))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        status = 200 if read_upload(bytes(content), UploadLimits(max_pixels=2**16)).image.size else 0
    except UploadError as error:
        status = error.status
    assert status in (200, 413, 415, 422)
