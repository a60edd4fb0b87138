"""OME-Zarr with levels: what other programs are promised about its files, and that they find it so."""

import json

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyunet.data import pyramid
from tinyunet.data.header import Unreadable
from tinyunet.data.pyramid import encode_zarr, in_portions, level_factors
from tinyunet.data.zarrarray import files_inside
from tinyunet.data.zarrfile import Axis, decode_zarr, zarr_axes, zarr_version

VOLUME = np.random.default_rng(0).integers(0, 2**16, (4, 5, 7, 2)).astype(np.uint16)  # z, y, x, c
PIXELS = {"yx": VOLUME[0, ..., 0], "zyx": VOLUME[..., 0], "cyx": VOLUME[0], "czyx": VOLUME}


def write(folder, pixels, axes="yx", *, portions=3, version="0.5", chunk=3, **more):
    """Writes pixels, channels last, a few rows at a time."""
    folder.mkdir()
    about = tuple(Axis(letter, "" if letter == "c" else "nanometer", k + 1.0, 2.0 * k) for k, letter in enumerate(axes))
    chunks = None if chunk is None else (chunk,) * len(axes.removeprefix("c"))
    rows = in_portions([pixels], portions)
    options = {"shape": pixels.shape, "dtype": pixels.dtype, "chunks": chunks, "version": version, **more}
    encode_zarr(folder, rows, about, **options)
    return about


def image_of(folder, version):
    """The metadata of the image, where the version puts them."""
    if version == "0.4":
        return json.loads((folder / ".zattrs").read_text())["multiscales"][0]
    return json.loads((folder / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", PIXELS)
def test_what_is_encoded_is_decoded(tmp_path, axes, version):
    path = tmp_path / "a.zarr"
    about = write(path, PIXELS[axes], axes, version=version, name="a")
    assert zarr_axes(path) == about
    assert zarr_version(path) == version
    wanted = PIXELS[axes] if "c" in axes else PIXELS[axes][..., None]
    np.testing.assert_array_equal(decode_zarr(path)[0], wanted)
    assert image_of(path, version)["name"] == "a"


def test_empty_chunks_are_written_too(tmp_path):
    write(tmp_path / "a", np.zeros((4, 4), np.uint8), chunk=2)
    inside = [*files_inside(tmp_path / "a")]
    assert inside == ["0/c/0/0", "0/c/0/1", "0/c/1/0", "0/c/1/1", "0/zarr.json", "zarr.json"]
    (tmp_path / "a/0/c/1/0").unlink()
    with pytest.raises(Unreadable, match="lacks the chunk 0/c/1/0"):
        decode_zarr(tmp_path / "a")


def test_levels_by_hand(monkeypatch):
    monkeypatch.setattr(pyramid, "SMALLEST_LEVEL", 4)
    assert level_factors((4, 4)) == [(1, 1)]
    assert level_factors((5, 16)) == [(1, 1), (2, 2), (2, 4)]


@settings(max_examples=10)
@given(height=st.integers(1, 30), width=st.integers(1, 30), portions=st.integers(1, 9), chunk=st.integers(1, 7))
def test_every_level_holds_every_other_value_of_the_level_above(tmp_path_factory, height, width, portions, chunk):
    folder = tmp_path_factory.mktemp("levels") / "a"
    pixels = np.arange(height * width, dtype=np.uint16).reshape(height, width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramid, "SMALLEST_LEVEL", 4)
        write(folder, pixels, portions=portions, chunk=chunk)
        factors = level_factors(pixels.shape)
    for number, (down, across) in enumerate(factors):
        level, _ = decode_zarr(folder / str(number), "yx")
        np.testing.assert_array_equal(level[..., 0], pixels[::down, ::across])
        assert max(level.shape) <= 4 or number < len(factors) - 1


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["yx", "czyx"])
def test_zarr_python_reads_levels_with_their_scales(tmp_path, axes, version, monkeypatch):
    """Another library's reader, going by the metadata alone."""
    monkeypatch.setattr(pyramid, "SMALLEST_LEVEL", 3)
    path = tmp_path / "a.zarr"
    about = write(path, PIXELS[axes], axes, version=version)
    group = zarr.open_group(path, mode="r")
    attributes = dict(group.attrs)
    image = (attributes["ome"] if version == "0.5" else attributes)["multiscales"][0]
    assert (attributes["ome"]["version"] if version == "0.5" else image["version"]) == version
    stored = np.moveaxis(PIXELS[axes], -1, 0) if "c" in axes else PIXELS[axes]
    assert len(image["datasets"]) > 1
    for level in image["datasets"]:
        array = group[level["path"]]
        scale, shift = (one for one in level["coordinateTransformations"])
        factors = [int(a / axis.scale) for a, axis in zip(scale["scale"], about, strict=True)]
        assert shift["translation"] == [axis.shift for axis in about]
        np.testing.assert_array_equal(array[:], stored[tuple(slice(None, None, f) for f in factors)])
        if version == "0.5":
            assert array.metadata.dimension_names == tuple(axes)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", PIXELS)
def test_the_metadata_keep_the_rules_of_the_specification(tmp_path, axes, version, monkeypatch):
    """Section "multiscales" of OME-NGFF 0.4 and 0.5, rule by rule."""
    monkeypatch.setattr(pyramid, "SMALLEST_LEVEL", 3)
    path = tmp_path / "a.zarr"
    write(path, PIXELS[axes], axes, version=version)
    image = image_of(path, version)
    kinds = [axis["type"] for axis in image["axes"]]
    assert 2 <= len(image["axes"]) <= 5
    assert 2 <= kinds.count("space") <= 3
    assert kinds == sorted(kinds, key=["time", "channel", "space"].index)
    assert len({axis["name"] for axis in image["axes"]}) == len(image["axes"])
    assert [axis["name"] for axis in image["axes"]] == [*axes]
    assert all(axis.get("unit", "nanometer") == "nanometer" for axis in image["axes"])
    sizes = []
    for level in image["datasets"]:
        names = ["zarr.json"] if version == "0.5" else [".zarray"]
        about = json.loads((path / level["path"] / names[0]).read_text())
        sizes.append(about["shape"])
        assert len(about["shape"]) == len(image["axes"])
        if version == "0.5":
            assert about["dimension_names"] == [*axes]
        else:
            assert about["dimension_separator"] == "/"
        transformations = level["coordinateTransformations"]
        assert [one["type"] for one in transformations] == ["scale", "translation"]
        assert all(len(one[one["type"]]) == len(axes) for one in transformations)
    assert sizes == sorted(sizes, reverse=True)  # from the largest to the smallest
    group = json.loads((path / ("zarr.json" if version == "0.5" else ".zgroup")).read_text())
    assert group["zarr_format"] == (3 if version == "0.5" else 2)
