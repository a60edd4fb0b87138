import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tinyunet.data.labelling import IGNORE, ClassInfo, Labelling, default_colors
from tinyunet.data.masks import RawMask
from tinyunet.errors import ConfigError, DataError

MEMBRANE = ClassInfo("membrane", 0, "#000000")
CELL = ClassInfo("cell", 255, "#ffffff")
RED = ClassInfo("red", 0xFF0000, "#ff0000")
BLACK = ClassInfo("black", 0, "#000000")
CELLS = Labelling("semantic", (MEMBRANE, CELL))


def ids(*rows):
    return RawMask(np.array(rows, np.int64), "ids")


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


FOREGROUND = r"^`classes` of task foreground must be two, the first with value 0\.$"


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


OBJECTS = Labelling("instances", (ClassInfo("background", 0, "#000000"), ClassInfo("object", 255, "#e69f00")), ignore=9)


def test_objects_keep_their_ids():
    labels = OBJECTS.encode(ids([0, 3, 70000], [9, 3, 0]), where="a.png")
    assert labels.tolist() == [[0, 3, 70000], [IGNORE, 3, 0]]


@pytest.mark.parametrize(("largest", "dtype"), [(0, np.uint16), (65535, np.uint16), (65536, np.uint32)])
def test_ids_of_objects_are_written_in_16_bits_or_32(largest, dtype):
    values = OBJECTS.decode(np.array([[0, largest]], np.int32))
    assert (values.dtype, values.tolist()) == (dtype, [[0, largest]])


def test_an_id_below_zero_is_no_object():
    with pytest.raises(ValueError, match=r"^`labels` must be ids of objects, at least 0, got -1\.$"):
        OBJECTS.decode(np.array([[-1]], np.int32))
    with pytest.raises(DataError, match="holds values that no class has: -2"):
        OBJECTS.encode(ids([0, -2]), where="a.png")
