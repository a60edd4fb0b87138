from dataclasses import replace

import pytest

from tinyunet.data.fingerprint import Fingerprint
from tinyunet.data.foreground import Intensities
from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.normalise import ChannelRule
from tinyunet.data.objectsizes import ObjectSizes
from tinyunet.data.split import Split
from tinyunet.runs.page.dataset import class_table, data_facts, intensity_table, split_table

PRINT = Fingerprint(
    images=5,
    labelled=4,
    sizes={(64, 80): 5},
    spacings={(): 5},
    oriented=0,
    median_size=(64.0, 80.0),
    median_spacing=(),
    finest_spacing=(),
    median_extent=(),
    dtypes={"uint16": 5},
    stored_channels={1: 5},
    channels=ChannelRule(drop_alpha=False, collapse_grey=False, used=1),
    channel_min=(3.0,),
    channel_max=(65535.0,),
    channel_mean=(1234.5,),
    channel_std=(0.25,),
    mask_values={0: 3, 7: 1},
    class_pixels=(3000, 1000),
    train_class_pixels=(3, 1),
    ignored_pixels=0,
    absent=((), ("a",)),
    digest="9f" * 32,
)
CLASSES = (ClassInfo("sky", 0, "#000000"), ClassInfo("bird", 7, "#e69f00"))
LABELLING = Labelling("semantic", CLASSES)


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def facts(fingerprint):
    return {fact.label: (fact.value, fact.note) for fact in data_facts(fingerprint)}


def test_facts_of_images_that_are_alike():
    assert facts(PRINT) == {
        "Images": ("5", "4 of them with a mask"),
        "Sizes": ("64\u00a0×\u00a080", "height × width in pixels"),
        "Stored as": ("uint16", "type of a value in the files"),
        "Channels": ("1", "in the files; 1 used"),
    }


def test_facts_of_images_that_differ():
    sizes = {(8, 8 + i): 1 + (i == 3) for i in range(9)}
    rule = ChannelRule(drop_alpha=True, collapse_grey=True, used=1)
    found = facts(replace(PRINT, sizes=sizes, stored_channels={1: 2, 4: 3}, channels=rule))
    assert found["Sizes"][0].startswith("8\u00a0×\u00a011 (2), 8\u00a0×\u00a08 (1), ")
    assert found["Sizes"][0].endswith(", and 3 other sizes")
    assert found["Channels"] == (
        "1 or 4",
        "in the files; 1 used, an alpha channel that says nothing dropped, equal red, green and blue taken as one",
    )


def test_classes_have_their_share_and_their_images():
    table = class_table(PRINT, LABELLING)
    assert texts(table) == [
        ["sky", "0", "75.0 %", "3,000", "4 of 4"],
        ["bird", "7", "25.0 %", "1,000", "3 of 4"],
    ]
    assert [row[0].color for row in table.rows] == ["#000000", "#e69f00"]
    assert table.note == ""
    assert class_table(replace(PRINT, ignored_pixels=1), LABELLING).note == "1 pixel more take no part."


@pytest.mark.parametrize(
    ("labelling", "values"),
    [
        (Labelling("foreground", CLASSES), ["0", "above 0"]),
        (Labelling("semantic", CLASSES, kind="rgb"), ["#000000", "#000007"]),
    ],
)
def test_values_are_shown_as_the_masks_hold_them(labelling, values):
    assert [row[1] for row in texts(class_table(PRINT, labelling))] == values


def test_classes_that_the_fingerprint_does_not_know_are_refused():
    with pytest.raises(ValueError, match="zip"):
        class_table(PRINT, Labelling("semantic", CLASSES[:1]))


def test_the_split_counts_images():
    table = split_table(Split(train=("a", "b"), val=("c",), test=(), notes=("Drawn.", "Two.")))
    assert [row[:2] for row in texts(table)] == [["training", "2"], ["validation", "1"], ["test", "0"]]
    assert table.note == "Drawn. Two."
    assert texts(split_table(Split(train=("a",), val=("c",), test=(), unlabelled=("d",))))[-1][:2] == [
        "unlabelled",
        "1",
    ]


def test_intensities_are_listed_by_channel():
    assert texts(intensity_table(PRINT)) == [["1", "3", "65,535", "1,234", "0.25"]]


def test_spacing_objects_and_marked_pixels_are_said_where_they_are_known():
    found = replace(
        PRINT,
        spacings={(2.0, 0.5): 5},
        objects=ObjectSizes(40, (2, 8.0, 12), (10.0, 100.0, 900.0), (3.6, 11.3, 33.9)),
        foreground=Intensities((7.0,), (2.0,), (1.0,), (9.0,)),
    )
    said = facts(found)
    assert said["Spacing"] == ("2\u00a0×\u00a00.5", "of a pixel along these axes, in the unit of the files")
    assert said["Objects"][0] == "40"
    assert said["Objects"][1].startswith("median 8 in an image; as a disc 11.3 pixels across, 90 %")
    assert intensity_table(found).note == "Of all classes but the commonest: 7 ± 2, 99 % in 1 to 9."
    assert intensity_table(PRINT).note == ""
    assert not {"Spacing", "Objects"} & facts(PRINT).keys()
