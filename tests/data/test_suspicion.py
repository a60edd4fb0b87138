import io

import numpy as np
import pytest
from PIL import Image
from skimage.measure import label

from tinyunet.data.suspicion import looks_like_jpeg, looks_like_objects, numbered_by_slice


def discs(*, radius: int, step: int, numbered: bool) -> np.ndarray:
    """Discs near the points of a grid, so that none touch: all 255, or each with a number of its own."""
    random = np.random.default_rng(radius)
    values = np.zeros((96, 96), np.int64)
    y, x = np.mgrid[:96, :96]
    number = 0
    for top in range(0, 96, step):
        for left in range(0, 96, step):
            number += 1
            middle = np.array([top, left]) + step / 2 + random.uniform(-1, 1, 2) * (step / 2 - radius - 1)
            inside = (y - middle[0]) ** 2 + (x - middle[1]) ** 2 <= radius**2
            values[inside] = number if numbered else 255
    return values


def as_jpeg(values: np.ndarray, quality: int) -> np.ndarray:
    content = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(content, "JPEG", quality=quality)
    return np.asarray(Image.open(content)).astype(np.int64)


def resized(values: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(values.astype(np.uint8)).resize((70, 70), Image.Resampling.BICUBIC), np.int64)


@pytest.mark.parametrize(("radius", "step"), [(5, 16), (3, 8), (11, 24)])
def test_numbered_discs_look_like_objects(radius, step):
    assert looks_like_objects(discs(radius=radius, step=step, numbered=True))


@pytest.mark.parametrize("values", [np.array([[0]]), np.array([[-1, 5]]), discs(radius=5, step=16, numbered=False)])
def test_few_values_do_not_look_like_objects(values):
    assert not looks_like_objects(values)


def test_many_classes_in_several_places_do_not_look_like_objects():
    assert not looks_like_objects(np.tile(np.arange(12).reshape(3, 4).repeat(3, 0).repeat(3, 1), (1, 2)))


def test_noise_does_not_look_like_objects():
    assert not looks_like_objects(np.random.default_rng(0).integers(0, 50, (64, 64)))


@pytest.mark.parametrize("quality", [30, 60, 75, 90, 95])
@pytest.mark.parametrize(("radius", "step"), [(5, 16), (11, 24), (40, 96)])
def test_jpeg_is_seen_in_the_values(quality, radius, step):
    values = as_jpeg(discs(radius=radius, step=step, numbered=False), quality)
    assert looks_like_jpeg(values)


def test_smoothly_resized_mask_is_seen_too():
    assert looks_like_jpeg(resized(discs(radius=11, step=24, numbered=False)))


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize(("radius", "step"), [(2, 6), (3, 8), (5, 16), (11, 24)])
def test_exact_masks_do_not_look_like_jpeg(radius, step, numbered):
    assert not looks_like_jpeg(discs(radius=radius, step=step, numbered=numbered))


def test_noise_does_not_look_like_jpeg():
    assert not looks_like_jpeg(np.random.default_rng(0).integers(0, 256, (64, 64)))


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG"])
def test_suffix_settles_it(suffix):
    assert looks_like_jpeg(np.zeros((2, 2), np.int64), suffix=suffix)
    assert not looks_like_jpeg(np.zeros((2, 2), np.int64), suffix=".png")


def balls(*, radius: float, count: int, seed: int = 0, size: tuple[int, int, int] = (24, 64, 64)) -> np.ndarray:
    """Balls that may touch but never overlap, each with a number of its own."""
    random = np.random.default_rng(seed)
    z, y, x = np.indices(size)
    values = np.zeros(size, np.int64)
    for number in range(1, count + 1):
        middle = random.uniform(0, size)
        inside = (z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2 <= radius**2
        if not values[inside].any():
            values[inside] = number
    return values


def anew(values: np.ndarray) -> np.ndarray:
    """The pieces of each slice, numbered from 1 in each."""
    return np.stack([label(plane).astype(np.int64) for plane in values])


def test_objects_of_a_volume_are_one_piece_across_its_slices():
    values = balls(radius=5, count=60)
    assert looks_like_objects(values)
    assert not looks_like_objects(anew(values))
    diagonal = np.zeros((12, 12, 12), np.int64)
    for i in range(12):
        diagonal[i, i, i] = 1 + i // 2 * 2  # two voxels that touch at a corner
        diagonal[i, :, (i + 6) % 12] = 2 + i // 2 * 2
    assert looks_like_objects(diagonal)


def test_smeared_volumes_are_seen_and_exact_ones_not():
    numbered = discs(radius=5, step=16, numbered=False)
    assert looks_like_jpeg(np.stack([as_jpeg(numbered, 75), as_jpeg(np.roll(numbered, 30), 75)]))
    assert not looks_like_jpeg(np.stack([numbered, numbered]))
    assert not looks_like_jpeg(balls(radius=5, count=60))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("radius", "count"), [(3, 300), (5, 100), (9, 30)])
def test_numbers_that_begin_anew_in_each_slice_are_seen(radius, count, seed):
    values = balls(radius=radius, count=count, seed=seed)
    assert not numbered_by_slice(values)
    assert numbered_by_slice(anew(values))
    assert numbered_by_slice(anew(values[::3]))  # thick slices
    assert not numbered_by_slice(values[::3])


def test_slanting_objects_do_not_look_numbered_by_slice():
    values = np.zeros((24, 64, 64), np.int64)
    for z in range(24):
        for number in range(1, 13):
            left = (z // 11) * 4  # rests for eleven slices, then jumps by its own width
            values[z, 5 * number : 5 * number + 3, left : left + 4] = number
    assert not numbered_by_slice(values)
    assert not numbered_by_slice(np.swapaxes(values, 0, 1))


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((4, 5, 6), np.int64),
        np.arange(60).reshape(3, 4, 5),  # every id in one slice only
        np.arange(20).reshape(1, 4, 5),
        np.random.default_rng(0).integers(0, 50, (8, 64, 64)),  # noise: ids in many pieces
        np.random.default_rng(0).integers(0, 4, (8, 2, 2)),  # few ids
        np.minimum(balls(radius=5, count=60), 3),  # classes
    ],
)
def test_what_is_not_numbered_by_slice(values):
    assert not numbered_by_slice(values)
