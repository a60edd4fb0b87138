import gzip
import itertools
import re
import struct

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.data import nifti
from tinyunet.data.header import Unreadable
from tinyunet.data.nifti import decode_nifti, encode_nifti, nifti_header
from tinyunet.data.readers import read_header, read_image
from tinyunet.errors import DataError

SPACING = (0.5, 0.75, 2.0)  # along x (right), y (front) and z (head), in millimetres
SHAPE = (5, 4, 3)
MARK = (3, 1, 2)  # x, y, z in canonical pixels


def orientation_affine(order, signs):
    """An affine whose i-th stored axis runs along world axis order[i], in the direction signs[i]."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (place, sign) in enumerate(zip(order, signs, strict=True)):
        affine[place, axis] = sign * SPACING[place]
    affine[:3, 3] = 11, -7, 3
    return affine


ORIENTATIONS = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)
]


def canonical(order, signs, *, dtype=np.uint8):
    """A volume of one orientation as stored, and the same with its axes x, y and z to right, front and head."""
    wanted = np.arange(np.prod(SHAPE), dtype=dtype).reshape(SHAPE)
    stored = wanted.transpose(order)
    return stored[tuple(slice(None, None, sign) for sign in signs)], wanted


def save(path, values, affine=None, kind=nibabel.Nifti1Image, **fields):
    image = kind(values, np.eye(4) if affine is None else affine)
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def refusal(path):
    """What both readers say."""
    texts = []
    for read in (nifti_header, decode_nifti):
        with pytest.raises(Unreadable) as caught:
            read(path)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    assert "\n" not in texts[0]
    return texts[0]


def test_a_voxel_marked_at_a_known_place_in_the_world(tmp_path):
    """2 mm to the left, 3 mm to the front, 5 mm up: in a file whose axes run down, left and back."""
    affine = np.array([[0, -1.0, 0, 0], [0, 0, -3.0, 6.0], [-5.0, 0, 0, 10.0], [0, 0, 0, 1]])
    stored = np.zeros((3, 4, 3), np.uint8)
    place = np.linalg.inv(affine) @ [-2, 3, 5, 1]
    stored[tuple(np.rint(place[:3]).astype(int))] = 9
    path = save(tmp_path / "a.nii", stored, affine)
    volume, header = decode_nifti(path)[0], nifti_header(path)
    z, y, x, _ = (int(i) for i in np.argwhere(volume == 9)[0])
    assert (z, y, x) == (1, 1, 1)  # from the lowest (0 mm), the backmost (0 mm) and the leftmost (-3 mm)
    assert header.geometry.spacing == (5.0, 3.0, 1.0)
    np.testing.assert_allclose(np.array(header.geometry.affine) @ [x, y, z, 1], [-2, 3, 5, 1])


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_each_orientation_comes_back_to_head_front_and_right(tmp_path, order, signs):
    stored, wanted = canonical(order, signs)
    path = save(tmp_path / "a.nii", stored, orientation_affine(order, signs))
    volume, header = decode_nifti(path)[0], nifti_header(path)
    np.testing.assert_array_equal(volume[..., 0], wanted.transpose(2, 1, 0))
    assert header.shape == volume.shape[:3] == SHAPE[::-1]
    np.testing.assert_allclose(header.geometry.spacing, SPACING[::-1])
    # the marked voxel lies in the world where nibabel says that it does
    (place,) = np.argwhere(stored == wanted[MARK])
    world = orientation_affine(order, signs) @ [*place, 1]
    np.testing.assert_allclose(np.array(header.geometry.affine) @ [*MARK, 1], world, atol=1e-5)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_values_written_lie_where_they_lay(tmp_path, order, signs, suffix):
    stored, _ = canonical(order, signs, dtype=np.int16)
    affine = orientation_affine(order, signs)
    image = nibabel.Nifti1Image(stored, affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=4)
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, tmp_path / f"a{suffix}")
    volume = decode_nifti(tmp_path / f"a{suffix}")[0][..., 0]
    labels = (volume % 7).astype(np.uint8)
    content = encode_nifti(labels, tmp_path / f"a{suffix}", compress=suffix == ".nii.gz")
    assert content == encode_nifti(labels, tmp_path / f"a{suffix}", compress=suffix == ".nii.gz")
    (tmp_path / f"b{suffix}").write_bytes(content)
    before, after = nibabel.load(tmp_path / f"a{suffix}"), nibabel.load(tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(np.asarray(after.dataobj), stored % 7)
    assert after.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(after.affine, before.affine)
    for name in ("qform_code", "sform_code", "xyzt_units", "pixdim", "srow_x", "srow_y", "srow_z", "quatern_b"):
        np.testing.assert_array_equal(after.header[name], before.header[name], err_msg=name)
    np.testing.assert_array_equal(decode_nifti(tmp_path / f"b{suffix}")[0][..., 0], labels)


@given(
    angles=st.tuples(*[st.floats(-0.6, 0.6)] * 3),
    spacing=st.tuples(*[st.floats(0.2, 5)] * 3),
    orientation=st.sampled_from(ORIENTATIONS),
    codes=st.sampled_from([(0, 2), (1, 0), (1, 1), (2, 4)]),
)
def test_oblique_volumes_keep_their_affine(tmp_path_factory, angles, spacing, orientation, codes):
    folder = tmp_path_factory.mktemp("oblique")
    turn = nibabel.eulerangles.euler2mat(*angles)
    unit = orientation_affine(*orientation)[:3, :3] / np.linalg.norm(orientation_affine(*orientation)[:3, :3], axis=0)
    affine = np.eye(4)
    affine[:3, :3] = turn @ unit * spacing
    stored = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
    image = nibabel.Nifti1Image(stored, affine)
    image.set_qform(affine if codes[0] else None, code=codes[0])
    image.set_sform(affine if codes[1] else None, code=codes[1])
    nibabel.save(image, folder / "a.nii")
    volume, header = decode_nifti(folder / "a.nii")[0][..., 0], nifti_header(folder / "a.nii")
    z, y, x = (int(i) for i in np.argwhere(volume == 33)[0])
    np.testing.assert_allclose(
        np.array(header.geometry.affine) @ [x, y, z, 1],
        nibabel.load(folder / "a.nii").affine @ [*np.argwhere(stored == 33)[0], 1],
        atol=1e-4,
    )
    (folder / "b.nii").write_bytes(encode_nifti(volume, folder / "a.nii", compress=False))
    before, after = nibabel.load(folder / "a.nii"), nibabel.load(folder / "b.nii")
    np.testing.assert_array_equal(np.asarray(after.dataobj), stored)
    np.testing.assert_array_equal(after.affine, before.affine)
    for name in ("qform_code", "sform_code", "pixdim", "srow_x", "srow_y", "srow_z"):
        np.testing.assert_array_equal(after.header[name], before.header[name], err_msg=name)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_values_are_as_stored_in_either_byte_order_and_version(tmp_path, dtype, order, kind, suffix):
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    header = kind.header_class(endianness=order)
    header.set_data_dtype(np.dtype(dtype).newbyteorder(order))
    path = tmp_path / f"a{suffix}"
    nibabel.save(kind(values, np.eye(4), header), path)
    volume, _ = decode_nifti(path)
    np.testing.assert_array_equal(volume[..., 0], values.transpose(2, 1, 0))
    assert volume.dtype == np.dtype(dtype)
    assert volume.dtype.isnative
    about = nifti_header(path)
    assert (about.shape, about.channels, about.dtype) == ((4, 3, 2), 1, dtype)
    # and through the front door, which tells formats by their first bytes
    np.testing.assert_array_equal(read_image(path), volume)
    # labels keep the version
    again = tmp_path / f"b{suffix}"
    again.write_bytes(encode_nifti(volume[..., 0].astype(np.uint16), path, compress=suffix == ".nii.gz"))
    assert type(nibabel.load(again)) is kind
    np.testing.assert_array_equal(read_image(again), volume)


def test_scaled_values_are_float32(tmp_path):
    image = nibabel.Nifti1Image(np.array([[[0]], [[10]]], np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    content = bytearray(image.to_bytes())
    content[112:120] = struct.pack("<ff", 0.5, -3.0)  # scl_slope and scl_inter
    (tmp_path / "a.nii").write_bytes(content)
    stored = nibabel.load(tmp_path / "a.nii").dataobj.get_unscaled().ravel()
    volume, _ = decode_nifti(tmp_path / "a.nii")
    assert volume.dtype == np.float32
    np.testing.assert_allclose(volume.ravel(), stored * 0.5 - 3)
    assert nifti_header(tmp_path / "a.nii").dtype == "float32"
    # labels are written without the scale of their image
    labels = np.array([[[7, 9]]], np.uint8)
    (tmp_path / "b.nii").write_bytes(encode_nifti(labels, tmp_path / "a.nii", compress=False))
    assert decode_nifti(tmp_path / "b.nii")[0].ravel().tolist() == [7, 9]
    assert decode_nifti(tmp_path / "b.nii")[0].dtype == np.uint8


@pytest.mark.parametrize(
    ("shape", "read"),
    [
        ((5, 4), (1, 4, 5, 1)),
        ((5, 4, 3), (3, 4, 5, 1)),
        ((5, 4, 3, 1), (3, 4, 5, 1)),
        ((5, 4, 3, 2), (3, 4, 5, 2)),
        ((5, 4, 3, 1, 2), (3, 4, 5, 2)),
    ],
)
def test_axes_beyond_the_third_are_channels(tmp_path, shape, read):
    values = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    path = save(tmp_path / "a.nii", values)
    volume, header = decode_nifti(path)[0], nifti_header(path)
    assert volume.shape == (*header.shape, header.channels) == read
    np.testing.assert_array_equal(volume.transpose(2, 1, 0, 3).ravel(), values.ravel())


def test_labels_of_a_volume_with_channels_have_none(tmp_path):
    path = save(tmp_path / "a.nii", np.zeros((5, 4, 3, 2), np.uint16), np.diag([-1.0, 1, 2, 1]))
    labels = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    (tmp_path / "b.nii").write_bytes(encode_nifti(labels, path, compress=False))
    after = nibabel.load(tmp_path / "b.nii")
    assert after.shape == (5, 4, 3)
    np.testing.assert_array_equal(after.affine, nibabel.load(path).affine)
    np.testing.assert_array_equal(decode_nifti(tmp_path / "b.nii")[0][..., 0], labels)


def test_more_than_one_further_axis_is_refused(tmp_path):
    path = save(tmp_path / "a.nii", np.zeros((5, 4, 3, 2, 2), np.uint8))
    assert refusal(path) == "has the shape (5, 4, 3, 2, 2); save a volume, or one with its channels as the fourth axis."


def sform(first, second=(0, 1, 0, 0), third=(0, 0, 1, 0)):
    return {"sform_code": 1, "srow_x": first, "srow_y": second, "srow_z": third}


NONSENSE = {
    "has an affine that holds NaN or infinity": sform((np.nan, 0, 0, 0)),
    "has an affine that holds NaN or infinity ": sform((1, 0, 0, np.inf)),
    "has an affine that gives voxels of 0 x 1 x 1 mm": sform((0, 0, 0, 0)),
    "has an affine that gives voxels of 1e+08 x 1 x 1 mm": sform((1e8, 0, 0, 0)),
    "has an affine that gives voxels of 1e-08 x 1 x 1 mm": sform((1e-8, 0, 0, 0)),
    "has an affine that lays two axes onto one another": sform((1, 1, 0, 0), (0, 0, 0, 0)),
    "has an affine that lays two axes onto one another ": sform((1, 1, 0, 0), (1, 1, 0, 0)),
}


@pytest.mark.parametrize("text", NONSENSE)
def test_an_affine_that_cannot_be_is_refused(tmp_path, text):
    path = tmp_path / "a.nii"
    save(path, np.zeros((2, 2, 2), np.uint8))
    content = bytearray(path.read_bytes())
    fields = NONSENSE[text]
    content[254:256] = struct.pack("<h", fields["sform_code"])
    content[280:328] = struct.pack("<12f", *fields["srow_x"], *fields["srow_y"], *fields["srow_z"])
    path.write_bytes(content)
    assert refusal(path) == f"{text.strip()}: correct its header, or export it again."


@pytest.mark.parametrize("dtype", ["complex64", [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_colours_and_complex_numbers_are_refused(tmp_path, dtype):
    path = save(tmp_path / "a.nii", np.zeros((2, 2, 2), dtype))
    assert re.fullmatch(r"holds values of type .*; save real numbers or integers\.", refusal(path))


def test_a_header_that_claims_too_many_voxels(tmp_path):
    path = save(tmp_path / "a.nii", np.zeros((2, 2, 2), np.uint8))
    content = bytearray(path.read_bytes())
    content[42:48] = struct.pack("<3h", 2000, 2000, 2000)
    for name, text in (("a.nii", bytes(content)), ("a.nii.gz", gzip.compress(content))):
        (tmp_path / name).write_bytes(text)
        for read in (read_header, read_image):
            with pytest.raises(DataError) as caught:
                read(tmp_path / name)
            assert str(caught.value) == (
                f"{tmp_path}/{name} claims 2000 x 2000 x 2000 pixels, more than the 2147483648 that are read; cut it "
                "into smaller images."
            )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    values = np.random.default_rng(0).integers(0, 2**16, (6, 5, 4)).astype(np.uint16)
    path = tmp_path_factory.mktemp("whole") / "a.nii"
    return save(path, values, orientation_affine((2, 0, 1), (1, -1, 1))).read_bytes()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@given(kept=st.floats(0, 0.99))
def test_a_file_cut_off_is_refused(tmp_path_factory, whole, suffix, kept):
    content = gzip.compress(whole, mtime=0) if suffix == ".nii.gz" else whole
    path = tmp_path_factory.mktemp("cut") / f"a{suffix}"
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path} ")


@given(data=st.data())
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_damaged_packed_file_is_refused_or_the_same(tmp_path_factory, whole, data):
    content = bytearray(gzip.compress(whole, mtime=0))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(10, len(content) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("packed")
    (folder / "whole.nii").write_bytes(whole)
    (folder / "a.nii.gz").write_bytes(content)
    image = None
    try:
        image = read_image(folder / "a.nii.gz")
    except DataError as error:
        message = str(error)
    if image is None:
        assert re.fullmatch(rf"{re.escape(str(folder))}/a.nii.gz [^\n]*\.", message)
    else:
        np.testing.assert_array_equal(image, read_image(folder / "whole.nii"))


def test_more_behind_the_voxels_is_read_up_to_a_bound(tmp_path, whole, monkeypatch):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(whole + bytes(2**20)))
    assert read_image(tmp_path / "a.nii.gz").size == 120
    monkeypatch.setattr(nifti, "_MAX_TAIL_BYTES", 2**20)
    with pytest.raises(DataError, match=r"holds more than 1048576 bytes after its voxels: export it again\.$"):
        read_image(tmp_path / "a.nii.gz")


@given(
    flips=st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), min_size=1, max_size=6), packed=st.booleans()
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_damaged_header_is_read_or_refused_in_one_line(tmp_path_factory, whole, flips, packed):
    content = bytearray(whole)
    for place, value in flips:
        content[place] = value
    path = tmp_path_factory.mktemp("damaged") / ("a.nii.gz" if packed else "a.nii")
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    message = None
    try:
        image = read_image(path)
    except DataError as error:
        message = str(error)
    if message is None:
        assert image.shape[:-1] == read_header(path).shape
        assert np.isfinite(image).all()
    else:
        assert re.fullmatch(rf"{re.escape(str(path))} [^\n]*\.", message)
