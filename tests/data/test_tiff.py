import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from tinyunet.data.header import Geometry, Header, Unreadable
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


STACK = np.arange(7 * 4 * 5, dtype=np.uint8).reshape(7, 4, 5)
CHANNELS = np.arange(7 * 2 * 4 * 5, dtype=np.uint16).reshape(7, 2, 4, 5)  # z, c, y, x


def read(path, axes=""):
    """The pixels, which are what the header says."""
    array, _ = decode_tiff(path, axes)
    header = tiff_header(path, axes)
    assert (*header.shape, header.channels) == array.shape
    assert header.dtype == array.dtype.name
    return array, header.geometry


def write_ome(path, array, axes, **metadata):
    tifffile.imwrite(path, array, ome=True, photometric="minisblack", metadata={"axes": axes, **metadata})
    return path


def write_imagej(path, array, axes, **metadata):
    tifffile.imwrite(path, array, imagej=True, resolution=(4.0, 2.0), metadata={"axes": axes, **metadata})
    return path


def sizes(z=None, y=None, x=None, unit="µm"):
    given = {"Z": z, "Y": y, "X": x}
    table = {f"PhysicalSize{axis}": size for axis, size in given.items() if size is not None}
    return table | {f"{name}Unit": unit for name in table}


def test_slices_named_by_ome_are_a_volume_with_its_spacing(tmp_path):
    array, geometry = read(write_ome(tmp_path / "a.tif", STACK, "ZYX", **sizes(2.0, 0.5, 0.25)))
    np.testing.assert_array_equal(array[..., 0], STACK)
    assert geometry == Geometry((2.0, 0.5, 0.25))


def test_slices_named_by_imagej_are_a_volume_with_its_spacing(tmp_path):
    array, geometry = read(write_imagej(tmp_path / "a.tif", STACK, "ZYX", spacing=3.0, unit="micron"))
    np.testing.assert_array_equal(array[..., 0], STACK)
    assert geometry == Geometry((3.0, 0.5, 0.25))


@pytest.mark.parametrize("write", [write_ome, write_imagej])
def test_channels_of_a_volume_come_last(tmp_path, write):
    array, _ = read(write(tmp_path / "a.tif", CHANNELS, "ZCYX"))
    np.testing.assert_array_equal(array, CHANNELS.transpose(0, 2, 3, 1))


def test_slices_in_colour(tmp_path):
    stack = np.stack([IMAGE, IMAGE[::-1]])
    tifffile.imwrite(tmp_path / "a.tif", stack, ome=True, photometric="rgb", metadata={"axes": "ZYXS"})
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0], stack)


@pytest.mark.parametrize(
    ("units", "spacing"),
    [
        ({"Z": "nm", "Y": "µm", "X": "mm"}, (0.002, 0.5, 250.0)),
        ({"Z": "µm", "Y": "&#181;m", "X": "um"}, (2.0, 0.5, 0.25)),
        ({"Z": "pixel", "Y": "µm", "X": "µm"}, None),
        ({"Z": "reference frame", "Y": "µm", "X": "µm"}, None),
        ({"Y": "nm"}, (2.0, 0.0005, 0.25)),  # micrometres where none is given
    ],
)
def test_units_of_ome_may_differ_between_axes(tmp_path, units, spacing):
    text = tifffile.OmeXml()
    text.addimage("uint8", STACK.shape, (7, 1, 1, 4, 5, 1), axes="ZYX")
    more = {"PhysicalSizeZ": 2.0, "PhysicalSizeY": 0.5, "PhysicalSizeX": 0.25}
    more |= {f"PhysicalSize{axis}Unit": unit for axis, unit in units.items()}
    attributes = " ".join(f'{name}="{value}"' for name, value in more.items())
    described = text.tostring().replace("<Pixels ", f"<Pixels {attributes} ").encode()
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack", description=described, metadata=None)
    geometry = read(tmp_path / "a.tif")[1]
    assert (geometry and geometry.spacing) == (spacing and pytest.approx(spacing))


@pytest.mark.parametrize(
    ("metadata", "spacing"),
    [
        ({"spacing": 3.0, "unit": "nm"}, (0.003, 0.0005, 0.00025)),
        ({"spacing": 3.0, "unit": "\\u00B5m"}, (3.0, 0.5, 0.25)),
        ({"spacing": 3.0, "unit": "micron", "yunit": "mm", "zunit": "nm"}, (0.003, 500.0, 0.25)),
        ({"spacing": 3.0, "unit": "pixel"}, None),
        ({"spacing": 3.0}, None),
        ({"unit": "um"}, None),
        ({"spacing": -3.0, "unit": "um"}, None),
        ({"spacing": "nan", "unit": "um"}, None),
        ({"spacing": "9" * 400, "unit": "um"}, None),
        ({"spacing": "one", "unit": 3}, None),
    ],
)
def test_units_of_imagej(tmp_path, metadata, spacing):
    geometry = read(write_imagej(tmp_path / "a.tif", STACK, "ZYX", **metadata))[1]
    assert (geometry and geometry.spacing) == (spacing and pytest.approx(spacing))


def test_images_have_a_size_of_a_pixel_too(tmp_path):
    assert read(write_ome(tmp_path / "a.tif", STACK[0], "YX", **sizes(y=0.5, x=0.25)))[1] == Geometry((0.5, 0.25))
    assert read(write_ome(tmp_path / "b.tif", STACK[0], "YX", **sizes(x=0.25)))[1] is None
    assert read(write_ome(tmp_path / "c.tif", STACK, "ZYX", **sizes(y=0.5, x=0.25)))[1] is None


@pytest.mark.parametrize(
    "hostile",
    [
        "<Pixels " * 20_000,
        "<Pixels " + "a" * 200_000,
        "<Pixels " + 'PhysicalSizeX="' * 10_000 + ">",
        '<Pixels PhysicalSizeX="1e999999" PhysicalSizeY="-" PhysicalSizeYUnit="&#x110000;">',
    ],
    ids=["many", "long", "quotes", "numbers"],
)
def test_hostile_metadata_neither_crash_nor_hang(tmp_path, hostile):
    text = f"<?xml version='1.0'?><OME>{hostile}</OME>"
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], description=text.encode(), metadata=None)
    array, geometry = decode_tiff(tmp_path / "a.tif")[0], tiff_header(tmp_path / "a.tif").geometry
    np.testing.assert_array_equal(array[..., 0], STACK[0])
    assert geometry is None


@pytest.mark.parametrize("metadata", [None, {}], ids=["plain", "by tifffile"])
def test_pages_that_nothing_names_are_what_is_declared(tmp_path, metadata):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", metadata=metadata)
    for axes in ("", "yx"):
        with pytest.raises(Unreadable, match=r'^holds 7 pages \(axes [IQ]YX\), .* a stack set axes = "zyx"'):
            tiff_header(path, axes)
    for axes in ("zyx", "czyx", "zyxc"):  # of which the last two have one axis less, as masks have
        np.testing.assert_array_equal(read(path, axes)[0], STACK[..., None])
    for axes in ("cyx", "yxc"):
        np.testing.assert_array_equal(read(path, axes)[0], STACK.transpose(1, 2, 0))


def test_pages_of_two_axes_that_nothing_names(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", CHANNELS, photometric="minisblack")
    np.testing.assert_array_equal(read(tmp_path / "a.tif", "zcyx")[0], CHANNELS.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(read(tmp_path / "a.tif", "czyx")[0], CHANNELS.transpose(1, 2, 3, 0))
    with pytest.raises(Unreadable, match=r"^holds 14 pages \(axes QQYX\)"):
        tiff_header(tmp_path / "a.tif", "zyx")


@pytest.mark.parametrize("slices", [3, 4])
def test_a_few_slices_are_not_taken_for_colours_where_volumes_are_declared(tmp_path, slices):
    tifffile.imwrite(tmp_path / "a.tif", STACK[:slices], photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read(tmp_path / "a.tif", "zyx")[0], STACK[:slices, ..., None])
    np.testing.assert_array_equal(read(tmp_path / "a.tif")[0], STACK[:slices].transpose(1, 2, 0))


def test_what_a_file_names_wins_over_what_is_declared(tmp_path):
    np.testing.assert_array_equal(read(write_ome(tmp_path / "a.tif", STACK, "ZYX"), "cyx")[0], STACK[..., None])


@pytest.mark.parametrize("write", [write_ome, write_imagej])
@pytest.mark.parametrize("axes", ["", "zyx"])
def test_a_time_series_is_refused(tmp_path, write, axes):
    path = write(tmp_path / "a.tif", STACK, "TYX")
    for function in (tiff_header, decode_tiff):
        with pytest.raises(Unreadable) as caught:
            function(path, axes)
        assert str(caught.value) == (
            "is a time series of 7 images (axes TYX); save one image per file, or name its pages as slices (in ImageJ: "
            "Image, Properties)."
        )


def test_axes_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(
        Unreadable, match=r"^has the axes HYX, of which only z, y, x and one of channels are read\. Save"
    ):
        tiff_header(write_ome(tmp_path / "a.tif", STACK, "HYX"), "zyx")


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
@pytest.mark.parametrize("array", [STACK, CHANNELS[:, 0] * 300, np.stack([IMAGE, IMAGE[::-1]])])
def test_stacks_of_any_compression_are_read(tmp_path, compression, array):
    first, *others = (Image.fromarray(page) for page in array)
    first.save(tmp_path / "a.tif", compression=compression, save_all=True, append_images=others)
    np.testing.assert_array_equal(read(tmp_path / "a.tif", "zyx")[0], array.reshape(*array.shape[:3], -1))
