import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import zarrs

from tinyunet.data.header import Geometry, Header
from tinyunet.data.masks import read_mask
from tinyunet.data.readers import read_header, read_image
from tinyunet.data.zarrarray import files_inside
from tinyunet.data.zarrfile import Axis, decode_zarr, zarr_axes, zarr_header
from tinyunet.errors import DataError

VOLUME = np.random.default_rng(0).integers(0, 2**16, (4, 5, 7, 2)).astype(np.uint16)  # z, y, x, c
VERSIONS = pytest.mark.parametrize("version", [2, 3])


def refusal(path, axes=""):
    """What both readers say."""
    lines = []
    for read in (read_header, read_image):
        with pytest.raises(DataError) as caught:
            read(path, axes=axes)
        lines.append(str(caught.value))
    assert lines[0] == lines[1]
    assert "\n" not in lines[0]
    return lines[0].removeprefix(f"{path} ")


LAYOUTS = {
    "zyx": (VOLUME[..., 0], VOLUME[..., :1]),
    "czyx": (VOLUME.transpose(3, 0, 1, 2), VOLUME),
    "tczyx": (VOLUME.transpose(3, 0, 1, 2)[None], VOLUME),
    "tzyx": (VOLUME[None, ..., 0], VOLUME[..., :1]),
    "yx": (VOLUME[0, ..., 0], VOLUME[0, ..., :1]),
    "cyx": (VOLUME[0].transpose(2, 0, 1), VOLUME[0]),
    "tcyx": (VOLUME[0].transpose(2, 0, 1)[None], VOLUME[0]),
}


@VERSIONS
@pytest.mark.parametrize("axes", LAYOUTS)
def test_the_finest_level_with_its_axes_and_scale(tmp_path, version, axes):
    stored, wanted = LAYOUTS[axes]
    scales = {"t": 60.0, "c": 1.0, "z": 2.0, "y": 0.5, "x": 0.25}
    path = tmp_path / "a.ome.zarr"
    zarrs.write_image(path, stored, axes, [scales[axis] for axis in axes], version=version)
    np.testing.assert_array_equal(decode_zarr(path)[0], wanted)
    geometry = Geometry(tuple(scales[axis] for axis in "zyx" if axis in axes))
    assert zarr_header(path) == Header(wanted.shape[:-1], wanted.shape[-1], "uint16", geometry)
    assert read_header(path) == zarr_header(path)
    np.testing.assert_array_equal(read_image(path), wanted)


@VERSIONS
def test_one_slice_of_five_axes_is_an_image_unless_volumes_are_declared(tmp_path, version):
    path = zarrs.write_image(tmp_path / "a.zarr", VOLUME[None, :1, :, :, 0][None], "tczyx", version=version)
    assert read_image(path).shape == (5, 7, 1)
    assert read_header(path).shape == (5, 7)
    assert read_image(path, axes="zyx").shape == (1, 5, 7, 1)
    assert read_header(path, axes="zyx").shape == (1, 5, 7)


@VERSIONS
@pytest.mark.parametrize(
    ("axes", "stored", "wanted"),
    [
        ("", VOLUME[0], VOLUME[0]),
        ("", VOLUME[0, ..., 0], VOLUME[0, ..., :1]),
        ("zyx", VOLUME[..., 0], VOLUME[..., :1]),
        ("czyx", VOLUME.transpose(3, 0, 1, 2), VOLUME),
        ("czyx", VOLUME[..., 0], VOLUME[..., :1]),
    ],
)
def test_plain_arrays_as_declared(tmp_path, version, axes, stored, wanted):
    path = zarrs.write_array(tmp_path / "a.zarr", stored, version=version)
    np.testing.assert_array_equal(read_image(path, axes=axes), wanted)
    assert read_header(path, axes=axes) == Header(wanted.shape[:-1], wanted.shape[-1], "uint16")


def test_plain_arrays_of_version_3_may_name_their_axes(tmp_path):
    path = zarrs.write_array(tmp_path / "a.zarr", VOLUME[..., 0], version=3, dimension_names=["z", "y", "x"])
    assert read_image(path).shape == (4, 5, 7, 1)
    path = zarrs.write_array(tmp_path / "b.zarr", VOLUME[0], version=3, dimension_names=["row", None, "c"])
    assert read_image(path).shape == (5, 7, 2)


@VERSIONS
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint32", "float32", "float64", ">u2"])
def test_values_are_as_stored(tmp_path, version, dtype):
    if version == 3 and dtype == ">u2":
        dtype = "uint16"
    array = (VOLUME[0, ..., 0] % 2).astype(dtype)
    path = zarrs.write_array(tmp_path / "a.zarr", array, version=version)
    image = read_image(path)
    np.testing.assert_array_equal(image[..., 0], array.astype(np.uint8) * 255 if dtype == "bool" else array)
    assert image.dtype == (np.uint8 if dtype == "bool" else np.dtype(dtype).newbyteorder("="))
    assert read_header(path).dtype == image.dtype.name


COMPRESSORS = [None, {"id": "zlib", "level": 1}, {"id": "zstd", "level": 1}, {"id": "blosc", "cname": "lz4"}]


@pytest.mark.parametrize("compressor", COMPRESSORS)
@pytest.mark.parametrize("order", "CF")
def test_layouts_that_zarr_python_2_writes(tmp_path, compressor, order):
    if compressor and compressor["id"] == "blosc":
        compressor = {**compressor, "clevel": 5, "shuffle": 1, "blocksize": 0}
    path = zarrs.write_array(tmp_path / "a.zarr", VOLUME[0], version=2, compressor=compressor, order=order)
    np.testing.assert_array_equal(read_image(path), VOLUME[0])


def test_shards_are_read(tmp_path):
    path = zarrs.write_array(tmp_path / "a.zarr", VOLUME[0], version=3, chunk=2, shard=2)
    np.testing.assert_array_equal(read_image(path), VOLUME[0])


@VERSIONS
def test_labels_are_such_folders_too(tmp_path, version):
    labels = (VOLUME[..., 0] % 3).astype(np.uint8)
    path = zarrs.write_image(tmp_path / "a.zarr", labels, "zyx", version=version)
    mask = read_mask(path)
    np.testing.assert_array_equal(mask.values, labels)
    assert mask.kind == "ids"


def group(path, change, *, version=2):
    """Writes metadata that are changed."""
    image = zarrs.multiscale("zyx", [2.0, 0.5, 0.5])
    change(image)
    zarrs.write_group(path, image, version=version)
    return path


@VERSIONS
def test_scales_of_all_levels_count_too(tmp_path, version):
    path = zarrs.write_image(tmp_path / "a.zarr", VOLUME[..., 0], "zyx", version=version)
    more = {"coordinateTransformations": [{"type": "scale", "scale": [10, 10, 10]}]}
    group(path, lambda image: image.update(more), version=version)
    assert read_header(path).geometry == Geometry((20.0, 5.0, 5.0))
    assert zarr_axes(path) == tuple(
        Axis(letter, "micrometer", size) for letter, size in zip("zyx", (20, 5, 5), strict=True)
    )


@pytest.mark.parametrize(
    ("units", "scale", "spacing"),
    [
        ({"z": "nanometer", "y": "micrometer", "x": "millimeter"}, [500, 1, 0.002], (0.5, 1.0, 2.0)),
        ({}, [2, 1, 1], (2.0, 1.0, 1.0)),
        ({}, [1, 1, 1], None),  # as those write it who say nothing
        ({"z": "furlong", "y": "micrometer", "x": "micrometer"}, [2, 1, 1], None),
        (zarrs.UNITS, [1, 1, 1], (1.0, 1.0, 1.0)),
        (zarrs.UNITS, [0, 1, 1], None),
        (zarrs.UNITS, [-1, 1, 1], None),
        (zarrs.UNITS, [float("nan"), 1, 1], None),
    ],
)
def test_units_differ_between_axes(tmp_path, units, scale, spacing):
    path = zarrs.write_image(tmp_path / "a.zarr", VOLUME[..., 0], "zyx", scale, version=3, units=units)
    found = read_header(path).geometry
    assert (found and found.spacing) == (None if spacing is None else pytest.approx(spacing))


def test_axes_of_the_first_versions(tmp_path):
    path = zarrs.write_image(tmp_path / "a.zarr", VOLUME.transpose(3, 0, 1, 2)[None], "tczyx", version=2)
    for axes in ([*"tczyx"], None):  # 0.3, 0.1
        image = {"datasets": [{"path": "0"}], **({"axes": axes} if axes else {})}
        zarrs.write_group(path, image, version=2)
        np.testing.assert_array_equal(read_image(path), VOLUME)


@VERSIONS
def test_a_time_series_is_refused(tmp_path, version):
    path = zarrs.write_image(tmp_path / "a.zarr", VOLUME[..., 0], "tyx", version=version)
    assert refusal(path) == "is a time series of 4 images; save one image per folder."


REFUSED = {
    "is a group of zarr without an image of OME-Zarr; give the folder of one image.": lambda image: image.clear(),
    "has metadata whose 'datasets' are empty.": lambda image: image.update(datasets=[]),
    "has metadata with 'None' where a list must stand.": lambda image: image.pop("datasets"),
    "names 2 axes of an array of 3.": lambda image: image["axes"].pop(),
    "names 0 axes of an array of 3.": lambda image: image.update(axes=3),
    "has the axes 'z, y, y', of which only t, c, z, y and x are read, each once.": lambda image: image["axes"][
        2
    ].update(name="y"),
    "has the axes 'a, y, x', of which only t, c, z, y and x are read, each once.": lambda image: image["axes"][
        0
    ].update(name="a"),
    "has metadata with 'None' where a name must stand.": lambda image: image["axes"][0].pop("name"),
    "has metadata with '[1]' where 3 numbers must stand.": lambda image: image["datasets"][0].update(
        coordinateTransformations=[{"type": "scale", "scale": [1]}]
    ),
    "names the array '../b.zarr/0', which may lie elsewhere; copy it with links followed.": lambda image: image[
        "datasets"
    ][0].update(path="../b.zarr/0"),
    "lacks the array '7' that its metadata name: the copy is incomplete. Copy it again.": lambda image: image[
        "datasets"
    ][0].update(path="7"),
}


@VERSIONS
@pytest.mark.parametrize("message", REFUSED)
def test_metadata_that_cannot_be_read(tmp_path, version, message):
    path = zarrs.write_image(tmp_path / "a.zarr", VOLUME[..., 0], "zyx", version=version)
    zarrs.write_image(tmp_path / "b.zarr", VOLUME[..., 0], "zyx", version=version)
    if message.startswith("is a group"):
        zarrs.write_group(path, None, version=version)
    else:
        group(path, REFUSED[message], version=version)
    assert refusal(path) == message


def test_folders_that_are_no_images(tmp_path):
    path = tmp_path / "a.zarr"
    assert refusal(path) == "does not exist."
    path.mkdir()
    assert refusal(path) == (
        "holds neither zarr.json nor .zarray nor .zattrs: it is no zarr folder, or its copy is incomplete."
    )
    (path / ".zgroup").write_text("{}")
    assert refusal(path) == "is a group of zarr without an image of OME-Zarr; give the folder of one image."
    path = tmp_path / "b.zarr"
    path.write_bytes(b"zip")
    assert refusal(path) == "is not a folder, as those of zarr are."


@VERSIONS
def test_a_chunk_that_is_missing_is_named(tmp_path, version):
    path = zarrs.write_image(tmp_path / "a.zarr", VOLUME[..., 0], "zyx", version=version)
    key = "0/1/0/2" if version == 2 else "0/c/1/0/2"
    (path / key).unlink()
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert str(caught.value) == (
        f"{path} lacks the chunk {key}: the copy is incomplete. Copy it again; if its writer leaves out chunks that "
        "are empty, write it with all of them (write_empty_chunks=True)."
    )


@pytest.mark.parametrize("shape", [[2**20, 2**20, 5], [0, 5, 7], [2**70, 5, 7]])
def test_sizes_that_are_not_read(tmp_path, shape):
    path = zarrs.write_image(tmp_path / "a.zarr", VOLUME[..., 0], "zyx", version=2)
    about = json.loads((path / "0" / ".zarray").read_text())
    (path / "0" / ".zarray").write_text(json.dumps({**about, "shape": shape}))
    assert re.match("claims .* pixels, more than the|has no pixels: its size is 0 x 5 x 7 x 1", refusal(path))


def test_chunks_larger_than_any_image(tmp_path):
    path = zarrs.write_array(tmp_path / "a.zarr", VOLUME[..., 0], version=2)
    about = json.loads((path / ".zarray").read_text())
    (path / ".zarray").write_text(json.dumps({**about, "chunks": [2**20, 2**20, 3]}))
    assert refusal(path) == "claims chunks of 1048576 x 1048576 x 3 pixels, more than are read; make them smaller."


@given(data=st.data(), version=st.sampled_from([2, 3]))
def test_a_damaged_folder_is_read_or_refused_in_one_line(tmp_path_factory, data, version):
    path = tmp_path_factory.mktemp("damaged") / "a.zarr"
    zarrs.write_image(path, VOLUME[:3, :4, :5, 0], "zyx", version=version, chunk=4)
    file = data.draw(st.sampled_from([*files_inside(path).values()]))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content))) if data.draw(st.booleans()) else None])
    message = None
    try:
        image = read_image(path)
    except DataError as error:
        message = str(error)
    if message is None:
        assert image.ndim in (3, 4)
    else:
        assert re.fullmatch(rf"{re.escape(str(path))} [^\n]*\.", message)


def test_paths_may_be_relative_and_hold_what_an_address_may_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = zarrs.write_image(tmp_path / "a b%20?#é.zarr", VOLUME[..., 0], "zyx", version=2).relative_to(tmp_path)
    np.testing.assert_array_equal(read_image(path), VOLUME[..., :1])
