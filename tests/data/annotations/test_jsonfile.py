import pytest

from tinyunet.data.annotations.jsonfile import find_image, key, text


@pytest.mark.parametrize(
    "name", ["a.png", "./a.png", "/home/somebody/a.png", "C:\\pictures\\a.png", "../a.png", "sub/../a.png"]
)
def test_an_image_is_found_inside_the_folder_alone(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "a.png").touch()
    problems = []
    assert find_image(tmp_path / "in", name, where="x.json", problems=problems) is None
    assert problems == [f"x.json names the image {name!r}, which is not in {tmp_path}/in. Put it there."]
    (tmp_path / "in" / "a.png").touch()
    assert find_image(tmp_path / "in", name, where="x.json", problems=[]) == tmp_path / "in" / "a.png"


def test_an_image_in_a_folder_of_the_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.png").touch()
    assert find_image(tmp_path, "sub/a.png", where="x.json", problems=[]) == tmp_path / "sub" / "a.png"


@pytest.mark.parametrize("name", [None, "..", "/", "", "sub/.."])
def test_what_is_no_name(tmp_path, name):
    problems = []
    assert find_image(tmp_path, name, where="x.json", problems=problems) is None
    assert len(problems) == 1


def test_values_of_other_types_are_as_good_as_none():
    table = {"a": 3, "b": "x", "c": [1], "d": ""}
    assert [key(table, name) for name in "abcde"] == [3, "x", None, "", None]
    assert [text(table, name) for name in "abcde"] == [None, "x", None, None, None]
