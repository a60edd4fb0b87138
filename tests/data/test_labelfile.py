import nibabel
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from reference import zarrs

from tinyunet.data.labelfile import write_labels, write_zarr
from tinyunet.data.labelling import IGNORE, ClassInfo, Labelling
from tinyunet.data.masks import read_mask
from tinyunet.data.readers import read_header, read_image
from tinyunet.data.zarrarray import files_inside
from tinyunet.data.zarrfile import Axis, zarr_axes
from tinyunet.errors import DataError

BINARY = Labelling("semantic", (ClassInfo("membrane", 0, "#000000"), ClassInfo("cell", 255, "#ffffff")))
LABELS = np.array([[0, 1, 1], [1, 0, 0]], np.int32)
VOLUME = np.random.default_rng(0).integers(0, 2, (3, 4, 5)).astype(np.int32)
COLOURS = Labelling("semantic", (ClassInfo("a", 0, "#000000"), ClassInfo("b", 0x102030, "#102030")), kind="rgb")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".npy", ".PNG"])
def test_six_labels_are_written_with_the_masks_own_values(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_labels(path, LABELS, BINARY)
    image = read_image(path)
    assert image[..., 0].tolist() == [[0, 255, 255], [255, 0, 0]]
    assert image.dtype == np.uint8


def test_palette_mask_stays_a_palette_png(tmp_path):
    classes = ClassInfo("sky", 3, "#0000ff"), ClassInfo("earth", 7, "#804000")
    labelling = Labelling("semantic", classes, ignore=255, kind="palette")
    write_labels(tmp_path / "a.png", np.array([[0, 1, IGNORE]], np.int32), labelling)
    mask = read_mask(tmp_path / "a.png")
    assert (mask.kind, mask.values.tolist()) == ("palette", [[3, 7, 255]])
    assert (mask.palette[3], mask.palette[7], mask.palette[0]) == ("#0000ff", "#804000", "#000000")


def test_labels_of_16_bits_and_of_colours_are_what_other_programs_read(tmp_path):
    wide = Labelling("semantic", (ClassInfo("a", 0, "#000000"), ClassInfo("b", 40000, "#ffffff")))
    write_labels(tmp_path / "wide.png", LABELS, wide)
    assert np.asarray(Image.open(tmp_path / "wide.png")).tolist() == [[0, 40000, 40000], [40000, 0, 0]]
    colours = Labelling("semantic", (ClassInfo("a", 0, "#000000"), ClassInfo("b", 0x102030, "#102030")), kind="rgb")
    write_labels(tmp_path / "rgb.tif", LABELS, colours)
    with tifffile.TiffFile(tmp_path / "rgb.tif") as file:
        assert file.pages[0].photometric.name == "RGB"
        assert file.asarray()[0, 1].tolist() == [0x10, 0x20, 0x30]


@st.composite
def labelled(draw):
    """A suffix, labels and a labelling that go together."""
    suffix = draw(st.sampled_from([".png", ".tif", ".npy"]))
    kind = draw(st.sampled_from(["ids", "rgb", "palette"]))
    high = {"ids": 2**16 - 1 if suffix == ".png" else 2**31, "rgb": 0xFFFFFF, "palette": 255}[kind]
    values = draw(st.lists(st.integers(0, high), min_size=1, max_size=6, unique=True))
    ignore = values.pop() if len(values) > 1 and draw(st.booleans()) else None
    classes = tuple(ClassInfo(f"class {value}", value, "#123456") for value in values)
    labelling = Labelling("semantic", classes, ignore, kind)
    lowest = 0 if ignore is None else IGNORE
    shape = draw(arrays.array_shapes(min_dims=2, max_dims=2, max_side=7))
    return suffix, draw(arrays.arrays(np.int32, shape, elements=st.integers(lowest, len(values) - 1))), labelling


@given(labelled())
def test_labels_that_are_written_are_read(tmp_path_factory, case):
    suffix, labels, labelling = case
    path = tmp_path_factory.mktemp("labels") / f"a{suffix}"
    before = labels.copy()
    write_labels(path, labels, labelling)
    np.testing.assert_array_equal(labelling.encode(read_mask(path), where="a"), labels)
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ""])
def test_formats_that_would_change_labels(tmp_path, suffix):
    with pytest.raises(DataError) as caught:
        write_labels(tmp_path / f"a{suffix}", LABELS, BINARY)
    assert str(caught.value) == (
        f"{tmp_path}/a{suffix} cannot hold labels without loss. Known: .png, .tif, .tiff, .npy, .nii, .nii.gz, .zarr."
    )


@pytest.mark.parametrize(("value", "dtype"), [(2**16, "uint32"), (-1, "int16")])
def test_values_that_no_png_holds(tmp_path, value, dtype):
    labelling = Labelling("semantic", (ClassInfo("a", 255, "#000000"), ClassInfo("b", value, "#ffffff")))
    with pytest.raises(DataError) as caught:
        write_labels(tmp_path / "a.png", LABELS, labelling)
    assert str(caught.value) == f"{tmp_path}/a.png cannot hold values of type {dtype}: write .tif or .npy instead."
    write_labels(tmp_path / "a.tif", LABELS, labelling)
    assert set(np.unique(read_mask(tmp_path / "a.tif").values)) == {255, value}


@pytest.mark.parametrize("suffix", [".tif", ".zarr", ".ome.zarr", ".npy"])
@pytest.mark.parametrize("labelling", [BINARY, COLOURS], ids=["ids", "rgb"])
def test_labels_of_a_volume_come_back(tmp_path, suffix, labelling):
    path = tmp_path / f"a{suffix}"
    write_labels(path, VOLUME, labelling)
    mask = read_mask(path, axes="zyx" if suffix == ".npy" else "")
    assert mask.kind == labelling.kind
    np.testing.assert_array_equal(labelling.encode(mask, where="a"), VOLUME)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_labels_of_nifti_lie_where_their_image_does(tmp_path, suffix):
    affine = np.array([[0, 0, -2.0, 5], [-1.0, 0, 0, 6], [0, 3.0, 0, 7], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 3, 5), np.float32), affine), tmp_path / "image.nii.gz")
    path = tmp_path / f"a{suffix}"
    for _ in range(2):
        write_labels(path, VOLUME, BINARY, like=tmp_path / "image.nii.gz")
    np.testing.assert_array_equal(BINARY.encode(read_mask(path), where="a"), VOLUME)
    assert read_header(path).geometry == read_header(tmp_path / "image.nii.gz").geometry
    np.testing.assert_array_equal(nibabel.load(path).affine, affine)
    assert {file.name for file in tmp_path.iterdir()} == {"image.nii.gz", path.name}


def test_nifti_wants_numbers_and_a_place(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 4, 3), np.float32), np.eye(4)), tmp_path / "image.nii")
    write_zarr(tmp_path / "image.zarr", VOLUME)
    image = tmp_path / "image.nii"
    for labels, labelling, like in (
        (VOLUME, BINARY, None),
        (VOLUME, BINARY, tmp_path / "image.zarr"),
        (VOLUME, COLOURS, image),
        (VOLUME[1:], BINARY, image),
        (LABELS, COLOURS, image),
    ):
        with pytest.raises(DataError) as caught:
            write_labels(tmp_path / "a.nii", labels, labelling, like=like)
        assert str(caught.value) == (
            f"{tmp_path}/a.nii wants one number for each voxel, and a NIfTI file whose place they take."
        )


def test_no_png_holds_a_volume(tmp_path):
    with pytest.raises(DataError) as caught:
        write_labels(tmp_path / "a.png", VOLUME, BINARY)
    assert str(caught.value) == f"{tmp_path}/a.png cannot hold a volume: write .tif, .zarr or .npy instead."


@pytest.mark.parametrize("version", [2, 3])
def test_labels_of_zarr_have_the_axes_of_their_image(tmp_path, version):
    image = zarrs.write_image(
        tmp_path / "image.zarr", np.zeros((1, 2, 3, 4, 5), np.uint16), "tczyx", [9, 1, 2, 0.5, 0.25], version=version
    )
    write_labels(tmp_path / "a.zarr", VOLUME, BINARY, like=image)
    assert read_header(tmp_path / "a.zarr").geometry == read_header(image).geometry
    assert zarr_axes(tmp_path / "a.zarr") == tuple(
        Axis(letter, "micrometer", scale) for letter, scale in zip("zyx", (2.0, 0.5, 0.25), strict=True)
    )


def test_labels_of_zarr_take_the_spacing_of_other_formats(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 4, 3), np.uint8), np.diag([1.0, 2, 3, 1])), tmp_path / "image.nii")
    write_labels(tmp_path / "a.zarr", VOLUME, BINARY, like=tmp_path / "image.nii")
    assert zarr_axes(tmp_path / "a.zarr") == tuple(
        Axis(x, "millimeter", k) for x, k in zip("zyx", (3.0, 2.0, 1.0), strict=True)
    )
    np.save(tmp_path / "image.npy", np.zeros((4, 5)))
    write_labels(tmp_path / "b.zarr", LABELS, BINARY, like=tmp_path / "image.npy")
    assert zarr_axes(tmp_path / "b.zarr") == (Axis("y"), Axis("x"))
    assert read_header(tmp_path / "b.zarr").geometry is None


def test_equal_labels_give_equal_folders_and_replace_the_old_one(tmp_path):
    path = tmp_path / "a.zarr"
    found = []
    for _ in range(2):
        write_labels(path, VOLUME, BINARY)
        found.append({name: file.read_bytes() for name, file in files_inside(path).items()})
        (path / "old").write_bytes(b"old")
    assert found[0] == found[1]
    assert [file.name for file in tmp_path.iterdir()] == ["a.zarr"]


def test_a_volume_keeps_the_size_of_its_voxels_in_tiff(tmp_path):
    stack = np.zeros((3, 4, 5), np.uint16)
    sizes = {"PhysicalSizeZ": 2.0, "PhysicalSizeY": 0.5, "PhysicalSizeX": 0.25}
    units = {f"{name}Unit": "µm" for name in sizes}
    tifffile.imwrite(tmp_path / "a.tif", stack, ome=True, metadata={"axes": "ZYX", **sizes, **units})
    write_labels(tmp_path / "b.tif", VOLUME, BINARY, like=tmp_path / "a.tif")
    assert read_header(tmp_path / "b.tif").geometry == read_header(tmp_path / "a.tif").geometry
    assert read_header(tmp_path / "b.tif").geometry.spacing == (2.0, 0.5, 0.25)
