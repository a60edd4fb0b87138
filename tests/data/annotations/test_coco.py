import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import tiny

from tinyunet.data.annotations.coco import decode_counts, read_coco
from tinyunet.data.annotations.shapes import fill
from tinyunet.errors import DataError

SQUARE = [1, 1, 4, 1, 4, 3, 1, 3]


def pack(runs):
    """Run lengths as COCO packs them: the inverse of `decode_counts`."""
    letters = ""
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        more = True
        while more:
            five = value & 31
            value >>= 5
            more = value != (-1 if five & 16 else 0)
            letters += chr(48 + five + 32 * more)
    return letters


def write(folder, *annotations, images=None, **changes):
    """A COCO file of one image, `a.png`, of 6 x 5 pixels."""
    tiny.save(folder / "a.png", np.zeros((5, 6), np.uint8))
    table = {
        "images": images or [{"id": 1, "file_name": "a.png", "height": 5, "width": 6}],
        "categories": [{"id": 7, "name": "cell"}, {"id": 9, "name": "dirt"}],
        "annotations": [{"id": i, "image_id": 1, "category_id": 7, **a} for i, a in enumerate(annotations)],
    }
    file = folder / "coco.json"
    file.write_text(json.dumps({**table, **changes}))
    return file


def drawn(found):
    return [fill(shape, (5, 6)) for shape in found.images[0].shapes]


def test_polygons_and_runs_and_packed_runs_are_one_mask(tmp_path):
    mask = np.zeros((5, 6), bool)
    mask[1:3, 1:4] = True
    runs = [6, 2, 3, 2, 3, 2, 12]
    file = write(
        tmp_path,
        {"segmentation": [SQUARE]},
        {"segmentation": {"size": [5, 6], "counts": runs}, "iscrowd": 1},
        {"segmentation": {"size": [5, 6], "counts": pack(runs)}},
    )
    found = read_coco(file, tmp_path)
    assert found.problems == ()
    for one in drawn(found):
        np.testing.assert_array_equal(one, mask)
    assert [shape.crowd for shape in found.images[0].shapes] == [False, True, False]


@given(st.lists(st.integers(0, 5000), max_size=8))
def test_packed_runs_come_back(runs):
    assert decode_counts(pack(runs)) == runs


@pytest.mark.parametrize("letters", ["1 ", "ä", "P", "oooooooooooooo1"])
def test_packed_runs_that_are_none_are_refused(letters):
    with pytest.raises(ValueError, match=r"^its packed runs "):
        decode_counts(letters)


def test_small_things_are_drawn_last_and_only_classes_that_occur_are_named(tmp_path):
    file = write(tmp_path, {"segmentation": [SQUARE], "category_id": 9}, {"segmentation": [[0, 0, 6, 0, 6, 5, 0, 5]]})
    found = read_coco(file, tmp_path)
    assert [shape.label for shape in found.images[0].shapes] == ["cell", "dirt"]
    assert found.labels == ("cell", "dirt")
    assert read_coco(write(tmp_path, {"segmentation": [SQUARE]}), tmp_path).labels == ("cell",)


def test_images_without_annotation_are_background_and_said(tmp_path):
    found = read_coco(write(tmp_path), tmp_path)
    assert found.images[0].shapes == ()
    assert found.notes == ("1 of 1 images have no annotation: all of each is background.",)


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    file = write(
        tmp_path,
        {"segmentation": [[1, 1, 2, 2]]},
        {"segmentation": [SQUARE], "image_id": 5},
        {"segmentation": [SQUARE], "category_id": [7]},
        {"segmentation": None},
        {"segmentation": {"size": [5, 6], "counts": [1, 2]}},
        {},
        {"segmentation": {"size": [5, 6], "counts": [1.5, 28.5]}},
        images=[
            {"id": 1, "file_name": "a.png"},
            {"id": 2, "file_name": "../../etc/passwd"},
            {"id": 3, "file_name": "/etc/passwd"},
            {"id": 4},
        ],
    )
    said = read_coco(file, tmp_path).problems
    for expected in (
        "annotation 0 cannot be drawn: an outline must be a list of three or more pairs of numbers. Correct it,",
        "annotation 1 belongs to image 5, which the file does not list.",
        "annotation 2 is of category None, which the file does not list.",
        "annotation 3 cannot be drawn",
        "annotation 4 cannot be drawn: its runs must add up to 5 x 6 pixels.",
        "annotation 5 cannot be drawn: 'segmentation'.",
        "annotation 6 cannot be drawn: its runs must be whole numbers.",
        f"names the image '../../etc/passwd', which is not in {tmp_path}. Put it there.",
        f"names the image '/etc/passwd', which is not in {tmp_path}. Put it there.",
        "an image has no file name.",
    ):
        assert any(expected in problem for problem in said), expected
    assert len(said) == 10


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    tiny.save(tmp_path / "secret.png", np.zeros((5, 6), np.uint8))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "b.png").symlink_to(tmp_path / "secret.png")
    file = write(tmp_path / "data", images=[{"id": 1, "file_name": "b.png"}])
    assert "which is not in" in read_coco(file, tmp_path / "data").problems[0]


def test_a_path_of_another_machine_is_found_by_its_last_part(tmp_path):
    file = write(tmp_path, images=[{"id": 1, "file_name": "C:\\data\\a.png"}])
    assert read_coco(file, tmp_path).images[0].path == tmp_path / "a.png"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON: "),
        ("[]", "must hold an object in braces, got list."),
        ("[" * 100_000, "is not JSON: "),
    ],
)
def test_what_is_no_coco_file_is_named(tmp_path, content, message):
    file = tmp_path / "x.json"
    file.write_text(content)
    with pytest.raises(DataError, match=re.escape(f"{file} {message}")):
        read_coco(file, tmp_path)


def test_missing_lists_are_named(tmp_path):
    file = write(tmp_path, images=None, categories=3)
    assert f"{file} must have a list of objects `categories`, as COCO files have." in read_coco(file, tmp_path).problems
