import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinyunet.data.header import Header, Unreadable
from tinyunet.data.raster import decode_raster, palette, pixels, raster_header, upright

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> the PNG standard's number


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png16(array: np.ndarray) -> bytes:
    """A 16-bit PNG of 1 to 4 channels, written by hand from the standard: Pillow cannot write several channels."""
    height, width, channels = array.shape
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def save(path: Path, array: np.ndarray, mode: str | None = None, **options) -> Path:
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def test_grey_png_keeps_its_six_values(tmp_path):
    array = np.array([[0, 1, 2], [3, 4, 255]], np.uint8)
    decoded, colours = decode_raster(save(tmp_path / "a.png", array))
    np.testing.assert_array_equal(decoded[..., 0], array)
    assert colours is None


def test_one_bit_becomes_0_and_255(tmp_path):
    path = save(tmp_path / "a.png", np.array([[0, 255, 0]], np.uint8), "1")
    assert decode_raster(path)[0].tolist() == [[[0], [255], [0]]]
    assert raster_header(path) == Header((1, 3), 1, "uint8")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_keeps_every_bit(tmp_path, channels):
    array = np.random.default_rng(0).integers(0, 2**16, (5, 7, channels)).astype(np.uint16)
    path = tmp_path / "a.png"
    path.write_bytes(png16(array))
    decoded, _ = decode_raster(path)
    np.testing.assert_array_equal(decoded, array)
    assert decoded.dtype == np.uint16
    assert raster_header(path) == Header((5, 7), channels, "uint16")


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4), ("P", 3)])
def test_header_of_each_png_mode(tmp_path, mode, channels):
    path = save(tmp_path / "a.png", np.full((4, 6), 9, np.uint8), mode)
    assert raster_header(path) == Header((4, 6), channels, "uint8")


def test_palette_png_keeps_indices_and_colours(tmp_path):
    image = Image.fromarray(np.array([[0, 2], [1, 1]], np.uint8))
    image.putpalette(bytes([0, 0, 0, 255, 0, 0, 0, 255, 0]))
    image.save(tmp_path / "a.png")
    indices, colours = decode_raster(tmp_path / "a.png")
    assert indices[..., 0].tolist() == [[0, 2], [1, 1]]
    assert colours[:3].tolist() == [[0, 0, 0], [255, 0, 0], [0, 255, 0]]


@pytest.mark.parametrize("suffix", [".bmp", ".jpg"])
def test_cmyk_and_rgb_files_become_rgb(tmp_path, suffix):
    array = np.full((8, 8, 3), 200, np.uint8)
    path = save(tmp_path / f"a{suffix}", array, "CMYK" if suffix == ".jpg" else None)
    assert decode_raster(path)[0].shape == (8, 8, 3)
    np.testing.assert_allclose(decode_raster(path)[0].astype(int), array, atol=3)
    assert raster_header(path) == Header((8, 8), 3, "uint8")


def test_palette_with_alpha_keeps_its_indices():
    image = Image.new("PA", (2, 1))
    assert pixels(image).shape == (1, 2, 1)
    assert palette(image) is not None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_agrees_with_pillow(orientation):
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    image = Image.fromarray(array)
    turns = [None, 0, 3, 1, 5, 4, 6, 2]  # Image.Transpose of orientations 1 to 8, as Pillow's ImageOps has them
    turn = turns[orientation - 1]
    wanted = array if turn is None else np.asarray(image.transpose(Image.Transpose(turn)))
    np.testing.assert_array_equal(upright(array[..., None], orientation)[..., 0], wanted)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8, 77])
def test_photograph_is_turned_upright_and_its_header_says_so(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    array = np.zeros((16, 32), np.uint8)
    array[:8] = 255  # white above, as stored
    path = save(tmp_path / "a.jpg", array, exif=exif)
    decoded, _ = decode_raster(path)
    assert raster_header(path).shape == decoded.shape[:2] == ((32, 16) if orientation in (6, 8) else (16, 32))
    white = {1: np.s_[0, 0], 3: np.s_[-1, 0], 6: np.s_[0, -1], 8: np.s_[0, 0], 77: np.s_[0, 0]}[orientation]
    assert decoded[white].item() > 200


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_metadata_do_not_hide_a_photograph(tmp_path):
    path = save(tmp_path / "a.jpg", np.zeros((8, 8), np.uint8), exif=b"Exif\0\0II*\0\xff\xff\xff\xff\xff\xff")
    assert decode_raster(path)[0].shape == (8, 8, 1)


def test_animation_is_refused(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (0, 100, 200)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    for read in (raster_header, decode_raster):
        with pytest.raises(Unreadable, match=r"^is an animation of 3 frames; save one frame per file\.$"):
            read(tmp_path / "a.png")


def test_other_formats_of_pillows_are_not_opened(tmp_path):
    content = io.BytesIO()
    Image.new("L", (4, 4)).save(content, "GIF")
    (tmp_path / "a.png").write_bytes(content.getvalue())
    with pytest.raises(Unreadable, match=r"^is no PNG, JPEG or BMP file\.$"):
        raster_header(tmp_path / "a.png")
