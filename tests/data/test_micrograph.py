"""The image that a microscope makes of known nuclei."""

import dataclasses

import numpy as np
import pytest

from tinyunet.data.micrograph import Microscope, photograph
from tinyunet.data.nuclei import Nucleus

CLEAN = Microscope(photons=1e6, read_noise=0.0, haze=0.0, vignetting=0.0)  # neither noise nor background
DISC = Nucleus(y=32.0, x=32.0, radius=12.0)


def image_of(*nuclei: Nucleus, microscope: Microscope = CLEAN, shape=(64, 64), seed=0, specks=0.0) -> np.ndarray:
    return photograph(np.random.default_rng(seed), nuclei, shape, microscope, specks=specks)


def test_an_empty_slide_is_the_offset_of_the_camera():
    image = image_of()
    assert image.dtype == np.uint8
    assert 4 <= image.min() == image.max() <= 12


def test_the_outline_lies_at_half_the_height():
    image = image_of(DISC).astype(float)
    dark, bright = image[2, 2], image[32 - 6 : 32 + 7, 32 - 6 : 32 + 7].mean()
    radius = np.hypot(*np.mgrid[-32:32, -32:32])
    on_it, inside, outside = (image[abs(radius - r) < 0.5].mean() for r in (12, 8, 16))
    assert dark + 0.3 * (bright - dark) < on_it < dark + 0.7 * (bright - dark)
    assert inside > dark + 0.75 * (bright - dark)
    assert outside < dark + 0.05 * (bright - dark)


def test_light_of_overlapping_nuclei_adds_up():
    left, right = image_of(DISC).astype(float), image_of(DISC, dataclasses.replace(DISC, x=44.0)).astype(float)
    alone, shared = slice(26, 31), slice(36, 41)
    np.testing.assert_allclose(right[28:37, alone], left[28:37, alone], atol=6)  # noise
    assert right[28:37, shared].mean() > 1.5 * left[28:37, shared].mean()


def test_brightness_scales_the_light():
    bright, dim = (
        image_of(dataclasses.replace(DISC, brightness=brightness)).astype(float) for brightness in (1.0, 0.25)
    )
    dark = bright[2, 2]
    assert (dim - dark).sum() == pytest.approx(0.25 * (bright - dark).sum(), rel=0.02)


def test_defocus_blurs_and_keeps_the_light():
    sharp, soft = (image_of(dataclasses.replace(DISC, defocus=defocus)).astype(float) for defocus in (0.0, 3.0))
    assert abs(np.diff(sharp, axis=1)).max() > 2 * abs(np.diff(soft, axis=1)).max()
    assert (soft - soft[2, 2]).sum() == pytest.approx((sharp - sharp[2, 2]).sum(), rel=0.02)


def test_a_nucleus_across_the_border_is_cut():
    shifted = dataclasses.replace(DISC, y=0.0, x=-3.0)
    image = image_of(shifted)
    assert image[0, 0] > 3 * image[40, 40]
    assert image_of(dataclasses.replace(DISC, y=-500.0)).max() == image_of().max()


def test_photons_arrive_at_random():
    # A quiet camera and even light: the variance of Poisson(m) is m, so in grey levels it is gain (mean - offset).
    even = dataclasses.replace(CLEAN, photons=25.0, haze=0.4)
    image = image_of(microscope=even, shape=(32, 32)).astype(float)
    neighbours = np.diff(image, axis=1) / 2**0.5  # free of the slow change of the light
    assert 0.7 * 100 / 25 < neighbours.var() / (image.mean() - 8) < 1.4 * 100 / 25


def test_the_camera_adds_its_own_noise():
    quiet, noisy = (image_of(microscope=dataclasses.replace(CLEAN, photons=100.0, read_noise=r)) for r in (0.0, 3.0))
    assert quiet.std() == 0
    assert 0.7 * 3 < noisy.std() < 1.3 * 3


def test_vignetting_darkens_the_corners():
    hazy = dataclasses.replace(CLEAN, haze=1.0, vignetting=0.8)
    image = image_of(microscope=hazy, shape=(96, 96)).astype(float)
    corners = np.mean([image[:8, :8], image[:8, -8:], image[-8:, :8], image[-8:, -8:]])
    assert corners < 0.8 * image[32:64, 32:64].mean()


def test_debris_shines_where_no_nucleus_is():
    image = image_of(specks=160.0)
    assert image.max() > 10 * np.median(image)
    assert image_of(specks=160.0, microscope=dataclasses.replace(CLEAN, debris_brightness=0.0)).max() <= 12


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (33, 2), (17, 31)])
def test_small_and_odd_shapes(shape):
    assert image_of(DISC, microscope=Microscope(), shape=shape, specks=100.0).shape == shape


def test_same_seed_same_image_other_seed_other_image():
    first, again, other = (image_of(DISC, microscope=Microscope(), seed=seed, specks=8.0) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"psf_sigma": 0.0}, "`psf_sigma` must be above 0, got 0.0."),
        ({"photons": float("inf")}, "`photons` must be above 0, got inf."),
        ({"read_noise": -1.0}, "`read_noise` must be 0 or more, got -1.0."),
        ({"haze": float("nan")}, "`haze` must be 0 or more, got nan."),
        ({"debris_brightness": -2.0}, "`debris_brightness` must be 0 or more, got -2.0."),
        ({"vignetting": 1.0}, r"`vignetting` must be in \[0, 1\), got 1.0."),
    ],
)
def test_options_outside_their_range(option, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        Microscope(**option)
