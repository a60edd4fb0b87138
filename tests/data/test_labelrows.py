import json

import numpy as np
import pytest
import tifffile
from reference import zarrs

from tinyunet.data import labelrows
from tinyunet.data.labelrows import write_label_rows
from tinyunet.data.pyramid import in_portions
from tinyunet.data.readers import read_header, read_image
from tinyunet.data.zarrarray import files_inside
from tinyunet.data.zarrfile import zarr_axes
from tinyunet.errors import DataError

RNG = np.random.default_rng(0)
VALUES = {
    "image": (RNG.integers(0, 3, (300, 270)).astype(np.uint8), 2),
    "16 bit": (RNG.integers(0, 60000, (30, 20)).astype(np.uint16), 2),
    "32 bit": (RNG.integers(0, 2**31, (30, 20)).astype(np.uint32), 2),
    "colours": (RNG.integers(0, 255, (30, 20, 3)).astype(np.uint8), 2),
    "volume": (RNG.integers(0, 3, (5, 30, 270)).astype(np.uint8), 3),
    "colours of a volume": (RNG.integers(0, 255, (3, 30, 20, 3)).astype(np.uint8), 3),
}


def write(path, values, dimensions, *, rows=7, **options):
    portions = in_portions([values], rows)
    write_label_rows(path, portions, shape=values.shape, dtype=values.dtype, dimensions=dimensions, **options)


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".zarr", ".npy"])
@pytest.mark.parametrize("name", VALUES)
def test_what_is_written_in_portions_is_read(tmp_path, name, suffix):
    values, dimensions = VALUES[name]
    path = tmp_path / f"a{suffix}"
    write(path, values, dimensions)
    axes = "zyxc"[3 - dimensions :][: values.ndim] if suffix == ".npy" else ""
    image = read_image(path, axes=axes)
    assert image.dtype == values.dtype
    np.testing.assert_array_equal(image, values if values.ndim > dimensions else values[..., None])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".tif", ".zarr", ".npy"])
@pytest.mark.parametrize("name", ["image", "volume"])
def test_portions_do_not_change_a_byte(tmp_path, name, suffix):
    values, dimensions = VALUES[name]
    found = []
    for rows in (1, 100, 1000):
        path = tmp_path / str(rows) / f"a{suffix}"
        path.parent.mkdir()
        write(path, values, dimensions, rows=rows)
        files = files_inside(path.parent)
        found.append({file: place.read_bytes() for file, place in files.items()})
    assert found[0] == found[1] == found[2]


def test_a_tiff_has_tiles_and_64_bits_where_32_do_not_suffice(tmp_path, monkeypatch):
    values, dimensions = VALUES["image"]
    for limit, big in ((2**30, False), (2**10, True)):
        monkeypatch.setattr(labelrows, "_CLASSIC_BYTES", limit)
        write(tmp_path / "a.tif", values, dimensions)
        with tifffile.TiffFile(tmp_path / "a.tif") as tif:
            assert tif.is_bigtiff == big
            assert tif.pages[0].tile == (256, 256)
            assert tif.pages[0].compression.name == "ADOBE_DEFLATE"
            np.testing.assert_array_equal(tif.asarray(), values)


def test_a_volume_keeps_the_size_of_its_voxels(tmp_path):
    sizes = {"PhysicalSizeZ": 2.0, "PhysicalSizeY": 0.5, "PhysicalSizeX": 0.25}
    tifffile.imwrite(tmp_path / "a.tif", VALUES["volume"][0], ome=True, metadata={"axes": "ZYX", **sizes})
    for name in ("b.tif", "b.zarr"):
        write(tmp_path / name, *VALUES["volume"], like=tmp_path / "a.tif")
        assert read_header(tmp_path / name).geometry == read_header(tmp_path / "a.tif").geometry


@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr_keeps_its_version_and_a_region_its_place(tmp_path, version):
    image = zarrs.write_image(tmp_path / "image.zarr", np.zeros((40, 30), np.uint8), "yx", [0.5, 0.25], version=version)
    write(tmp_path / "a.zarr", *VALUES["16 bit"], like=image, origin=(8, 4))
    assert (tmp_path / "a.zarr" / (".zattrs" if version == 2 else "zarr.json")).exists()
    assert [(axis.scale, axis.shift) for axis in zarr_axes(tmp_path / "a.zarr")] == [(0.5, 4.0), (0.25, 1.0)]
    attributes = json.loads((tmp_path / "a.zarr" / (".zattrs" if version == 2 else "zarr.json")).read_text())
    if version == 3:
        assert attributes["attributes"]["ome"]["version"] == "0.5"
    else:
        assert attributes["multiscales"][0]["version"] == "0.4"


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr/notes.txt").write_text("mine")
    with pytest.raises(DataError) as caught:
        write(tmp_path / "a.zarr", *VALUES["16 bit"])
    assert str(caught.value) == (
        f"{tmp_path}/a.zarr is a folder that holds something else than zarr; choose another folder."
    )
    assert (tmp_path / "a.zarr/notes.txt").read_text() == "mine"


def test_other_formats_are_not_written_in_portions(tmp_path):
    with pytest.raises(DataError, match=r"a\.png cannot be written row by row\. Known: \.tif, \.tiff, \.zarr, \.npy\."):
        write(tmp_path / "a.png", *VALUES["image"])
