import json

import numpy as np
import pytest
from reference import tiny

from tinyunet.data.annotations.labelme import read_labelme
from tinyunet.data.annotations.shapes import fill


def write(folder, *shapes, name="a", **changes):
    """A LabelMe file beside its image of 8 x 8 pixels."""
    tiny.save(folder / f"{name}.png", np.zeros((8, 8), np.uint8))
    table = {"version": "5.0", "imagePath": f"{name}.png", "shapes": list(shapes), **changes}
    (folder / f"{name}.json").write_text(json.dumps(table))
    return folder


def shape(points, label="cell", kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


def test_polygons_rectangles_and_circles_are_drawn(tmp_path):
    found = read_labelme(
        write(
            tmp_path,
            shape([[0, 0], [3, 0], [3, 2], [0, 2]]),
            shape([[7, 6], [5, 3]], kind="rectangle", label="dirt"),
            shape([[4, 4], [4, 7]], kind="circle"),
        ),
        tmp_path,
    )
    assert found.problems == found.notes == ()
    assert found.labels == ("cell", "dirt")
    polygon, rectangle, circle = (fill(one, (8, 8)) for one in found.images[0].shapes)
    assert polygon.sum() == 6
    assert polygon[:2, :3].all()
    assert rectangle.sum() == 6
    assert rectangle[3:6, 5:7].all()
    assert circle.sum() == pytest.approx(np.pi * 9, abs=5)


def test_shapes_of_a_group_are_one_thing(tmp_path):
    left, right = [[0, 0], [2, 0], [2, 2], [0, 2]], [[4, 0], [6, 0], [6, 2], [4, 2]]
    write(tmp_path, shape(left, group_id=1), shape(right, group_id=1), shape(right), shape(right))
    shapes = read_labelme(tmp_path, tmp_path).images[0].shapes
    assert [len(one.rings) for one in shapes] == [2, 1, 1]


def test_what_has_no_area_is_left_out_and_said(tmp_path):
    write(tmp_path, shape([[1, 1]], kind="point"), shape([[1, 1], [2, 2]], kind="line"))
    tiny.save(tmp_path / "b.png", np.zeros((8, 8), np.uint8))
    found = read_labelme(tmp_path, tmp_path)
    assert found.notes == (
        "1 shapes of type line have no area and were left out.",
        "1 shapes of type point have no area and were left out.",
        f"1 images have no JSON file and were left out, the first {tmp_path}/b.png.",
    )


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    write(tmp_path, shape([[0, 0], [1, 1]]), {"label": "x"}, shape([[0, 0], [1, float("nan")], [2, 2]]))
    write(tmp_path, name="b", imagePath="../../c.png")
    write(tmp_path, name="d", shapes=4)
    (tmp_path / "e.json").write_text("?")
    said = "\n".join(read_labelme(tmp_path, tmp_path).problems)
    assert f"{tmp_path}/a.json: shape 0 cannot be drawn: a polygon must have 3 or more pairs of numbers." in said
    assert f"{tmp_path}/a.json: shape 1 cannot be drawn: 'points'." in said
    assert f"{tmp_path}/a.json: shape 2 cannot be drawn: a polygon must have" in said
    assert f"{tmp_path}/b.json names the image '../../c.png', which is not in {tmp_path}." in said
    assert f"{tmp_path}/d.json must have a list of objects `shapes`, as LabelMe files have." in said
    assert f"{tmp_path}/e.json is not JSON" in said


def test_images_may_lie_elsewhere(tmp_path):
    write(tmp_path / "json", imagePath="..\\images\\a.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "json" / "a.png").rename(tmp_path / "images" / "a.png")
    found = read_labelme(tmp_path / "json", tmp_path / "images")
    assert found.images[0].path == tmp_path / "images" / "a.png"
