"""The folder that is painted."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from reference.tiny import pixels, save, write_pairs

from tinyunet.data.check import examine
from tinyunet.data.normalise import ChannelRule
from tinyunet.data.readers import read_image
from tinyunet.errors import ConfigError, DataError
from tinyunet.web.studio.folder import StudioFolder

GREY = np.arange(30, dtype=np.uint8).reshape(5, 6, 1)


@pytest.fixture
def opened():
    """Opens folders, and closes them in the end."""
    found = []

    def open_one(root):
        found.append(StudioFolder(root))
        return found[-1]

    yield open_one
    for folder in found:
        folder.close()


def painted(*values, shape=(5, 6)):
    paint = np.full(shape, 255, np.uint8)
    paint[0, : len(values)] = values
    return paint


def test_an_empty_folder_has_two_classes_and_no_image(tmp_path, opened):
    folder = opened(tmp_path / "new" / "cells")
    assert folder.labelling.names == ("background", "object")
    assert (folder.labelling.ignore, folder.entries, folder.channels) == (255, [], None)
    assert sorted(path.name for path in folder.root.iterdir()) == [".studio", "dataset.toml", "images", "masks"]


def test_images_get_names_of_ours_and_keep_their_pixels(tmp_path, opened):
    folder = opened(tmp_path)
    deep = GREY.astype(np.uint16) * 1000
    for image, suffix in ((GREY, ".png"), (deep, ".tif"), (GREY / np.float32(7), ".tif")):
        entry = folder.add(image, "../../etc/passwd")
        assert entry.path.parent == tmp_path / "images"
        assert entry.path.suffix == suffix
        assert entry.name == "../../etc/passwd"  # a text and no path
        assert np.array_equal(read_image(entry.path), image)
        assert read_image(entry.path).dtype == image.dtype
    assert [entry.stem for entry in folder.entries] == ["image-0001", "image-0002", "image-0003"]
    assert folder.channels == ChannelRule(drop_alpha=False, collapse_grey=False, used=1)


def test_paint_is_the_masks_of_a_data_set_that_check_accepts(tmp_path, opened):
    folder = opened(tmp_path)
    rng = np.random.default_rng(0)
    entries = [folder.add(rng.integers(0, 255, (5, 6, 1), np.uint8), f"{k}") for k in range(3)]
    for entry in entries[:2]:
        folder.write_paint(entry, painted(0, 1, 1))
        assert np.array_equal(folder.read_paint(entry), painted(0, 1, 1))
    folder.write_split({entry.stem for entry in entries[:2]})
    found = examine(tmp_path)
    assert found.problems == ()
    assert found.labelling == folder.labelling
    assert found.split.unlabelled == ("image-0003",)
    assert (folder.read_paint(entries[2]) == 255).all()


def test_an_image_is_removed_and_taken_back_with_its_paint(tmp_path, opened):
    folder = opened(tmp_path)
    entry = folder.add(GREY, "a")
    folder.write_paint(entry, painted(1))
    folder.remove(entry.id)
    assert folder.entries == []
    assert [*(tmp_path / "images").iterdir()] == [*(tmp_path / "masks").iterdir()] == []
    assert folder.add(GREY, "b").stem == "image-0002"  # a name is never given twice
    back = folder.restore(entry.id)
    assert back == entry
    assert np.array_equal(folder.read_paint(back), painted(1))
    assert folder.restore(entry.id) is None
    assert folder.restore("no-such") is None


def test_it_is_the_same_when_it_is_opened_again(tmp_path, opened):
    folder = opened(tmp_path)
    entry = folder.add(GREY, "mine")
    folder.remove(folder.add(GREY, "gone").id)
    folder.close()
    again = opened(tmp_path)
    assert again.entries == [entry]
    assert (again.labelling, again.channels) == (folder.labelling, folder.channels)
    assert again.add(GREY, "next").stem == "image-0003"


def test_ids_are_others_in_another_folder(tmp_path, opened):
    assert opened(tmp_path / "a").add(GREY, "x").id != opened(tmp_path / "b").add(GREY, "x").id


def test_a_data_set_with_masks_is_opened_as_it_is(tmp_path, opened):
    root = write_pairs(tmp_path / "cells", count=3)
    before = pixels(root / "masks/0.png")
    folder = opened(root)
    assert [one.value for one in folder.labelling.classes] == [0, 255]
    assert folder.labelling.ignore == 254
    entry = folder.entries[0]
    paint = folder.read_paint(entry)
    assert np.array_equal(paint, (before > 0).astype(np.uint8))
    folder.write_paint(entry, paint)
    assert np.array_equal(pixels(root / "masks/0.png"), before)
    paint[0, 0] = 255
    folder.write_paint(entry, paint)
    assert pixels(root / "masks/0.png")[0, 0] == 254
    assert not (root / "split.csv").exists()


def test_what_is_kept_for_a_test_is_not_learnt_from(tmp_path, opened):
    root = write_pairs(tmp_path / "cells", count=3)
    (root / "split.csv").write_text("name,split\n0,train\n1,test\n2,train\n")
    folder = opened(root)
    assert [entry.learns for entry in folder.entries] == [True, False, True]
    folder.write_split({"0", "1"})
    assert (root / "split.csv").read_text() == "name,split\n0,train\n1,test\n2,unlabelled\n"


def test_classes_are_written_at_once_and_other_keys_stay(tmp_path, opened):
    folder = opened(tmp_path)
    spec = tmp_path / "dataset.toml"
    spec.write_text(spec.read_text().replace('task = "semantic"', 'task = "semantic"\nspacing = [0.5, 0.5]'))
    classes = folder.labelling.classes
    folder.set_labelling(type(folder.labelling)("semantic", classes[::-1], ignore=255))
    folder.close()
    again = opened(tmp_path)
    assert again.labelling.classes == classes[::-1]
    assert "spacing" in spec.read_text()


def test_what_cannot_be_painted_is_refused_and_left_alone(tmp_path, opened):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file is a file; give a folder"):
        opened(tmp_path / "file")
    save(tmp_path / "holiday/a.png", GREY[..., 0])
    with pytest.raises(ConfigError, match=r"must be empty or a data set with images/ and masks/, got a.png"):
        opened(tmp_path / "holiday")
    assert [path.name for path in (tmp_path / "holiday").iterdir()] == ["a.png"]
    (tmp_path / "volumes/images").mkdir(parents=True)
    tifffile.imwrite(
        tmp_path / "volumes/images/a.tif", np.zeros((4, 9, 9), np.uint8), imagej=True, metadata={"axes": "ZYX"}
    )
    with pytest.raises(ConfigError, match=r"a.tif is no image of two axes"):
        opened(tmp_path / "volumes")
    opened(tmp_path / "mine")
    with pytest.raises(ConfigError, match="open in another studio"):
        opened(tmp_path / "mine")


def test_a_mask_of_another_size_is_named(tmp_path, opened):
    folder = opened(tmp_path)
    entry = folder.add(GREY, "a")
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(entry.mask)
    with pytest.raises(DataError, match=r"image-0001.png has another size than its image"):
        folder.read_paint(entry)


def test_damaged_books_are_named(tmp_path, opened):
    opened(tmp_path).close()
    (tmp_path / ".studio/studio.json").write_text(json.dumps({"names": 1})[:-1])
    with pytest.raises(DataError, match=r"studio.json is damaged \(.*\); remove it"):
        opened(tmp_path)
