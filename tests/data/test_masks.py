import io

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from tinyunet.data.masks import (
    IGNORE,
    ClassInfo,
    Labelling,
    RawMask,
    default_colors,
    looks_like_jpeg,
    looks_like_objects,
    read_mask,
)
from tinyunet.errors import ConfigError, DataError

MEMBRANE = ClassInfo("membrane", 0, "#000000")
CELL = ClassInfo("cell", 255, "#ffffff")
RED = ClassInfo("red", 0xFF0000, "#ff0000")
BLACK = ClassInfo("black", 0, "#000000")
CELLS = Labelling("semantic", (MEMBRANE, CELL))


def ids(*rows):
    return RawMask(np.array(rows, np.int64), "ids")


@pytest.fixture
def saved(tmp_path):
    """Saves an array as a file that is read as a mask."""

    def save(array, name="a.png"):
        path = tmp_path / name
        if name.endswith(".npy"):
            np.save(path, array)
        elif name.endswith(".tif"):
            tifffile.imwrite(path, array)
        else:
            Image.fromarray(array).save(path)
        return path

    return save


# Reading: six values by hand, then every way in which a mask is stored.


def test_grey_mask_of_six_pixels(saved):
    mask = read_mask(saved(np.array([[0, 1, 2], [3, 4, 255]], np.uint8)))
    assert mask.values.tolist() == [[0, 1, 2], [3, 4, 255]]
    assert (mask.kind, mask.palette, mask.values.dtype) == ("ids", None, np.int64)


def test_one_bit_mask_is_0_and_255(saved):
    assert read_mask(saved(np.array([[True, False]]))).values.tolist() == [[255, 0]]


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int32", "float32", "float64"])
def test_wide_masks_keep_their_values(saved, dtype):
    assert read_mask(saved(np.array([[0, 40000]], dtype), "a.tif")).values.tolist() == [[0, 40000]]


@pytest.mark.parametrize("alpha", [None, 255, 0, 7])
def test_grey_saved_as_rgb_is_numbers_and_alpha_that_says_nothing_is_dropped(saved, alpha):
    array = np.repeat(np.array([[[3], [7]]], np.uint8), 3, axis=-1)
    if alpha is not None:
        array = np.dstack([array, np.full((1, 2), alpha, np.uint8)])
    mask = read_mask(saved(array))
    assert (mask.kind, mask.values.tolist()) == ("ids", [[3, 7]])


def test_grey_with_alpha(saved):
    assert read_mask(saved(np.array([[[3, 255], [7, 255]]], np.uint8))).values.tolist() == [[3, 7]]


def test_colours_are_0xrrggbb(saved):
    mask = read_mask(saved(np.array([[[0, 0, 0], [0x12, 0x34, 0x56]]], np.uint8)))
    assert (mask.kind, mask.values.tolist()) == ("rgb", [[0, 0x123456]])


def test_palette_keeps_indices_and_names_colours(tmp_path):
    image = Image.fromarray(np.array([[0, 2, 1]], np.uint8))
    image.putpalette(bytes([0, 0, 0, 255, 0, 0, 0, 128, 0]))
    image.save(tmp_path / "a.png")
    mask = read_mask(tmp_path / "a.png")
    assert (mask.kind, mask.values.tolist()) == ("palette", [[0, 2, 1]])
    assert mask.palette[:3] == ("#000000", "#ff0000", "#008000")


REFUSED = {
    "transparent in places, which has no meaning in a mask: save it without alpha.": np.array(
        [[[3, 3, 3, 255], [3, 3, 3, 0]]], np.uint8
    ),
    "holds fractions, such as 0.5 at row 1, column 0: a mask holds whole numbers; "
    "if these are probabilities, save the class numbers instead.": np.array([[0.0], [0.5]]),
    "has 5 channels: a mask has 1, or 3 for colours.": np.zeros((2, 2, 5), np.uint8),
    "holds colours of more than 8 bits: save it as 8-bit RGB, or as class numbers.": np.array(
        [[[1, 2, 300]]], np.uint16
    ),
    "holds values as large as 18446744073709551615, above 2**53: use smaller numbers.": np.array([[2**64 - 1]], "u8"),
    "holds values as large as 9223372036854775808, above 2**53: use smaller numbers.": np.array([[-(2**63)]], "i8"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_masks_without_a_meaning_are_refused(saved, text):
    path = saved(REFUSED[text], "a.npy")
    with pytest.raises(DataError) as caught:
        read_mask(path)
    assert str(caught.value) in (f"{path} {text}", f"{path} is {text}")


# Meaning.


def test_encode_and_decode_six_pixels():
    labelling = Labelling("semantic", (MEMBRANE, CELL), ignore=7)
    labels = labelling.encode(ids([0, 255, 7], [7, 0, 0]), where="a.png")
    assert labels.tolist() == [[0, 1, IGNORE], [IGNORE, 0, 0]]
    assert labels.dtype == np.int32
    assert labelling.decode(labels).tolist() == [[0, 255, 7], [7, 0, 0]]


def test_class_ids_follow_the_table_not_the_values():
    labelling = Labelling("semantic", (CELL, MEMBRANE))
    assert labelling.encode(ids([0, 255]), where="a.png").tolist() == [[1, 0]]


def test_foreground_is_any_positive_value():
    classes = ClassInfo("background", 0, "#000000"), ClassInfo("foreground", 255, "#ffffff")
    labelling = Labelling("foreground", classes, ignore=9)
    assert labelling.encode(ids([0, 1, 700, 9]), where="a.png").tolist() == [[0, 1, 1, IGNORE]]
    assert labelling.decode(np.array([[0, 1]], np.int32)).tolist() == [[0, 255]]


kinds = st.sampled_from(["ids", "rgb", "palette"])


@st.composite
def labellings(draw):
    kind = draw(kinds)
    low, high = {"ids": (-300, 2**40), "rgb": (0, 0xFFFFFF), "palette": (0, 255)}[kind]
    values = draw(st.lists(st.integers(low, high), min_size=1, max_size=12, unique=True))
    ignore = values.pop() if len(values) > 1 and draw(st.booleans()) else None
    classes = tuple(ClassInfo(f"class {value}", value, "#123456") for value in values)
    return Labelling("semantic", classes, ignore, kind, draw(st.sampled_from([None, classes[0].name])))


@given(labelling=labellings(), data=st.data())
def test_encode_undoes_decode(labelling, data):
    lowest = 0 if labelling.ignore is None else IGNORE
    labels = data.draw(arrays.arrays(np.int32, (3, 4), elements=st.integers(lowest, labelling.num_classes - 1)))
    before = labels.copy()
    values = labelling.decode(labels)
    np.testing.assert_array_equal(labels, before)
    if labelling.kind == "rgb":
        assert values.dtype == np.uint8
        values = values.astype(np.int64) @ np.array([0x10000, 0x100, 1])
    palette = ("#000000",) * 256 if labelling.kind == "palette" else None
    mask = RawMask(values.astype(np.int64), labelling.kind, palette)
    np.testing.assert_array_equal(labelling.encode(mask, where="a.png"), labels)


@given(labelling=labellings())
def test_from_dict_undoes_to_dict(labelling):
    assert Labelling.from_dict(labelling.to_dict()) == labelling
    assert None not in labelling.to_dict().values()


@given(labelling=labellings(), data=st.data())
def test_a_permutation_of_the_classes_permutes_the_labels(labelling, data):
    order = data.draw(st.permutations(range(labelling.num_classes)))
    permuted = Labelling("semantic", tuple(labelling.classes[k] for k in order), None, labelling.kind)
    values = np.array([[c.value for c in labelling.classes]])
    palette = ("#000000",) * 256 if labelling.kind == "palette" else None
    labels = permuted.encode(RawMask(values, labelling.kind, palette), where="a.png")
    assert np.array(order)[labels[0]].tolist() == list(range(labelling.num_classes))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([0, 255], "u1"), ([0, 256], "u2"), ([0, 2**16], "u4"), ([0, 2**32], "u8"), ([-1, 127], "i1"), ([-1, 255], "i2")],
)
def test_decode_gives_the_smallest_dtype(values, dtype):
    labelling = Labelling("semantic", tuple(ClassInfo(f"{v}", v, "#000000") for v in values))
    decoded = labelling.decode(np.array([[0, 1]], np.int32))
    assert decoded.dtype == np.dtype(dtype)
    assert decoded.tolist() == [values]


def test_colourless_mask_among_coloured_ones_is_grey():
    labelling = Labelling("semantic", (BLACK, RED, ClassInfo("white", 0xFFFFFF, "#ffffff")), kind="rgb")
    assert labelling.encode(ids([0, 255]), where="a.png").tolist() == [[0, 2]]


def test_palette_mask_among_coloured_ones_is_its_colours():
    labelling = Labelling("semantic", (BLACK, RED), kind="rgb")
    mask = RawMask(np.array([[5, 0]]), "palette", ("#000000",) * 5 + ("#ff0000",))
    assert labelling.encode(mask, where="a.png").tolist() == [[1, 0]]


def test_palette_and_plain_masks_mix():
    mask = RawMask(np.array([[255, 0]]), "palette", ("#000000",) * 256)
    assert CELLS.encode(mask, where="a.png").tolist() == [[1, 0]]


@pytest.mark.parametrize("labels", [np.zeros((0, 3), np.int32), np.zeros((1, 1), np.int32)])
def test_decode_of_nothing_and_of_one_pixel(labels):
    assert CELLS.decode(labels).shape == labels.shape


def test_values_that_no_class_has():
    with pytest.raises(DataError) as caught:
        CELLS.encode(ids([0, 255, 1, 1], [2, 3, 4, 5], [6, 0, 0, 0]), where="a.png")
    assert str(caught.value) == (
        "a.png holds values that no class has: 1, 2, 3, 4, 5 and 1 others, in 7 pixels (classes: 0 membrane, "
        "255 cell). Correct the mask, or declare them in dataset.toml: [[classes]], or ignore = 1."
    )


def test_colours_that_no_class_has():
    with pytest.raises(DataError, match=r"no class has: 0x00ff00, in 1 pixels \(classes: 0x000000 black, 0xff0000 red"):
        Labelling("semantic", (BLACK, RED), kind="rgb").encode(RawMask(np.array([[0x00FF00]]), "rgb"), where="a.png")


def test_negative_value_is_no_foreground():
    classes = ClassInfo("background", 0, "#000000"), ClassInfo("foreground", 255, "#ffffff")
    with pytest.raises(DataError, match=r"^a\.png holds values that no class has: -3, in 1 pixels"):
        Labelling("foreground", classes).encode(ids([-3, 0]), where="a.png")


def test_colours_among_numbers():
    with pytest.raises(
        DataError, match=r"^a\.png holds colours where the other masks hold numbers: save all masks alike\.$"
    ):
        CELLS.encode(RawMask(np.array([[0xFF0000]]), "rgb"), where="a.png")


def test_wide_numbers_among_colours():
    with pytest.raises(DataError, match=r"^a\.png holds numbers above 255 where the other masks hold colours"):
        Labelling("semantic", (BLACK, RED), kind="rgb").encode(ids([256]), where="a.png")


@pytest.mark.parametrize(("ignore", "label", "lowest"), [(None, 2, 0), (None, -1, 0), (7, -2, -1)])
def test_labels_that_are_no_class(ignore, label, lowest):
    with pytest.raises(ValueError, match=rf"^`labels` must be in \[{lowest}, 2\), got {label} to {label}\.$"):
        Labelling("semantic", (MEMBRANE, CELL), ignore).decode(np.array([[label]], np.int32))


FOREGROUND = r"^`classes` of a foreground task must be two, the first with value 0\.$"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (r"^`classes` must not be empty\.$", {"classes": ()}),
        (r"^`classes` must have different names, got 'cell' twice\.$", {"classes": (CELL, CELL)}),
        (
            r"^`classes` must have different values, got 255 twice\.$",
            {"classes": (CELL, ClassInfo("other", 255, "#ffffff"))},
        ),
        (FOREGROUND, {"task": "foreground", "classes": (CELL, MEMBRANE)}),
        (FOREGROUND, {"task": "foreground", "classes": (MEMBRANE,)}),
        (r"^`ignore` must be no class's value, got 255\.$", {"ignore": 255}),
        (
            r"^`boundary` must name a class, got 'membran'\. Did you mean 'membrane'\? Known: cell, membrane\.$",
            {"boundary": "membran"},
        ),
        (r"^A mask value of kind 'palette' must be in \[0, 255\], got 256\.$", {"kind": "palette", "ignore": 256}),
        (r"^A mask value of kind 'rgb' must be in \[0, 16777215\], got -1\.$", {"kind": "rgb", "ignore": -1}),
    ],
)
def test_labellings_that_cannot_be(text, options):
    with pytest.raises(ConfigError, match=text):
        Labelling(**{"task": "semantic", "classes": (MEMBRANE, CELL)} | options)


@pytest.mark.parametrize("plain", [{}, {"task": "semantic", "classes": [{"nam": "a"}]}, {"classes": [3]}])
def test_dictionaries_that_are_no_labelling(plain):
    with pytest.raises(ConfigError, match=r"^The labelling of a data set cannot be understood: .*\.$"):
        Labelling.from_dict(plain)


def test_class_without_a_name_or_a_colour():
    with pytest.raises(ConfigError, match=r"^`name` of a class must not be empty\.$"):
        ClassInfo("", 0, "#000000")
    with pytest.raises(ConfigError, match=r'^`color` of class \'a\' must be like "#e69f00", got \'red\'\.$'):
        ClassInfo("a", 0, "red")


@pytest.mark.parametrize("background", [True, False])
def test_default_colours_differ_and_are_colours(background):
    colours = default_colors(300, background=background)
    assert len(set(colours)) == 300
    assert all(ClassInfo("a", 0, colour) for colour in colours)
    assert (colours[0] == "#000000") == background
    assert default_colors(3, background=background) == colours[:3]


# Suspicions.


def discs(*, radius: int, step: int, numbered: bool) -> np.ndarray:
    """Discs near the points of a grid, so that none touch: all 255, or each with a number of its own."""
    random = np.random.default_rng(radius)
    values = np.zeros((96, 96), np.int64)
    y, x = np.mgrid[:96, :96]
    number = 0
    for top in range(0, 96, step):
        for left in range(0, 96, step):
            number += 1
            middle = np.array([top, left]) + step / 2 + random.uniform(-1, 1, 2) * (step / 2 - radius - 1)
            inside = (y - middle[0]) ** 2 + (x - middle[1]) ** 2 <= radius**2
            values[inside] = number if numbered else 255
    return values


def as_jpeg(values: np.ndarray, quality: int) -> np.ndarray:
    content = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(content, "JPEG", quality=quality)
    return np.asarray(Image.open(content)).astype(np.int64)


def resized(values: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(values.astype(np.uint8)).resize((70, 70), Image.Resampling.BICUBIC), np.int64)


@pytest.mark.parametrize(("radius", "step"), [(5, 16), (3, 8), (11, 24)])
def test_numbered_discs_look_like_objects(radius, step):
    assert looks_like_objects(discs(radius=radius, step=step, numbered=True))


@pytest.mark.parametrize("values", [np.array([[0]]), np.array([[-1, 5]]), discs(radius=5, step=16, numbered=False)])
def test_few_values_do_not_look_like_objects(values):
    assert not looks_like_objects(values)


def test_many_classes_in_several_places_do_not_look_like_objects():
    assert not looks_like_objects(np.tile(np.arange(12).reshape(3, 4).repeat(3, 0).repeat(3, 1), (1, 2)))


def test_noise_does_not_look_like_objects():
    assert not looks_like_objects(np.random.default_rng(0).integers(0, 50, (64, 64)))


@pytest.mark.parametrize("quality", [30, 60, 75, 90, 95])
@pytest.mark.parametrize(("radius", "step"), [(5, 16), (11, 24), (40, 96)])
def test_jpeg_is_seen_in_the_values(quality, radius, step):
    values = as_jpeg(discs(radius=radius, step=step, numbered=False), quality)
    assert looks_like_jpeg(values)


def test_smoothly_resized_mask_is_seen_too():
    assert looks_like_jpeg(resized(discs(radius=11, step=24, numbered=False)))


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize(("radius", "step"), [(2, 6), (3, 8), (5, 16), (11, 24)])
def test_exact_masks_do_not_look_like_jpeg(radius, step, numbered):
    assert not looks_like_jpeg(discs(radius=radius, step=step, numbered=numbered))


def test_noise_does_not_look_like_jpeg():
    assert not looks_like_jpeg(np.random.default_rng(0).integers(0, 256, (64, 64)))


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG"])
def test_suffix_settles_it(suffix):
    assert looks_like_jpeg(np.zeros((2, 2), np.int64), suffix=suffix)
    assert not looks_like_jpeg(np.zeros((2, 2), np.int64), suffix=".png")
