import json
import os
import re
import shutil
import time
from collections import Counter

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image
from reference import zarrs

from tinyunet.data import check, sample
from tinyunet.data.check import examine
from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.normalise import ChannelRule
from tinyunet.data.split import resolve_split
from tinyunet.errors import ConfigError, DataError

IMAGE = np.arange(20 * 24, dtype=np.uint8).reshape(20, 24)
MASK = np.where(IMAGE > 99, 255, 0).astype(np.uint8)
OBJECTS = np.repeat(np.arange(20, dtype=np.uint16)[:, None], 24, axis=1)  # each row an object of its own
WALLS = '[[classes]]\nname = "wall"\nvalue = 0\n[[classes]]\nname = "cell"\nvalue = 255\n'


@pytest.fixture
def cells(tmp_path):
    """A data set of four images that nothing is wrong with."""
    root = tmp_path / "cells"
    for name in "abcd":
        save(root / f"images/{name}.png", IMAGE)
        save(root / f"masks/{name}.png", MASK)
    return root


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, array)
    else:
        Image.fromarray(np.asarray(array)).save(path)


def declare(root, text):
    (root / "dataset.toml").write_text(text)


def only_problem(root, **options):
    """The one problem of a data set; also that it names its file and stays on one line."""
    examination = examine(root, **options)
    assert len(examination.problems) == 1, examination.problems
    assert "\n" not in examination.problems[0]
    with pytest.raises(DataError) as error:
        examination.raise_for_problems()
    assert error.value.problems == examination.problems
    return examination.problems[0]


def test_a_good_data_set_is_understood(cells):
    found = examine(cells)
    assert found.problems == ()
    assert found.labelling == Labelling(
        "semantic", (ClassInfo("background", 0, "#000000"), ClassInfo("foreground", 255, "#e69f00"))
    )
    assert found.channels == ChannelRule(drop_alpha=False, collapse_grey=False, used=1)
    assert found.split == resolve_split(found.folder, seed=0)
    assert found.fingerprint.sizes == {(20, 24): 4}
    assert found.fingerprint.class_pixels == (4 * (MASK == 0).sum(), 4 * (MASK == 255).sum())
    assert found.fingerprint.channel_mean == (IMAGE.mean(),)
    understood, divided, *twins = found.notes
    assert understood == "The masks hold 2 values, each a class: background 0, foreground 255."
    assert divided == "No split is declared: drawn from seed 0, 2 train, 1 val, 1 test."
    assert [note[:24] for note in twins] == [
        "5 pairs of images that l",
        "1 pair of images that lo",
    ]  # all four are alike
    found.raise_for_problems()


def in_parts(root):
    """The same four samples as train/, val/ and test/."""
    for name, part in (("a", "train"), ("b", "train"), ("c", "val"), ("d", "test")):
        for kind in ("images", "masks"):
            (root / part / kind).mkdir(parents=True, exist_ok=True)
            (root / kind / f"{name}.png").rename(root / part / kind / f"{name}.png")
    shutil.rmtree(root / "images")
    shutil.rmtree(root / "masks")


@pytest.mark.parametrize("layout", [lambda root: None, in_parts], ids=["flat", "parts"])
def test_one_pixel_of_any_file_decides_the_digest_and_times_and_order_do_not(cells, layout):
    layout(cells)
    before = examine(cells).fingerprint.digest
    files = sorted(cells.rglob("*.png"))
    assert len(files) == 8
    for path in reversed(files):  # written anew in the opposite order, long ago
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
        os.utime(path, (0, 0))
    assert examine(cells).fingerprint.digest == before
    for path in files:
        content = path.read_bytes()
        with Image.open(path) as image:
            pixels = np.asarray(image).copy()
        pixels[3, 4] ^= 255
        save(path, pixels)
        assert examine(cells).fingerprint.digest != before, path
        path.write_bytes(content)
    assert examine(cells).fingerprint.digest == before


def test_the_summary_is_plain_text(cells):
    save(cells / "images/a.png", IMAGE[:, :-1])
    lines = examine(cells).lines()
    marked = lines.pop(3)
    assert re.fullmatch(r"marked    [\d.]+ ± [\d.]+, 99 % in \d+ to \d+ \(all but foreground, in training\)", marked)
    assert lines[:6] == [
        f"{cells}: 4 images, 4 of them with a mask",
        "sizes     20×24 (3), 20×23 (1) (height×width)",
        "values    uint8, 0 to 255 in training",
        "channels  1 stored, 1 used",
        "split     2 train, 1 val, 1 test",
        "task      semantic",
    ]
    assert lines[6].split() == [
        "class",
        "0",
        "background",
        f"{(MASK == 0).mean():.2%}",
        *["of", "the", "pixels,", "in", "4", "masks"],
    ]
    assert [line.split()[0] for line in lines[8:]] == ["note", "note", "note", "problem"]


def test_everything_goes_into_json(cells):
    table = json.loads(json.dumps(examine(cells).to_dict()))
    assert list(table) == ["root", "split", "labelling", "channels", "fingerprint", "problems", "notes"]
    assert table["root"] == str(cells)


def test_progress_is_told_after_each_image(cells):
    told = []
    examine(cells, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_every_file_is_read_once(cells, monkeypatch):
    read = []
    for module, name in ((sample, "read_image"), (sample, "read_mask")):
        original = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda path, original=original, **axes: read.append(path) or original(path, **axes)
        )
    examine(cells)
    assert Counter(read) == {path: 1 for kind in ("images", "masks") for path in (cells / kind).iterdir()}


def test_threads_do_not_change_the_findings(cells, monkeypatch):
    for i, name in enumerate("efghij"):
        save(cells / f"images/{name}.png", (IMAGE * 0.1 * i).astype(np.uint8))
        save(cells / f"masks/{name}.png", MASK[:, : 24 - i])
    before = examine(cells)
    original = check.measure
    delays = iter([0.05, 0.0, 0.03, 0.0] * 10)

    def slow(*args, **options):
        time.sleep(next(delays))
        return original(*args, **options)

    monkeypatch.setattr(check, "measure", slow)
    assert examine(cells) == before


def test_enough_objects_end_the_search_for_them(cells, monkeypatch):
    monkeypatch.setattr(check, "_CHUNK", 2)
    monkeypatch.setattr(check, "_ENOUGH", 1)
    sought = []
    original = check.measure
    monkeypatch.setattr(
        check, "measure", lambda *args, **options: sought.append(options["seek_objects"]) or original(*args, **options)
    )
    save(cells / "masks/b.png", OBJECTS)
    examine(cells)
    assert sought == [True, True, False, False]  # of the first two, one could be judged


def test_unlabelled_images_take_no_part(cells):
    (cells / "masks/d.png").unlink()
    (cells / "split.csv").write_text("name,split\r\na,train\r\nb,train\r\nc,test\r\nd,unlabelled\r\n")
    found = examine(cells)
    assert found.problems == ()
    assert found.split.unlabelled == ("d",)
    assert (found.fingerprint.images, found.fingerprint.labelled) == (4, 3)


def test_the_task_given_wins_and_is_said(cells):
    declare(cells, 'task = "semantic"')
    found = examine(cells, task="foreground")
    assert found.labelling.task == "foreground"
    assert found.notes[0] == "The task given, foreground, wins over semantic in dataset.toml."


def test_objects_become_foreground_where_so_asked(cells):
    save(cells / "masks/a.png", OBJECTS)
    found = examine(cells, task="foreground")
    assert found.problems == ()
    assert found.labelling.classes[1].value == 255


def test_small_and_constant_images_are_notes(cells):
    save(cells / "images/a.png", np.full((3, 4), 7, np.uint8))
    save(cells / "masks/a.png", MASK[:3, :4] + np.array([[0], [255], [0]], np.uint8))
    found = examine(cells)
    assert found.problems == ()
    assert (
        f"1 image is constant, the first {cells}/images/a.png: nothing can be learnt there. Export it again, or remove "
        "it."
    ) in found.notes
    assert f"1 image is shorter than 16 pixels along a side, the first {cells}/images/a.png." in found.notes


def test_a_class_that_train_does_not_hold_is_a_problem(cells):
    save(cells / "masks/a.png", np.where(MASK == 0, 3, MASK))
    (cells / "split.csv").write_text("name,split\na,test\nb,train\nc,train\nd,val\n")
    assert only_problem(cells) == (
        f"{cells}/masks/a.png holds class 3, which no training mask does, so that it cannot be learnt. Put an image of "
        "it into train, by split.csv."
    )


def test_images_of_several_types_are_counted_and_no_note_while_each_is_normalised_by_itself(cells):
    save(cells / "images/a.png", IMAGE.astype(np.uint16) * 100)
    found = examine(cells)
    assert any(line.startswith("values    uint16 (1), uint8 (3), ") for line in found.lines())
    assert not any("different types" in note for note in found.notes)


def truncated(root):
    path = root / "images/a.png"
    path.write_bytes(path.read_bytes()[:-60])


def no_image(root):
    (root / "images/a.png").write_text("<html>not found</html>")


def nan(root):
    (root / "images/a.png").unlink()
    save(root / "images/a.npy", np.where(IMAGE == 7, np.nan, IMAGE.astype(np.float32)))


def other_size(root):
    save(root / "masks/a.png", MASK[:-1])


def turned(root):
    save(root / "masks/a.png", MASK.T)


def colour(root):
    save(root / "images/a.png", np.stack([IMAGE, IMAGE, IMAGE[::-1]], -1))


def jpeg_mask(root):
    (root / "masks/a.png").unlink()
    save(root / "masks/a.jpg", MASK)


def stack(root):
    (root / "images/a.png").unlink()
    save(root / "images/a.tif", np.stack([IMAGE] * 5))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncated, "images/a.png cannot be decoded"),
        (no_image, "images/a.png is not an image"),
        (nan, "images/a.npy holds 2 pixels that are NaN"),
        (
            other_size,
            "masks/a.png must have the size of its image, 20×24, got 19×24 (height×width). Replace one of the two.",
        ),
        (
            turned,
            "masks/a.png must have the size of its image, 20×24, got 24×20 (height×width). It looks turned by 90°.",
        ),
        (colour, "images/a.png must have 1 channel as most images have, got 3. Convert it or remove it."),
        (jpeg_mask, "masks/a.jpg must hold exact values, got "),
        (stack, "images/a.tif "),
    ],
)
def test_a_file_that_cannot_be_used_is_named(cells, spoil, message):
    spoil(cells)
    problem = only_problem(cells)
    assert f"{cells}/{message}" in problem


def test_a_smeared_png_mask_is_a_problem(cells):
    rows, columns = np.mgrid[:96, :96]
    disc = ((np.hypot(rows - 48, columns - 50) < 30) * 255).astype(np.uint8)
    save(cells / "smeared.jpg", disc)
    with Image.open(cells / "smeared.jpg") as image:
        save(cells / "masks/a.png", np.asarray(image))
    save(cells / "images/a.png", disc)
    problem = only_problem(cells)
    assert "masks/a.png must hold exact values" in problem
    assert problem.endswith("Save it from its source as PNG or TIFF, resized without interpolation.")


def test_a_value_outside_the_declared_classes_is_a_problem(cells):
    declare(cells, WALLS)
    save(cells / "masks/b.png", np.where(IMAGE == 7, 3, MASK))
    assert f"{cells}/masks/b.png holds values that no class has: 3, in 2 pixels" in only_problem(cells)


def test_objects_without_a_task_are_told_apart(cells):
    save(cells / "masks/b.png", OBJECTS)
    found = examine(cells)
    assert found.problems == ()
    assert found.labelling.task == "instances"
    assert found.fingerprint.class_pixels[1] > 0


def test_masks_of_one_class_are_a_problem(cells):
    for name in "abcd":
        save(cells / f"masks/{name}.png", np.zeros_like(MASK))
    assert only_problem(cells) == (
        f"{cells}: the masks must hold at least 2 classes, got only class 0 (value 0). "
        "Check how the masks were saved, and which images are for training."
    )


def test_training_masks_of_one_class_are_a_problem(cells):
    save(cells / "masks/a.png", np.full_like(MASK, 255))
    (cells / "split.csv").write_text("name,split\na,train\nb,test\nc,test\nd,val\n")
    assert (
        f"{cells}: the training masks must hold at least 2 classes, got only foreground (value 255)."
        in only_problem(cells)
    )


def test_a_boundary_that_names_no_class_is_a_problem(cells):
    declare(cells, 'boundary = "walls"\n' + WALLS)
    assert only_problem(cells).startswith(
        "dataset.toml: `boundary` must name a class, got 'walls'. Did you mean 'wall'?"
    )


def test_a_split_that_cannot_train_is_a_problem(cells):
    (cells / "split.csv").write_text("name,split\na,test\nb,test\nc,test\nd,val\n")
    assert only_problem(cells) == f"{cells}: at least one image must be declared train, got none. Declare some."


def test_one_pair_is_a_problem(tmp_path):
    save(tmp_path / "images/a.png", IMAGE)
    save(tmp_path / "masks/a.png", MASK)
    assert only_problem(tmp_path).startswith(
        f"{tmp_path} must hold at least 2 images with masks of the same stem, got 1."
    )


def test_no_pair_at_all_is_a_problem_and_no_more(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    assert only_problem(tmp_path).startswith(
        f"{tmp_path} must hold at least 2 images with masks of the same stem, got 0."
    )
    assert len(examine(tmp_path).lines()) == 9


def test_all_problems_are_collected(cells):
    truncated(cells)
    save(cells / "masks/b.png", MASK[:-1])
    (cells / "masks/c.png").write_bytes(b"")
    save(cells / "images/e.png", IMAGE)
    save(cells / "masks/f.png", MASK)
    problems = examine(cells).problems
    assert len(problems) == 5
    for name in ("images/a.png", "masks/b.png", "masks/c.png", "images/e.png", "masks/f.png"):
        assert sum(name in problem.split(" must ")[0] for problem in problems) == 1


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="x must be a folder with images/ and masks/, got nothing there"):
        examine(tmp_path / "x")


@pytest.mark.parametrize("task", ["semantics", "panoptic"])
def test_a_task_that_does_not_exist_is_an_error(cells, task):
    with pytest.raises(ConfigError, match=f"^`task` must be .*semantic.*{task}|{task}.*semantic"):
        examine(cells, task=task)
    declare(cells, f'task = "{task}"')
    with pytest.raises(ConfigError, match=r"dataset\.toml: `task` must be"):
        examine(cells)


def test_membranes_are_understood(real_data):
    found = examine(real_data / "isbi2012")
    assert found.problems == ()
    assert found.labelling.boundary == "membrane"
    assert found.fingerprint.sizes == {(512, 512): 30}


def test_nuclei_are_foreground_if_so_asked(real_data):
    found = examine(real_data / "nuclei", task="foreground")
    assert found.problems == ()
    assert found.channels == ChannelRule(drop_alpha=True, collapse_grey=True, used=1)
    assert (len(found.split.train) + len(found.split.val), len(found.split.test)) == (487, 54)


def test_nuclei_are_told_apart(real_data):
    found = examine(real_data / "nuclei")
    assert found.problems == ()
    assert found.labelling.task == "instances"


BRAIN = np.random.default_rng(0).integers(0, 255, (6, 7, 8)).astype(np.uint8)  # x, y, z


@pytest.fixture
def brains(tmp_path):
    """A data set of four volumes with masks of two classes."""
    root = tmp_path / "brains"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for name in "abcd":
        save_brain(root / f"images/{name}.nii.gz", np.roll(BRAIN, ord(name), axis=0))
        save_brain(root / f"masks/{name}.nii.gz", np.roll(BRAIN, ord(name), axis=0) > 100)
    return root


def save_brain(path, array, spacing=(1.0, 1.0, 2.0), shift=0.0):
    affine = np.diag([*spacing, 1.0])
    affine[0, 3] = shift
    nibabel.save(nibabel.Nifti1Image(array.astype(np.uint8), affine), path)


def test_volumes_are_understood(brains):
    found = examine(brains)
    assert found.problems == ()
    assert found.fingerprint.sizes == {(8, 7, 6): 4}
    assert found.fingerprint.spacings == {(2.0, 1.0, 1.0): 4}
    assert found.fingerprint.dimensions == 3
    assert sum(found.fingerprint.class_pixels) == 4 * 8 * 7 * 6
    lines = found.lines()
    assert "sizes     8×7×6 (4) (depth×height×width)" in lines
    assert "spacing   2 × 1 × 1 (4)" in lines


MISFITS = {
    "{root}/masks/b.nii.gz must have the size of its image, 8×7×6, got 5×7×6 (depth×height×width). "
    "Replace one of the two.": {"array": BRAIN[..., :5] > 100},
    "{root}/masks/b.nii.gz must have the voxels of its image, 2 x 1 x 1, got 3 x 1 x 1 (z, y, x). "
    "Resample the mask to its image, without interpolation.": {"array": BRAIN > 100, "spacing": (1.0, 1.0, 3.0)},
    "{root}/masks/b.nii.gz must lie where its image does, got another affine: turned, or shifted by 4 mm. "
    "Save the mask with the affine of its image.": {"array": BRAIN > 100, "shift": 4.0},
}


@pytest.mark.parametrize("message", MISFITS)
def test_a_mask_that_lies_elsewhere_than_its_image(brains, message):
    save_brain(brains / "masks/b.nii.gz", **MISFITS[message])
    assert only_problem(brains) == message.format(root=brains)


def test_an_image_among_volumes(brains):
    save(brains / "images/e.png", IMAGE)
    save(brains / "masks/e.png", MASK // 255)
    assert only_problem(brains) == (
        f"{brains}/images/e.png must be a volume of three axes as most are, got an image of two axes. Remove it, or "
        "keep images and volumes in data sets of their own."
    )


def test_masks_of_floats_that_are_whole_are_fine_and_fractions_are_not(brains):
    for name in "abcd":
        mask = (np.roll(BRAIN, ord(name), axis=0) > 100).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(mask, np.diag([1.0, 1, 2, 1])), brains / f"masks/{name}.nii.gz")
    assert examine(brains).problems == ()
    mask[3, 2, 5] = 0.5
    nibabel.save(nibabel.Nifti1Image(mask, np.diag([1.0, 1, 2, 1])), brains / "masks/d.nii.gz")
    assert only_problem(brains) == (
        f"{brains}/masks/d.nii.gz holds fractions, such as 0.5 at slice 5, row 2, column 3: a mask holds whole "
        "numbers; if these are probabilities, save the class numbers instead."
    )


def test_axes_and_spacing_of_dataset_toml_serve_files_that_say_none(tmp_path):
    for name in "abcd":
        volume = np.roll(BRAIN, ord(name), axis=0)
        save(tmp_path / f"images/{name}.npy", np.stack([volume, volume // 2]))
        save(tmp_path / f"masks/{name}.npy", (volume > 100).astype(np.uint8))
    declare(tmp_path, 'axes = "czyx"\nspacing = [3, 0.5, 0.5]')
    found = examine(tmp_path)
    assert found.problems == ()
    assert found.fingerprint.sizes == {BRAIN.shape: 4}
    assert found.fingerprint.spacings == {(3.0, 0.5, 0.5): 4}
    assert found.channels.used == 2


def test_folders_of_zarr_are_images_and_masks(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for name in "abcd":
        volume = np.roll(BRAIN, ord(name), axis=0)
        zarrs.write_image(tmp_path / f"images/{name}.ome.zarr", volume, "zyx", [2, 1, 1], version=2)
        zarrs.write_image(tmp_path / f"masks/{name}.zarr", (volume > 100).astype(np.uint8), "zyx", [2, 1, 1], version=3)
    found = examine(tmp_path)
    assert found.problems == ()
    assert found.fingerprint.spacings == {(2.0, 1.0, 1.0): 4}
    (tmp_path / "masks/b.zarr/0/c/0/0/0").unlink()
    assert only_problem(tmp_path).startswith(
        f"{tmp_path}/masks/b.zarr lacks the chunk 0/c/0/0/0: the copy is incomplete."
    )
