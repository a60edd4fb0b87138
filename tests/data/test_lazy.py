"""What is read part by part is what `read_image` reads."""

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from reference import zarrs

from tinyunet.data.lazy import open_lazily
from tinyunet.data.readers import read_header, read_image
from tinyunet.errors import DataError

IMAGE = np.random.default_rng(0).integers(0, 2**16, (37, 41, 3)).astype(np.uint16)
VOLUME = np.random.default_rng(1).integers(0, 2**16, (5, 19, 23)).astype(np.uint16)


def write_tiff(path, array=IMAGE[..., 0], **options):
    tifffile.imwrite(path, array, **options)


def write_pyramid(path):
    with tifffile.TiffWriter(path) as tif:
        tif.write(IMAGE, photometric="rgb", tile=(16, 16), compression="zlib", subifds=1)
        tif.write(IMAGE[::2, ::2], photometric="rgb", tile=(16, 16), compression="zlib", subfiletype=1)


def save_in_order(path, array, order):
    np.save(path, np.asarray(array, order=order))


def write_by_pillow(path, array, **options):
    """In strips, with a compression that tifffile alone does not know."""
    Image.fromarray(array).save(path, tiffinfo={278: 8}, **options)


BYTES = (IMAGE >> 8).astype(np.uint8)
FILES = {
    "lzw.tif": lambda path: write_by_pillow(path, BYTES, compression="tiff_lzw"),
    "lzw_16.tif": lambda path: write_by_pillow(path, IMAGE[..., 0], compression="tiff_lzw"),
    "jpeg.tif": lambda path: write_by_pillow(path, BYTES, compression="jpeg"),
    "contiguous.tif": lambda path: write_tiff(path),
    "big.tif": lambda path: write_tiff(path, bigtiff=True, byteorder=">"),
    "tiles.tif": lambda path: write_tiff(path, IMAGE, photometric="rgb", tile=(16, 32), compression="zlib"),
    "predicted.tif": lambda path: write_tiff(path, tile=(16, 16), compression="zlib", predictor=True),
    "strips.tif": lambda path: write_tiff(path, rowsperstrip=5, compression="zlib"),
    "packed.tif": lambda path: write_by_pillow(path, BYTES, compression="packbits"),
    "planes.tif": lambda path: write_tiff(
        path, IMAGE.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", rowsperstrip=4, compression="zlib"
    ),
    "float.tif": lambda path: write_tiff(path, IMAGE[..., 0].astype(np.float32), rowsperstrip=8, compression="zlib"),
    "pyramid.tif": write_pyramid,
    "volume.tif": lambda path: write_tiff(path, VOLUME, ome=True, tile=(16, 16), compression="zlib"),
    "contiguous_volume.tif": lambda path: write_tiff(path, VOLUME, imagej=True, metadata={"axes": "ZYX"}),
    "channels.tif": lambda path: write_tiff(
        path, VOLUME[:2], ome=True, metadata={"axes": "CYX"}, rowsperstrip=3, compression="zlib"
    ),
    "sparse.tif": lambda path: write_tiff(path, np.zeros((40, 40), np.uint8), tile=(16, 16), compression="zlib"),
    "a.npy": lambda path: np.save(path, IMAGE),
    "fortran.npy": lambda path: save_in_order(path, IMAGE, "F"),
    "bool.npy": lambda path: np.save(path, IMAGE[..., 0] > 2**15),
    "big_end.npy": lambda path: np.save(path, IMAGE[..., 0].astype(">f4")),
    "v2.zarr": lambda path: zarrs.write_image(path, VOLUME, "zyx", version=2),
    "v3.zarr": lambda path: zarrs.write_image(path, IMAGE.transpose(2, 0, 1)[None], "tcyx", version=3),
    "shards.zarr": lambda path: zarrs.write_array(path, IMAGE[..., 0], version=3, chunk=5, shard=3),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lazy")
    for name, write in FILES.items():
        write(folder / name)
    return folder


def axes_of(name):
    return "yx" if name == "shards.zarr" else ""


@pytest.mark.parametrize("name", FILES)
def test_all_of_it_is_what_is_read_whole(folder, name):
    whole = read_image(folder / name, axes=axes_of(name))
    with open_lazily(folder / name, axes=axes_of(name)) as image:
        assert image.header == read_header(folder / name, axes=axes_of(name))
        assert (image.shape, image.dtype) == (whole.shape, whole.dtype)
        found = image[tuple(slice(0, size) for size in image.shape[:-1])]
    assert found.dtype == whole.dtype
    np.testing.assert_array_equal(found, whole)


@given(name=st.sampled_from(list(FILES)), data=st.data())
def test_parts_are_parts_of_what_is_read_whole(folder, name, data):
    whole = read_image(folder / name, axes=axes_of(name))
    with open_lazily(folder / name, axes=axes_of(name)) as image:
        for _ in range(3):
            starts = [data.draw(st.integers(0, size - 1)) for size in whole.shape[:-1]]
            stops = [data.draw(st.integers(a + 1, n)) for a, n in zip(starts, whole.shape[:-1], strict=True)]
            key = tuple(slice(*ends) for ends in zip(starts, stops, strict=True))
            np.testing.assert_array_equal(image[key], whole[key])


def test_what_is_read_as_a_whole_only(tmp_path):
    Image.fromarray(IMAGE[..., 0].astype(np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(IMAGE[..., 0].astype(np.uint8)).convert("P").save(tmp_path / "palette.tif")
    for name in ("a.png", "palette.tif"):
        with open_lazily(tmp_path / name) as image:
            assert image is None


def test_numbers_that_are_none_are_named_by_their_place(tmp_path):
    array = np.zeros((9, 8), np.float32)
    array[7, 3] = np.nan
    np.save(tmp_path / "a.npy", array)
    with open_lazily(tmp_path / "a.npy") as image:
        assert not image[slice(0, 7), slice(0, 8)].any()
        with pytest.raises(DataError) as caught:
            image[slice(5, 9), slice(2, 8)]
    assert str(caught.value) == (
        f"{tmp_path}/a.npy holds pixels that are NaN, infinite or beyond float32, such as that at row 7, column 3; "
        "give them a finite value."
    )


def damaged_tiff(path):
    write_tiff(path, tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages[0].dataoffsets[4], tif.pages[0].databytecounts[4]
    content = bytearray(path.read_bytes())
    content[offset : offset + count] = bytes(count)
    path.write_bytes(content)
    return "rows 16 to 31, columns 16 to 31"


def damaged_zarr(path):
    zarrs.write_array(path, IMAGE[..., 0], version=3, chunk=16, dimension_names=["y", "x"])
    (path / "c/1/1").write_bytes(b"no chunk")
    return "rows 16 to 31, columns 16 to 31"


def missing_chunk(path):
    damaged_zarr(path)
    (path / "c/1/1").unlink()
    return "rows 16 to 31, columns 16 to 31"


def linked_chunk(path):
    damaged_zarr(path)
    (path / "c/1/1").unlink()
    (path / "c/1/1").symlink_to(path / "c/0/0")
    return "rows 16 to 31, columns 16 to 31"


@pytest.mark.parametrize("damage", [damaged_tiff, damaged_zarr, missing_chunk, linked_chunk])
def test_damage_in_the_middle_is_named_by_its_place_or_filled(tmp_path, damage):
    path = tmp_path / ("a.tif" if damage is damaged_tiff else "a.zarr")
    place = damage(path)
    everything = (slice(0, 37), slice(0, 41))
    with open_lazily(path) as image:
        np.testing.assert_array_equal(image[slice(0, 16), slice(0, 41)], IMAGE[:16, :, :1])
        with pytest.raises(DataError) as caught:
            image[everything]
    said = str(caught.value)
    assert said.startswith(f"{path} cannot be decoded in {place}: ")
    assert said.endswith(
        "It is damaged or cut off: copy or export it again. Or go on without that part by --on-error fill."
    )
    assert "\n" not in said
    expected = IMAGE[..., :1].copy()
    expected[16:32, 16:32] = 0
    with open_lazily(path, on_error="fill") as image:
        for key in (everything, (slice(20, 30), slice(10, 20))):
            np.testing.assert_array_equal(image[key], expected[key])
        assert image.damaged == [place]


def test_what_is_filled_in_is_opaque(tmp_path):
    array = np.full((32, 32, 4), 255, np.uint8)
    write_tiff(tmp_path / "a.tif", array, photometric="rgb", extrasamples=["unassalpha"], tile=(16, 16), compression=8)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        offset = tif.pages[0].dataoffsets[1]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[offset : offset + 8] = bytes(8)
    (tmp_path / "a.tif").write_bytes(content)
    with open_lazily(tmp_path / "a.tif", on_error="fill") as image:
        found = image[slice(4, 32), slice(8, 32)]
    assert (found[..., 3] == 255).all()
    assert not found[:12, 8:, :3].any()


def test_a_file_that_ends_before_its_pixels_do(tmp_path):
    write_tiff(tmp_path / "a.tif")
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    with (
        pytest.raises(DataError, match=r"a\.tif is cut off: it ends before its pixels do"),
        open_lazily(tmp_path / "a.tif"),
    ):
        pass


def test_images_that_no_memory_holds_may_be_read_in_parts(tmp_path):
    """The size in a header is no reason to refuse, as it is where all pixels are to be read."""
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (70000, 70000)})
        file.truncate(file.tell() + 70000**2)
    with pytest.raises(DataError, match="claims 70000 x 70000 pixels"):
        read_image(path)
    with open_lazily(path) as image:
        assert image[slice(69998, 70000), slice(5, 8)].shape == (2, 3, 1)
