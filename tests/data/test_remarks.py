import numpy as np
import pytest
from reference import tiny

from tinyunet.data.check import examine


def micrograph(seed):
    """Bright boxes on noise, and where they are."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((64, 64), np.uint8)
    for _ in range(5):
        y, x = rng.integers(10, 44, 2)
        mask[y : y + rng.integers(4, 10), x : x + rng.integers(4, 10)] = 255
    image = np.clip(rng.normal(60, 20, mask.shape) + 100 * (mask > 0), 0, 255).astype(np.uint8)
    return image, mask


@pytest.fixture
def cells(tmp_path):
    """A data set with nothing to remark on: six images to train, two to test."""
    rows = ["name,split"]
    for k in range(8):
        image, mask = micrograph(k)
        tiny.save(tmp_path / f"images/{k}.png", image)
        tiny.save(tmp_path / f"masks/{k}.png", mask)
        rows.append(f"{k},{'test' if k > 5 else 'val' if k == 5 else 'train'}")
    (tmp_path / "split.csv").write_text("\n".join(rows))
    return tmp_path


def new_notes(cells):
    found = examine(cells)
    assert found.problems == ()
    usual = ("The masks hold", "The split is")
    return [note for note in found.notes if not note.startswith(usual)]


def change(path, change):
    tiny.save(path, change(tiny.pixels(path)))


def test_nothing_is_said_of_a_data_set_without_fault(cells):
    assert new_notes(cells) == []


def test_the_same_picture_on_both_sides_of_the_split(cells):
    image = tiny.pixels(cells / "images/1.png")
    tiny.save(cells / "images/6.png", (image * 0.8 + 10).astype(np.uint8))  # the same, a little darker
    tiny.save(cells / "masks/6.png", tiny.pixels(cells / "masks/1.png"))
    assert new_notes(cells) == [
        f"1 pair of images that look the same on two sides of the split, the first {cells}/images/1.png (train) "
        f"and {cells}/images/6.png (test): the scores will flatter. Put both of a pair on one side, by split.csv."
    ]


def test_the_same_picture_twice_in_the_training(cells):
    for folder in ("images", "masks"):
        tiny.save(cells / folder / "2.png", tiny.pixels(cells / folder / "1.png"))
    assert new_notes(cells) == [
        f"1 pair of images that look the same, the first {cells}/images/1.png and {cells}/images/2.png: the second of "
        "a pair teaches little. Remove it."
    ]


def test_a_shifted_mask(cells):
    change(cells / "masks/3.png", lambda mask: np.roll(mask, (7, -6), (0, 1)))
    assert new_notes(cells) == [
        f"1 mask looks shifted against the image, the first {cells}/masks/3.png by about 7 pixels down and 6 to the "
        "left: save it with its image again, or move it back."
    ]


def test_a_mask_of_another_image(cells):
    other = np.zeros((64, 64), np.uint8)
    other[:6] = 255
    tiny.save(cells / "masks/3.png", other)
    assert new_notes(cells) == [
        "1 mask has little to do with the image, unlike the others, the first "
        f"{cells}/masks/3.png: does it belong to another image? Pair it with that one."
    ]


def test_an_empty_mask(cells):
    change(cells / "masks/3.png", np.zeros_like)
    assert new_notes(cells) == [
        f"1 mask holds one value only, the first {cells}/masks/3.png: is nothing there to mark? If there is, draw it "
        "again."
    ]


def test_values_with_gaps(cells):
    for k in range(8):
        change(cells / f"masks/{k}.png", lambda mask: np.where(mask, 1, 0).astype(np.uint8))
        change(cells / f"masks/{k}.png", lambda mask: np.where(np.arange(64) > 40, 5 * mask, mask).astype(np.uint8))
    assert new_notes(cells) == [
        f"{cells}/masks/0.png holds the value 5, but no mask holds 2, 3, 4: was a class lost when they were saved? If "
        "so, save them again."
    ]


def test_a_class_of_few_pixels(cells):
    def mark(mask):
        mask = mask.copy()
        mask[0, :2] = 7
        return mask

    change(cells / "masks/2.png", mark)
    assert new_notes(cells) == [
        "The class class 7 has only 2 pixels in the training masks: too few to learn from. Add images of it."
    ]
