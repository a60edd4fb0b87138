import json
import re

import numpy as np
import pytest
from reference import tiny

from tinyunet.data.annotations.convert import convert
from tinyunet.data.check import examine
from tinyunet.errors import ConfigError, DataError


def square(left, top, side=6):
    return [left, top, left + side, top, left + side, top + side, left, top + side]


def write_coco(folder, *, names=("cell",), size=(20, 24)):
    """Three images with two squares each, of the classes in turn; a COCO file."""
    images, annotations = [], []
    for number in range(3):
        tiny.save(folder / "images" / f"{number}.png", np.random.default_rng(number).integers(0, 9, size, np.uint8))
        images.append({"id": number, "file_name": f"{number}.png", "height": size[0], "width": size[1]})
        for k in range(2):
            where = {"image_id": number, "category_id": k % len(names)}
            annotations.append({"id": len(annotations), "segmentation": [square(1 + 6 * k, 3)], **where})
    categories = [{"id": k, "name": name} for k, name in enumerate(names)]
    file = folder / "coco.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return file


def test_one_class_becomes_numbered_objects(tmp_path):
    said = convert(write_coco(tmp_path), tmp_path / "data")
    assert said == ("3 images with 6 shapes of 1 class (cell): task instances.",)
    mask = tiny.pixels(tmp_path / "data" / "masks" / "1.png")
    assert mask.dtype == np.uint16
    expected = np.zeros((20, 24), int)
    expected[3:9, 1:7], expected[3:9, 7:13] = 1, 2
    np.testing.assert_array_equal(mask, expected)
    found = examine(tmp_path / "data")
    assert found.problems == ()
    assert found.labelling.task == "instances"
    original, copy = (folder / "images" / "1.png" for folder in (tmp_path, tmp_path / "data"))
    assert original.read_bytes() == copy.read_bytes()


def test_several_classes_become_a_mask_of_classes(tmp_path):
    convert(write_coco(tmp_path, names=("cell", "dirt")), tmp_path / "data")
    mask = tiny.pixels(tmp_path / "data" / "masks" / "0.png")
    assert mask.dtype == np.uint8
    assert (mask[5, 3], mask[5, 9], mask[0, 0]) == (1, 2, 0)
    found = examine(tmp_path / "data")
    assert found.problems == ()
    assert found.labelling.names == ("background", "cell", "dirt")


def test_the_task_can_be_chosen(tmp_path):
    convert(write_coco(tmp_path, names=("cell", "dirt")), tmp_path / "data", task="instances")
    assert tiny.pixels(tmp_path / "data" / "masks" / "0.png").max() == 2
    assert examine(tmp_path / "data").labelling.task == "instances"


def test_crowds_take_no_part(tmp_path):
    file = write_coco(tmp_path)
    table = json.loads(file.read_text())
    table["annotations"][1]["iscrowd"] = 1
    file.write_text(json.dumps(table))
    convert(file, tmp_path / "data")
    found = examine(tmp_path / "data")
    assert found.labelling.ignore == 65535
    assert found.fingerprint.ignored_pixels == 36


def test_labelme_is_read_from_its_folder(tmp_path):
    for number in range(2):
        tiny.save(tmp_path / f"{number}.png", np.full((9, 9), number, np.uint8))
        shape = {"label": "cell", "points": [[1, 1], [5, 1], [5, 5], [1, 5]], "shape_type": "polygon"}
        (tmp_path / f"{number}.json").write_text(json.dumps({"imagePath": f"{number}.png", "shapes": [shape]}))
    seen = []
    said = convert(tmp_path, tmp_path / "data", progress=lambda done, name: seen.append((done, name)))
    assert said[0] == "2 images with 2 shapes of 1 class (cell): task instances."
    assert seen == [(1, "0.png"), (2, "1.png")]
    assert (tiny.pixels(tmp_path / "data" / "masks" / "0.png") > 0).sum() == 16


def nothing_is_left(folder, name="data"):
    return not any(name in path.name for path in folder.iterdir())


def test_problems_leave_nothing_behind(tmp_path):
    file = write_coco(tmp_path)
    (tmp_path / "images" / "1.png").unlink()
    (tmp_path / "images" / "2.png").write_bytes(b"?")
    with pytest.raises(DataError, match=r"names the image '1\.png'"):
        convert(file, tmp_path / "data")
    tiny.save(tmp_path / "images" / "1.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"2\.png is not an image"):
        convert(file, tmp_path / "data")
    assert nothing_is_left(tmp_path)


def test_a_mask_of_another_size_than_its_image_is_a_problem(tmp_path):
    file = write_coco(tmp_path)
    table = json.loads(file.read_text())
    table["annotations"][0]["segmentation"] = {"size": [2, 2], "counts": [4]}
    file.write_text(json.dumps(table))
    message = f"{tmp_path}/images/0.png is 20 x 24 pixels, a mask drawn for it 2 x 2."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        convert(file, tmp_path / "data")


def test_two_images_of_one_name_are_a_problem(tmp_path):
    file = write_coco(tmp_path)
    table = json.loads(file.read_text())
    table["images"][1]["file_name"] = "0.png"
    file.write_text(json.dumps(table))
    with pytest.raises(DataError, match="have one name; rename or leave out one of them"):
        convert(file, tmp_path / "data")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "There is no file or folder .*nowhere"),
        ("empty", "empty holds no JSON files. Give the folder of LabelMe's files, or a COCO file."),
    ],
)
def test_sources_that_are_none(tmp_path, source, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=message):
        convert(tmp_path / source, tmp_path / "data")


def test_what_exists_is_not_replaced(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(ConfigError, match=r"data exists; choose another --out\."):
        convert(write_coco(tmp_path), tmp_path / "data")


def test_images_elsewhere_must_be_somewhere(tmp_path):
    with pytest.raises(DataError, match=r"There is no folder .*x; say with --images where the images are"):
        convert(write_coco(tmp_path), tmp_path / "data", images=tmp_path / "x")
