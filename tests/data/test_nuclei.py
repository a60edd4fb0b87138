"""Outlines of nuclei, and the pixels they cover."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tinyunet.data.nuclei import Cells, Nucleus, place_nuclei


def level(nucleus: Nucleus, y, x) -> np.ndarray:
    return nucleus.level(np.atleast_1d(np.asarray(y, float))[:, None], np.atleast_1d(np.asarray(x, float))[None, :])


def test_level_of_an_ellipse_by_hand():
    # Half axes 2 sqrt(4) = 4 along x and 2 / sqrt(4) = 1 along y.
    ellipse = Nucleus(y=5.0, x=10.0, radius=2.0, elongation=4.0)
    np.testing.assert_allclose(level(ellipse, [5, 6, 7], [10, 14]), [[0, 1], [1, 2**0.5], [2, 5**0.5]], atol=1e-12)


def test_level_turns_with_the_angle():
    ellipse = Nucleus(y=0.0, x=0.0, radius=2.0, elongation=4.0, angle=math.pi / 2)
    np.testing.assert_allclose(level(ellipse, [4, 0], [0, 1]), [[1, 2**0.5], [0, 1]], atol=1e-12)


def test_level_of_a_bent_ellipse_by_hand():
    # On the short axis u = 0, so w = v + bend / 4; at u = 1 the middle line lies bend * 3 / 4 lower.
    bent = Nucleus(y=0.0, x=0.0, radius=8.0, bend=0.4)
    np.testing.assert_allclose(level(bent, [0], [0]), [[0.1]])
    np.testing.assert_allclose(level(bent, [8 * 0.3], [8]), [[1.0]])


def test_level_agrees_with_sines_and_cosines():
    waves = (0.1 - 0.05j, 0.02j, -0.03 + 0.01j, 0.02 + 0.02j)
    nucleus = Nucleus(y=0.0, x=0.0, radius=5.0, waves=waves)
    y, x = np.mgrid[-6:7, -6:7].astype(float)
    theta = np.arctan2(y, x)
    outline = 1 + sum(wave.real * np.cos(k * theta) + wave.imag * np.sin(k * theta) for k, wave in enumerate(waves, 2))
    off_centre = np.hypot(y, x) > 0
    expected = np.hypot(y, x) / 5 / outline
    np.testing.assert_allclose(level(nucleus, y[:, 0], x[0])[off_centre], expected[off_centre], rtol=1e-12)


@given(
    elongation=st.floats(1, 2.5),
    angle=st.floats(0, 3.2),
    bend=st.floats(-0.5, 0.5),
    waves=st.lists(st.complex_numbers(max_magnitude=0.1), max_size=4).map(tuple),
)
@settings(max_examples=50, deadline=None)
def test_reach_holds_the_outline_and_radius_the_area(elongation, angle, bend, waves):
    nucleus = Nucleus(y=0.0, x=0.0, radius=12.0, elongation=elongation, angle=angle, bend=bend, waves=waves)
    points = np.arange(-60.0, 60.5, 0.5)
    inside = level(nucleus, points, points) < 1
    assert np.hypot(points[:, None], points[None, :])[inside].max() <= nucleus.reach
    area = math.pi * 12**2 * (1 + sum(abs(wave) ** 2 for wave in waves) / 2)
    assert inside.sum() / 4 == pytest.approx(area, rel=0.02)


@given(
    seed=st.integers(0, 2**32),
    h=st.integers(1, 150),
    w=st.integers(1, 150),
    clustering=st.sampled_from([0.0, 0.5, 1.0]),
)
@settings(max_examples=30, deadline=None)
def test_instances_are_the_outlines_and_nothing_else(seed, h, w, clustering):
    nuclei, instances = place_nuclei(np.random.default_rng(seed), (h, w), Cells(clustering=clustering))
    expected = np.zeros((h, w), np.int32)
    for number, nucleus in enumerate(nuclei, start=1):
        inside = level(nucleus, np.arange(h), np.arange(w)) < 1
        free = inside & (expected == 0)
        assert free.sum() >= 0.75 * inside.sum()
        expected[free] = number
    np.testing.assert_array_equal(instances, expected)
    assert instances.dtype == np.int32


@pytest.mark.parametrize("seed", range(6))
def test_ids_run_from_one_and_each_is_one_piece(seed):
    crowd = Cells(coverage=0.7, radius=10.0, clustering=1.0)
    nuclei, instances = place_nuclei(np.random.default_rng(seed), (120, 140), crowd)
    np.testing.assert_array_equal(np.unique(instances), np.arange(len(nuclei) + 1))
    assert [ndimage.label(instances == number)[1] for number in range(1, len(nuclei) + 1)] == [1] * len(nuclei)


def test_nuclei_touch_and_overlap():
    nuclei, instances = place_nuclei(np.random.default_rng(0), (256, 256), Cells())
    assert ndimage.label(instances > 0)[1] < len(nuclei)
    covered = sum(int((level(nucleus, np.arange(256), np.arange(256)) < 1).sum()) for nucleus in nuclei)
    assert covered > np.count_nonzero(instances)


def test_coverage_is_reached():
    _, instances = place_nuclei(np.random.default_rng(0), (256, 256), Cells(coverage=0.2))
    assert 0.2 <= (instances > 0).mean() < 0.25


def test_no_coverage_means_no_nuclei():
    nuclei, instances = place_nuclei(np.random.default_rng(0), (40, 50), Cells(coverage=0.0))
    assert nuclei == ()
    assert not instances.any()


def test_a_crowded_slide_ends():
    _, instances = place_nuclei(np.random.default_rng(0), (64, 64), Cells(coverage=0.99))
    assert (instances > 0).mean() > 0.4


def test_dim_and_defocused_are_the_parts_asked_for():
    all_of_them = Cells(dim=1.0, defocused=1.0)
    none_of_them = dataclasses.replace(all_of_them, dim=0.0, defocused=0.0)
    poor, _ = place_nuclei(np.random.default_rng(0), (128, 128), all_of_them)
    good, _ = place_nuclei(np.random.default_rng(0), (128, 128), none_of_them)
    assert max(nucleus.brightness for nucleus in poor) < min(nucleus.brightness for nucleus in good)
    assert max(nucleus.defocus for nucleus in good) < min(nucleus.defocus for nucleus in poor)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"coverage": 1.0}, r"`coverage` must be in \[0, 1\), got 1.0."),
        ({"radius": 2.0}, r"`radius` must be at least 3 pixels, got 2.0."),
        ({"clustering": 1.5}, r"`clustering` must be in \[0, 1\], got 1.5."),
        ({"dim": -0.1}, r"`dim` must be in \[0, 1\], got -0.1."),
        ({"defocused": float("nan")}, r"`defocused` must be in \[0, 1\], got nan."),
        ({"debris": -1.0}, r"`debris` must be 0 or more, got -1.0."),
    ],
)
def test_options_outside_their_range(option, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        Cells(**option)
