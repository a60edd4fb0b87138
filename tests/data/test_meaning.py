from pathlib import Path

import numpy as np
import pytest

from tinyunet.data.facts import MAX_VALUES, mask_facts
from tinyunet.data.labelling import ClassInfo
from tinyunet.data.masks import RawMask
from tinyunet.data.meaning import as_kind, decide_kind, decide_labelling
from tinyunet.data.spec import DatasetSpec

NOTHING = DatasetSpec()
DECLARED = DatasetSpec(classes=(ClassInfo("wall", 1, "#000000"), ClassInfo("cell", 7, "#ffffff")))
PALETTE = ("#000000", "#ff0000", "#00ff00")
OTHER = ("#000000", "#ff0000", "#123456")


def masks(*rows, kind="ids", palette=None, ignore=None):
    """The facts of masks of one row each, in the files 0.png, 1.png…"""
    raws = [RawMask(np.array([row], np.int64), kind, palette) for row in rows]
    return [(Path(f"{i}.png"), mask_facts(raw, ignore=ignore)) for i, raw in enumerate(raws)]


def labelled(found, spec=NOTHING, kind="ids"):
    return decide_labelling(found, spec, kind=kind)


@pytest.mark.parametrize("value", [1, 7, 255])
def test_zero_and_another_value_are_background_and_foreground(value):
    labelling, findings = labelled(masks([0, value], [0, 0]))
    assert labelling.classes == (ClassInfo("background", 0, "#000000"), ClassInfo("foreground", value, "#e69f00"))
    assert findings.notes == (f"The masks hold 2 values, each a class: background 0, foreground {value}.",)
    assert findings.problems == ()


def test_values_become_classes_in_ascending_order():
    labelling, _ = labelled(masks([9, 2], [0, 2]))
    assert labelling.names == ("class 0", "class 2", "class 9")
    assert [one.value for one in labelling.classes] == [0, 2, 9]


def test_colours_become_classes_by_number_and_keep_their_colour():
    labelling, _ = labelled(masks([0xFF0000, 0x00FF00, 0], kind="rgb"), kind="rgb")
    assert labelling.names == ("class #000000", "class #00ff00", "class #ff0000")
    assert labelling.colors == ("#000000", "#00ff00", "#ff0000")
    assert labelling.kind == "rgb"


def test_indices_take_the_colours_of_their_palette():
    labelling, _ = labelled(masks([1, 2], kind="palette", palette=PALETTE), kind="palette")
    assert labelling.colors == ("#ff0000", "#00ff00")


def test_the_ignored_value_is_no_class():
    labelling, findings = labelled(masks([0, 1, 255], ignore=255), DatasetSpec(ignore=255))
    assert labelling.names == ("background", "foreground")
    assert labelling.ignore == 255
    assert findings.notes[-1] == "Pixels of value 255 in a mask take no part."


def test_declared_classes_are_taken_in_their_order():
    spec = DatasetSpec(classes=DECLARED.classes and DECLARED.classes[::-1])
    labelling, findings = labelled(masks([1, 7]), spec)
    assert labelling.names == ("cell", "wall")
    assert findings.notes == ("2 classes as declared: cell 7, wall 1.",)


def test_a_value_outside_the_declared_classes_is_a_problem_for_each_file():
    _, findings = labelled(masks([1, 7], [1, 3, 3, 9], [2]), DECLARED)
    assert len(findings.problems) == 2
    assert findings.problems[0].startswith(
        "1.png holds values that no class has: 3, 9, in 3 pixels (classes: 1 wall, 7"
    )
    assert findings.problems[0].endswith("declare them in dataset.toml: [[classes]], or ignore = 3.")
    assert findings.problems[1].startswith("2.png holds values that no class has: 2, in 1 pixels")


@pytest.mark.parametrize(("row", "value"), [([0, 7, 7], 7), ([0, 1, 2], 255), ([0, 0], 255)])
def test_foreground_is_all_above_zero(row, value):
    labelling, findings = labelled(masks(row), DatasetSpec(task="foreground"))
    assert labelling.task == "foreground"
    assert [one.value for one in labelling.classes] == [0, value]
    assert findings.problems == ()


def test_foreground_has_nothing_below_zero():
    _, findings = labelled(masks([-2, 0, 1]), DatasetSpec(task="foreground"))
    assert findings.problems[0].startswith("0.png holds values that no class has: -2, in 1 pixels")


def test_foreground_sets_declared_classes_aside_and_says_so():
    _, findings = labelled(masks([0, 7]), DatasetSpec(task="foreground", classes=DECLARED.classes))
    assert "Task foreground: the classes of dataset.toml are set aside." in findings.notes


def test_objects_without_a_task_are_told_apart_and_the_other_ways_said():
    labelling, findings = labelled(masks([0, 1], range(20)))
    assert findings.problems == ()
    assert (labelling.task, labelling.names, labelling.classes[0].value) == ("instances", ("background", "object"), 0)
    assert findings.notes == (
        "Task instances: 0 is background, anything above it an object for each value (19 such values).",
        'The masks look like objects, each with an id of its own. Otherwise set task = "foreground" in dataset.toml, '
        'or --set data.task=foreground; or set task = "semantic" for classes.',
    )


def in_pieces(*numbers):
    """A mask of one row in which every value comes back again and again."""
    return [*numbers, *numbers, *numbers]


def test_one_mask_that_looks_like_objects_does_not_outvote_the_others():
    classes = in_pieces(*range(20))
    labelling, findings = labelled(masks(range(20), classes, classes))
    assert (labelling.task, labelling.num_classes) == ("semantic", 20)
    assert findings.problems == ()


def test_most_masks_that_can_be_judged_decide():
    classes = in_pieces(*range(20))
    assert labelled(masks(range(20), range(20), classes, [0, 1], [0, 2]))[0].task == "instances"
    assert labelled(masks(range(20), classes))[0].task == "semantic"  # half are not most


def anew(count=12):
    """A volume whose slices number their objects from 1 each, and its facts."""
    rng = np.random.default_rng(0)
    planes = [np.kron(rng.permutation(count) + 1, [[1, 1, 0]] * 2) for _ in range(5)]
    return [(Path("v.nii.gz"), mask_facts(RawMask(np.stack(planes).astype(np.int64), "ids")))]


@pytest.mark.parametrize("spec", [NOTHING, DatasetSpec(task="instances")])
def test_numbers_that_begin_anew_in_each_slice_are_a_problem(spec):
    labelling, findings = labelled(anew(), spec)
    assert labelling.task == "instances"
    assert findings.problems == (
        "v.nii.gz must give an object one number through the volume, got numbers that begin anew in each slice. "
        "Number the objects through the volume, for example with skimage.measure.label.",
    )


@pytest.mark.parametrize("task", ["semantic", "foreground"])
def test_other_tasks_do_not_mind_how_objects_are_numbered(task):
    assert labelled(anew(), DatasetSpec(task=task))[1].problems == ()


def test_numbered_objects_can_be_asked_for():
    labelling, findings = labelled(masks([0, 1], [0, 2, 3]), DatasetSpec(task="instances", ignore=3))
    assert (labelling.task, labelling.ignore) == ("instances", 3)
    assert findings.problems == ()


def test_objects_that_are_declared_classes_are_none():
    labelling, findings = labelled(masks(range(20)), DatasetSpec(task="semantic"))
    assert labelling.num_classes == 20
    assert findings.problems == ()


@pytest.mark.parametrize(
    ("count", "got"), [(257, "257"), (MAX_VALUES + 1, f"more than {MAX_VALUES}")], ids=["counted", "beyond counting"]
)
def test_too_many_values_are_never_classes(count, got):
    _, findings = labelled(masks(range(count)), DatasetSpec(task="semantic"))
    assert findings.problems == (
        f"The masks must hold at most 256 values where no classes are declared, got {got}. Declare the classes in "
        'dataset.toml, or set task = "foreground" in dataset.toml, or --set data.task=foreground.',
    )


def test_many_values_are_not_taken_for_classes_without_a_task():
    scattered = masks(*[[value, 0, value] for value in range(1, 65)])
    _, findings = labelled(scattered)
    assert findings.problems[0].startswith(
        '0.png holds too many values to be taken for classes (65 in all masks): set task = "foreground"'
    )
    assert labelled(scattered, DatasetSpec(task="semantic"))[1].problems == ()


def test_no_masks_are_no_problem_here():
    labelling, findings = labelled([], DatasetSpec(boundary="wall"))
    assert labelling.task == "foreground"
    assert findings.problems == ()


def test_masks_without_any_value_that_takes_part_are_a_problem():
    _, findings = labelled(masks([3, 3], ignore=3), DatasetSpec(ignore=3))
    assert findings.problems == ("The masks hold no value that takes part. Remove `ignore` from dataset.toml.",)


def test_a_boundary_is_kept():
    labelling, _ = labelled(masks([1, 7]), DatasetSpec(classes=DECLARED.classes, boundary="wall"))
    assert labelling.boundary == "wall"


def test_a_boundary_that_names_no_class_is_a_problem():
    _, findings = labelled(masks([0, 255]), DatasetSpec(boundary="foregruond"))
    assert findings.problems == (
        "dataset.toml: `boundary` must name a class, got 'foregruond'. Did you mean 'foreground'? "
        "Known: background, foreground.",
    )


@pytest.mark.parametrize(
    ("rgb", "ids", "palette", "spec", "kind"),
    [
        (0, 2, 0, NOTHING, "ids"),
        (0, 0, 2, NOTHING, "palette"),
        (0, 1, 2, NOTHING, "ids"),
        (1, 0, 0, NOTHING, "rgb"),
        (2, 2, 0, NOTHING, "rgb"),
        (1, 2, 0, NOTHING, "ids"),
        (1, 2, 0, DatasetSpec(classes=(ClassInfo("a", 0xFF0000, "#ff0000"),)), "rgb"),
    ],
)
def test_the_kind_is_that_of_the_masks_together(rgb, ids, palette, spec, kind):
    found = masks(*[[0, 0xFF0000]] * rgb, kind="rgb") + masks(*[[0, 3]] * ids)
    found += masks(*[[0, 1]] * palette, kind="palette", palette=PALETTE)
    assert decide_kind(found, spec) == kind


def test_black_and_white_among_a_few_colours_are_colours():
    assert decide_kind(masks([0, 0xFF0000], kind="rgb") + masks(*[[0, 255]] * 5), NOTHING) == "rgb"


def test_greys_among_colours_become_colours():
    agreeing, problems = as_kind(masks([0, 255]) + masks([2, 1], kind="palette", palette=PALETTE), "rgb")
    assert [mask.counts for _, mask in agreeing] == [{0: 1, 0xFFFFFF: 1}, {0x00FF00: 1, 0xFF0000: 1}]
    assert problems == ()


@pytest.mark.parametrize(
    ("found", "kind", "message"),
    [
        (
            masks([0xFF0000], kind="rgb"),
            "ids",
            "0.png holds colours where the other masks hold numbers: save all masks",
        ),
        (masks([300]), "rgb", "0.png holds numbers where the other masks hold colours: save all masks alike."),
    ],
)
def test_masks_of_another_kind_are_problems(found, kind, message):
    agreeing, problems = as_kind(found, kind)
    assert agreeing == []
    assert len(problems) == 1
    assert problems[0].startswith(message)


def test_palettes_that_differ_where_it_matters_are_a_problem():
    same = masks([1], kind="palette", palette=PALETTE) + masks([1], kind="palette", palette=OTHER)
    assert as_kind(same, "palette")[1] == ()
    _, problems = as_kind(same + masks([0, 2], kind="palette", palette=OTHER), "palette")
    assert problems == (
        "0.png must have the palette of the masks before it, got another colour for 2: the number may mean another "
        "class. Save all masks with one palette, or as RGB.",
    )
