import io

import numpy as np
import pytest
from PIL import Image

from tinyunet.data.suspicion import looks_like_jpeg, looks_like_objects


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
