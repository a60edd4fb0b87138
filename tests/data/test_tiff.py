import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from tinyunet.data.header import Header, Unreadable
from tinyunet.data.tiff import decode_tiff, tiff_header

IMAGE = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "float16", "float32", "float64"]


def test_plain_tiff_keeps_its_six_values(tmp_path):
    array = np.array([[0, 1, 2], [3, 4, 65535]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array)
    decoded, palette = decode_tiff(tmp_path / "a.tif")
    np.testing.assert_array_equal(decoded[..., 0], array)
    assert palette is None
    assert tiff_header(tmp_path / "a.tif") == Header((2, 3), 1, "uint16")


LAYOUTS = {
    "in each pixel": (IMAGE, {"photometric": "rgb"}),
    "in planes": (np.moveaxis(IMAGE, -1, 0), {"photometric": "rgb", "planarconfig": "separate"}),
    "in planes, not colours": (np.moveaxis(IMAGE, -1, 0), {"photometric": "minisblack", "planarconfig": "separate"}),
    "in pages named by OME": (np.moveaxis(IMAGE, -1, 0), {"ome": True, "metadata": {"axes": "CYX"}}),
    "with lengths of one": (np.moveaxis(IMAGE, -1, 0)[None, :, None], {"ome": True, "metadata": {"axes": "TCZYX"}}),
    "in pages named by ImageJ": (np.moveaxis(IMAGE, -1, 0), {"imagej": True, "metadata": {"axes": "CYX"}}),
    "big": (IMAGE, {"photometric": "rgb", "bigtiff": True}),
    "big-endian": (IMAGE, {"photometric": "rgb", "byteorder": ">"}),
    "in tiles": (IMAGE, {"photometric": "rgb", "tile": (16, 16), "compression": "zlib"}),
    "as differences": (IMAGE, {"photometric": "rgb", "compression": "zlib", "predictor": True}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_channels_come_last_wherever_they_lie(tmp_path, layout):
    array, options = LAYOUTS[layout]
    if "axes" in options.get("metadata", {}):
        options = {**options, "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    np.testing.assert_array_equal(decode_tiff(tmp_path / "a.tif")[0], IMAGE)
    assert tiff_header(tmp_path / "a.tif") == Header((4, 5), 3, "uint8")


@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: arrays.arrays(
            dtype,
            arrays.array_shapes(min_dims=2, max_dims=2, max_side=6),
            elements={"allow_nan": False} if dtype.startswith("float") else None,
        )
    ),
    byteorder=st.sampled_from("<>"),
    compression=st.sampled_from([None, "zlib"]),
)
def test_what_is_written_is_read(tmp_path_factory, array, byteorder, compression):
    path = tmp_path_factory.mktemp("tiff") / "a.tif"
    tifffile.imwrite(path, array, byteorder=byteorder, compression=compression)
    decoded, _ = decode_tiff(path)
    np.testing.assert_array_equal(decoded[..., 0], array)
    assert decoded.dtype == array.dtype
    assert tiff_header(path) == Header(array.shape, 1, array.dtype.name)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_one_bit_becomes_0_and_255_as_stored(tmp_path, photometric):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[True, False]]), photometric=photometric)
    assert decode_tiff(tmp_path / "a.tif")[0].tolist() == [[[255], [0]]]
    assert tiff_header(tmp_path / "a.tif") == Header((1, 2), 1, "uint8")


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "tiff_deflate"])
@pytest.mark.parametrize("array", [IMAGE, IMAGE[..., 0], IMAGE[..., 0].astype(np.uint16) * 300])
def test_compressions_without_loss_give_the_pixels(tmp_path, compression, array):
    Image.fromarray(array).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(decode_tiff(tmp_path / "a.tif")[0], np.atleast_3d(array))


@pytest.mark.parametrize("compression", ["group4", "tiff_lzw", None])
def test_fax_gives_the_same_as_plain_1_bit(tmp_path, compression):
    Image.fromarray(np.eye(16) > 0).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(decode_tiff(tmp_path / "a.tif")[0][..., 0], np.eye(16) * 255)


@pytest.mark.parametrize("compression", ["jpeg", None])
@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "RGB"])
def test_print_and_video_colours_become_rgb(tmp_path, mode, compression):
    image = Image.new("RGB", (16, 16), (200, 100, 50)).convert(mode)
    image.save(tmp_path / "a.tif", compression=compression)
    decoded, _ = decode_tiff(tmp_path / "a.tif")
    np.testing.assert_allclose(decoded.astype(int), np.broadcast_to([200, 100, 50], (16, 16, 3)), atol=4)
    assert tiff_header(tmp_path / "a.tif") == Header((16, 16), 3, "uint8")


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_palette_keeps_indices_and_colours(tmp_path, compression):
    image = Image.fromarray(np.array([[0, 2], [1, 1]], np.uint8))
    image.putpalette(bytes([0, 0, 0, 255, 0, 0, 0, 128, 0]))
    image.save(tmp_path / "a.tif", compression=compression)
    indices, colours = decode_tiff(tmp_path / "a.tif")
    assert indices[..., 0].tolist() == [[0, 2], [1, 1]]
    assert colours[:3].tolist() == [[0, 0, 0], [255, 0, 0], [0, 128, 0]]
    assert tiff_header(tmp_path / "a.tif") == Header((2, 2), 3, "uint8")


def test_palette_that_counts_to_255_only(tmp_path):
    colormap = np.zeros((3, 256), np.uint16)
    colormap[:, 1] = 255, 7, 0
    tifffile.imwrite(tmp_path / "a.tif", np.eye(2, dtype=np.uint8), photometric="palette", colormap=colormap)
    assert decode_tiff(tmp_path / "a.tif")[1][1].tolist() == [255, 7, 0]


def test_palette_image_without_a_palette_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE[..., 0], photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages[0].tags["PhotometricInterpretation"].overwrite(3)
    with pytest.raises(Unreadable, match=r"^lacks the palette that its pixels point into; save it as RGB or grey\.$"):
        decode_tiff(tmp_path / "a.tif")


def test_renamed_ome_file_is_read_and_no_other_file_is_opened(tmp_path):
    text = tifffile.OmeXml()
    text.addimage("uint8", (4, 5), (1, 1, 1, 4, 5, 1), axes="YX")
    described = text.tostring().replace(
        "<TiffData ", '<TiffData><UUID FileName="../other.tif">urn:uuid:0</UUID></TiffData><TiffData '
    )
    tifffile.imwrite(tmp_path / "a.tif", IMAGE[..., 0], description=described, metadata=None)
    np.testing.assert_array_equal(decode_tiff(tmp_path / "a.tif")[0], IMAGE[..., :1])


def write_pages(path, shapes):
    with tifffile.TiffWriter(path) as file:
        for shape in shapes:
            file.write(np.zeros(shape, np.uint8), metadata=None)


@pytest.mark.parametrize("read", [tiff_header, decode_tiff])
def test_several_pages_are_refused_with_both_readings(tmp_path, read):
    write_pages(tmp_path / "a.tif", [(4, 5)] * 3)
    with pytest.raises(
        Unreadable,
        match=r"^holds 3 pages \(axes IYX\), which can mean one stack of slices or a series of images\. "
        r'For a stack set axes = "zyx" in dataset\.toml; of a series save one image per file\.$',
    ):
        read(tmp_path / "a.tif")


def test_pages_of_different_sizes_are_refused(tmp_path):
    write_pages(tmp_path / "a.tif", [(4, 5), (9, 3)])
    with pytest.raises(Unreadable, match=r"^holds 2 images of different kinds\. Save one page per file\.$"):
        decode_tiff(tmp_path / "a.tif")


def lzw(content: bytes) -> bytes:
    """The plainest LZW of TIFF there is: Clear, up to 250 bytes as they are in 9 bits each, Clear, ..., End."""
    codes = [code for i, byte in enumerate(content) for code in ([256, byte] if i % 250 == 0 else [byte])] + [257]
    bits = "".join(f"{code:09b}" for code in codes)
    return bytes(int(bits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(bits), 8))


def lzw_tiff(array: np.ndarray, **extra: int) -> bytes:
    """A little-endian TIFF of one LZW strip with one width of bits for all channels."""
    height, width, channels = array.shape
    strip = lzw(array.astype(array.dtype.newbyteorder("<")).tobytes())
    depth = 8 * array.itemsize
    tags = {256: width, 257: height, 259: 5, 262: 2 if channels == 3 else 1, 273: 8, 277: channels, 278: height}
    tags |= {int(tag.removeprefix("tag")): value for tag, value in extra.items()} | {279: len(strip)}
    place = 8 + len(strip)
    depths = struct.pack(f"<{channels}H", *[depth] * channels).ljust(8, b"\0")
    entries = {tag: struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags.items()}
    entries[258] = struct.pack("<HHII", 258, 3, channels, place if channels > 2 else depth)
    directory = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    return b"II*\0" + struct.pack("<I", place + 8) + strip + depths + directory


@pytest.mark.parametrize("array", [IMAGE, IMAGE[..., :1].astype(np.uint16) * 300], ids=["RGB", "16-bit grey"])
def test_lzw_written_by_hand_is_read(tmp_path, array):
    (tmp_path / "a.tif").write_bytes(lzw_tiff(array))
    np.testing.assert_array_equal(decode_tiff(tmp_path / "a.tif")[0], array)


def test_values_are_as_stored_whether_0_is_white_or_black(tmp_path):
    (tmp_path / "a.tif").write_bytes(lzw_tiff(IMAGE[..., :1], tag262=0))
    np.testing.assert_array_equal(decode_tiff(tmp_path / "a.tif")[0], IMAGE[..., :1])


@pytest.mark.parametrize(
    "content", [lzw_tiff(IMAGE.astype(np.uint16) * 300), lzw_tiff(IMAGE, tag274=3)], ids=["16-bit RGB", "turned"]
)
def test_layout_that_pillow_would_change_is_refused(tmp_path, content):
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(
        Unreadable,
        match=r"^is compressed with LZW in a layout that cannot be read without loss; "
        r"save it without compression or with Deflate \(zip\)\.$",
    ):
        decode_tiff(tmp_path / "a.tif")
