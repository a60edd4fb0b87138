import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import BSpline

from tinyunet.data.augment import geometry, sampling

RNG = np.random.default_rng(0)
AFFINES = {
    "none": {"rotate_deg": 0.0, "scale": 0.0, "shear": 0.0},
    "rotation": {"rotate_deg": 30.0, "scale": 0.0, "shear": 0.0},
    "scale": {"rotate_deg": 0.0, "scale": 0.5, "shear": 0.0},
    "shear": {"rotate_deg": 0.0, "scale": 0.0, "shear": 0.3},
    "all": {"rotate_deg": 180.0, "scale": 1.0, "shear": 0.9},
}
EQUAL = {2: (1.0, 1.0), 3: (1.0, 1.0, 1.0)}


def keys(count):
    return jax.random.split(jax.random.key(7), count)


# By hand


def test_a_quarter_turn_of_four_pixels():
    image = jnp.array([[1.0, 2.0], [3.0, 4.0]])[..., None]
    turn = jnp.array([[0.0, 1.0], [-1.0, 0.0]])
    rows, columns = geometry.source_coordinates(turn, None, window=(2, 2), shape=(2, 2))
    assert rows.tolist() == [[0, 1], [0, 1]]
    assert columns.tolist() == [[1, 1], [0, 0]]
    assert sampling.sample_linear(image, (rows, columns))[..., 0].tolist() == [[2, 4], [1, 3]]


def test_the_displacement_is_added_in_pixels():
    displacement = jnp.stack([jnp.full((1, 3), 0.5), jnp.full((1, 3), -2.0)])
    rows, columns = geometry.source_coordinates(jnp.eye(2), displacement, window=(3, 5), shape=(1, 3))
    assert rows.tolist() == [[1.5, 1.5, 1.5]]
    assert columns.tolist() == [[-1, 0, 1]]


def test_a_quarter_turn_of_a_volume_is_within_its_slices():
    volume = jnp.arange(8.0).reshape(2, 2, 2)[..., None]
    turn = jnp.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
    coordinates = geometry.source_coordinates(turn, None, window=(2, 2, 2), shape=(2, 2, 2))
    turned = sampling.sample_linear(volume, coordinates)[..., 0]
    assert turned.tolist() == [[[5, 7], [4, 6]], [[1, 3], [0, 2]]]


def test_splines_at_and_between_control_points():
    weights = geometry._spline_weights(3, 2.0)
    at, between = np.array([1, 4, 1, 0, 0]), np.array([1, 23, 23, 1, 0])
    expected = [at / np.sqrt(18), between / np.sqrt(1060), np.roll(at, 1) / np.sqrt(18)]
    np.testing.assert_allclose(weights, expected, atol=1e-7)


# Against other programs


def test_elastic_agrees_with_scipys_splines():
    shape, spacing = (13, 9), 4.0
    spline = BSpline.basis_element(np.arange(-2, 3), extrapolate=False)
    basis = []
    for size in shape:
        points = np.arange(-1, int((size - 1) / spacing) + 3)
        weights = np.nan_to_num(spline(np.arange(size)[:, None] / spacing - points[None]))
        basis.append(weights / np.sqrt((weights**2).sum(1, keepdims=True)))
    key = jax.random.key(3)
    grid = np.asarray(jax.random.normal(key, (2 * basis[0].shape[1] * basis[1].shape[1],)))
    grid = grid.reshape(2, basis[0].shape[1], basis[1].shape[1])
    expected = 0.5 * np.einsum("yj,djk,xk->dyx", basis[0], grid, basis[1])
    field = geometry.random_elastic(
        key, shape=shape, elastic_px=jnp.array(0.5), elastic_grid_px=spacing, sides=EQUAL[2]
    )
    np.testing.assert_allclose(field, expected, atol=2e-6)


def test_affine_is_the_product_of_its_parts():
    key = jax.random.key(5)
    draws = np.asarray(jax.random.uniform(key, (10,), minval=-1.0), np.float64)

    def turn(i, j, angle):
        matrix = np.eye(3)
        matrix[[i, i, j, j], [i, j, i, j]] = np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)
        return matrix

    z, y, x = np.radians(30) * draws[:3]
    shear = np.eye(3)
    shear[[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]] = 0.4 * draws[4:]
    expected = turn(1, 2, z) @ turn(0, 2, y) @ turn(0, 1, x) @ shear / 1.5 ** draws[3]
    options = {"rotate_deg": 30.0, "scale": 0.5, "shear": 0.4}
    matrix = geometry.random_affine(key, **options, sides=EQUAL[3])
    np.testing.assert_allclose(matrix, expected, atol=1e-6)
    # An image has four draws.
    angle, zoom, s_y, s_x = np.asarray(jax.random.uniform(key, (4,), minval=-1.0), np.float64)
    shear = np.array([[1, 0.4 * s_y], [0.4 * s_x, 1]])
    expected = turn(1, 2, np.radians(30) * angle)[1:, 1:] @ shear / 1.5**zoom
    np.testing.assert_allclose(geometry.random_affine(key, **options, sides=EQUAL[2]), expected, atol=1e-6)


# Properties


@pytest.mark.parametrize(
    ("flips", "quarter_turns", "square", "count"),
    [
        (False, False, True, 1),
        (True, False, True, 4),
        (False, True, True, 4),
        (True, True, True, 8),
        (False, True, False, 2),
        (True, True, False, 4),
    ],
)
def test_every_orientation_that_fits_occurs_and_no_other(flips, quarter_turns, square, count):
    draw = functools.partial(
        geometry.random_orientation, axes=2, flips=flips, quarter_turns=quarter_turns, square=square
    )
    matrices = np.asarray(jax.vmap(draw)(keys(200)))
    assert len({tuple(matrix.ravel().astype(int)) for matrix in matrices}) == count
    np.testing.assert_array_equal(np.abs(matrices).sum(1), 1)  # one entry of -1 or 1 in each column
    np.testing.assert_array_equal(matrices, np.round(matrices))
    if not square:
        np.testing.assert_array_equal(matrices[:, 0, 1], 0)


@pytest.mark.parametrize(
    ("flips", "quarter_turns", "square", "count"),
    [
        (True, False, True, 8),
        (False, True, True, 4),
        (True, True, True, 16),
        (False, True, False, 2),
        (True, True, False, 8),
    ],
)
def test_a_volume_is_flipped_along_every_axis_and_turned_within_its_slices(flips, quarter_turns, square, count):
    draw = functools.partial(
        geometry.random_orientation, axes=3, flips=flips, quarter_turns=quarter_turns, square=square
    )
    matrices = np.asarray(jax.vmap(draw)(keys(400)))
    assert len({tuple(matrix.ravel().astype(int)) for matrix in matrices}) == count
    np.testing.assert_array_equal(np.abs(matrices).sum(1), 1)
    np.testing.assert_array_equal(np.abs(matrices[:, 0]), np.tile([1, 0, 0], (400, 1)))


@pytest.mark.parametrize(("side", "margin"), [(1, 0), (2, 3), (5, 4), (8, 1), (33, 0)])
def test_turns_and_flips_are_exactly_those_of_numpy(side, margin):
    window = RNG.normal(size=(side + margin, side + margin, 2)).astype(np.float32)
    cut = window[margin // 2 :][:side, margin // 2 :][:, :side]

    @jax.jit
    def move(matrix):
        coordinates = geometry.source_coordinates(matrix, None, window=window.shape[:2], shape=(side, side))
        return sampling.sample_linear(jnp.asarray(window), coordinates)

    for turns, (cos, sin) in enumerate([(1, 0), (0, 1), (-1, 0), (0, -1)]):
        for flip_y, flip_x in itertools.product((1, -1), repeat=2):
            matrix = jnp.array([[cos * flip_y, sin * flip_x], [-sin * flip_y, cos * flip_x]], jnp.float32)
            np.testing.assert_array_equal(move(matrix), np.rot90(cut, turns)[::flip_y, ::flip_x])


def test_a_large_window_is_still_exact():
    # Half-integer coordinates far from zero, where float32 has few bits left for a fraction.
    coordinates = geometry.source_coordinates(-jnp.eye(2), None, window=(60_001, 4), shape=(60_000, 3))
    np.testing.assert_array_equal(coordinates[0][:, 0], np.arange(59_999, -1, -1))
    np.testing.assert_array_equal(coordinates[1][0], [2, 1, 0])


@pytest.mark.parametrize("name", AFFINES)
def test_affine_stays_in_its_range(name):
    options = AFFINES[name]
    matrices = np.asarray(
        jax.vmap(functools.partial(geometry.random_affine, **options, sides=EQUAL[2]))(keys(500)), np.float64
    )
    determinants = np.linalg.det(matrices)
    assert (determinants > 0).all(), "no affine map flips or collapses the image"
    if name == "none":
        np.testing.assert_array_equal(matrices, np.broadcast_to(np.eye(2), matrices.shape))
    if name == "rotation":
        np.testing.assert_allclose(matrices @ matrices.transpose(0, 2, 1), np.tile(np.eye(2), (500, 1, 1)), atol=1e-6)
        angles = np.degrees(np.arctan2(matrices[:, 0, 1], matrices[:, 0, 0]))
        assert -30 <= angles.min() < -29
        assert 29 < angles.max() <= 30
    if name == "scale":
        np.testing.assert_array_equal(matrices[:, 0, 1], 0)
        np.testing.assert_array_equal(matrices[:, 0, 0], matrices[:, 1, 1])
        assert 1 / 1.5 - 1e-6 <= matrices[:, 0, 0].min() < 0.68
        assert 1.48 < matrices[:, 0, 0].max() <= 1.5 + 1e-6
        assert abs(np.log(matrices[:, 0, 0]).mean()) < 0.03  # growing is as likely as shrinking
    if name == "shear":
        np.testing.assert_array_equal(matrices[:, [0, 1], [0, 1]], 1)
        assert 0.29 < np.abs(matrices[:, 0, 1]).max() <= 0.3
        assert abs(np.corrcoef(matrices[:, 0, 1], matrices[:, 1, 0])[0, 1]) < 0.15


def test_no_shear_of_a_volume_collapses_it():
    # The determinant is linear in each shear, so its least value is at a corner.
    for signs in itertools.product((-0.45, 0.45), repeat=6):
        shear = np.eye(3)
        shear[[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]] = signs
        assert np.linalg.det(shear) > 0.2
    draw = functools.partial(geometry.random_affine, rotate_deg=180.0, scale=1.0, shear=0.45, sides=(1.5, 1.0, 1.2))
    assert (np.linalg.det(np.asarray(jax.vmap(draw)(keys(500)), np.float64)) > 0.02).all()


@pytest.mark.parametrize("sides", [(2.0, 1.0), (1.0, 1.5), (2.0, 1.0, 1.0), (1.0, 1.25, 3.0)])
def test_an_affine_map_is_the_same_in_units_of_length(sides):
    options = {"rotate_deg": 90.0, "scale": 0.5, "shear": 0.3}
    equal = jax.vmap(functools.partial(geometry.random_affine, **options, sides=EQUAL[len(sides)]))(keys(20))
    pixels = jax.vmap(functools.partial(geometry.random_affine, **options, sides=sides))(keys(20))
    lengths = np.diag(sides) @ np.asarray(pixels, np.float64) @ np.diag(1 / np.array(sides))
    np.testing.assert_allclose(lengths, equal, atol=1e-5)


def test_thick_slices_are_rotated_only_within_their_planes():
    draw = functools.partial(geometry.random_affine, rotate_deg=90.0, scale=0.0, shear=0.0)
    thick = np.asarray(jax.vmap(functools.partial(draw, sides=(2.1, 1.0, 1.0)))(keys(20)))
    np.testing.assert_array_equal(thick[:, 0], np.tile([1, 0, 0], (20, 1)))
    np.testing.assert_array_equal(thick[:, :, 0], np.tile([1, 0, 0], (20, 1)))
    assert np.abs(thick[:, 1, 2]).min() > 0
    thin = np.asarray(jax.vmap(functools.partial(draw, sides=(2.0, 1.0, 1.0)))(keys(20)))
    assert np.abs(thin[:, 0, 1:]).min() > 0


@pytest.mark.parametrize("sides", [(2.0, 1.0), (2.0, 1.0, 1.0), (4.0, 1.0, 2.0)])
def test_elastic_is_the_same_field_where_pixels_are_longer(sides):
    # As many grid points, hence the same draws, on 17 pixels as on every second or fourth of them.
    options = {"elastic_px": jnp.array(2.0), "elastic_grid_px": 8.0}
    shape = tuple(int(16 / side) + 1 for side in sides)
    field = geometry.random_elastic(jax.random.key(2), shape=shape, **options, sides=sides)
    fine = geometry.random_elastic(jax.random.key(2), shape=(17,) * len(sides), **options, sides=EQUAL[len(sides)])
    for axis, side in enumerate(sides):
        every = fine[axis][tuple(slice(None, None, int(side)) for side in sides)]
        np.testing.assert_allclose(field[axis] * side, every, atol=1e-5)


@pytest.mark.parametrize("spacing", [4.0, 7.5, 100.0])
def test_elastic_has_the_stated_deviation_at_every_pixel(spacing):
    draw = functools.partial(
        geometry.random_elastic, shape=(17, 12), elastic_px=jnp.array(2.0), elastic_grid_px=spacing, sides=EQUAL[2]
    )
    fields = np.asarray(jax.vmap(draw)(keys(4000)))
    np.testing.assert_allclose(fields.std(axis=0), 2.0, rtol=0.06)
    np.testing.assert_allclose(fields.mean(axis=0), 0.0, atol=0.15)


def test_elastic_of_zero_is_exactly_none():
    field = geometry.random_elastic(
        jax.random.key(0), shape=(8, 8), elastic_px=jnp.array(0.0), elastic_grid_px=4.0, sides=EQUAL[2]
    )
    np.testing.assert_array_equal(field, 0)


# jit = eager = vmap


def drawing(name):
    """A function of a key alone, for every public function and option that draws."""
    if name in AFFINES:
        return functools.partial(geometry.random_affine, **AFFINES[name], sides=EQUAL[2])
    if name == "affine of a volume":
        return functools.partial(geometry.random_affine, rotate_deg=90.0, scale=0.5, shear=0.3, sides=(1.5, 1.0, 1.0))
    if name == "elastic of a volume":
        return functools.partial(
            geometry.random_elastic,
            shape=(5, 6, 7),
            elastic_px=jnp.array(2.0),
            elastic_grid_px=5.0,
            sides=(4.0, 1.0, 1.0),
        )
    if name == "elastic":
        return functools.partial(
            geometry.random_elastic, shape=(9, 6), elastic_px=jnp.array(2.0), elastic_grid_px=5.0, sides=EQUAL[2]
        )
    flips, quarter_turns, square = (letter == "y" for letter in name)
    return functools.partial(
        geometry.random_orientation, axes=2, flips=flips, quarter_turns=quarter_turns, square=square
    )


@pytest.mark.parametrize(
    "name", [*AFFINES, "affine of a volume", "elastic", "elastic of a volume", "nny", "yny", "nyy", "yyy", "yyn"]
)
def test_drawing_is_the_same_jitted_eager_and_vmapped(name):
    draw = drawing(name)
    eager = np.stack([draw(key) for key in keys(3)])
    np.testing.assert_allclose([jax.jit(draw)(key) for key in keys(3)], eager, atol=1e-5)
    np.testing.assert_allclose(jax.vmap(draw)(keys(3)), eager, atol=1e-5)


@pytest.mark.parametrize("elastic", [False, True])
def test_sampling_is_the_same_jitted_eager_and_vmapped(elastic):
    images = jnp.asarray(RNG.normal(size=(3, 8, 8, 2)), jnp.float32)
    labels = jnp.asarray(RNG.integers(-1, 4, (3, 8, 8)), jnp.int32)
    displacement = jnp.asarray(RNG.integers(-9, 9, (2, 5, 6)) / 4 + 1 / 8, jnp.float32) if elastic else None

    def warp(image, label):
        coordinates = geometry.source_coordinates(2 * jnp.eye(2), displacement, window=(8, 8), shape=(5, 6))
        return sampling.sample_linear(image, coordinates), sampling.sample_nearest(label, coordinates)

    eager = [warp(image, label) for image, label in zip(images, labels, strict=True)]
    jitted = [jax.jit(warp)(image, label) for image, label in zip(images, labels, strict=True)]
    for other in (jitted, list(zip(*jax.vmap(warp)(images, labels), strict=True))):
        for (image, label), (expected_image, expected_label) in zip(other, eager, strict=True):
            np.testing.assert_allclose(image, expected_image, atol=1e-6)
            np.testing.assert_array_equal(label, expected_label)


# Edges


def test_a_window_of_one_pixel_fills_any_shape():
    coordinates = geometry.source_coordinates(jnp.eye(2), None, window=(1, 1), shape=(3, 4))
    np.testing.assert_array_equal(sampling.sample_linear(jnp.full((1, 1, 2), 5.0), coordinates), np.full((3, 4, 2), 5))
    np.testing.assert_array_equal(sampling.sample_nearest(jnp.array([[-1]]), coordinates), np.full((3, 4), -1))


def test_a_window_smaller_than_the_shape_is_mirrored_outwards_from_its_centre():
    image = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    coordinates = geometry.source_coordinates(jnp.eye(2), None, window=(4, 3), shape=(8, 5))
    sampled = sampling.sample_linear(jnp.asarray(image)[..., None], coordinates)[..., 0]
    np.testing.assert_array_equal(sampled, np.pad(image, ((2, 2), (1, 1)), mode="reflect"))


def test_an_odd_margin_is_cut_like_an_integer_division():
    coordinates = geometry.source_coordinates(jnp.eye(2), None, window=(7, 4), shape=(4, 1))
    assert coordinates[0].ravel().tolist() == [1, 2, 3, 4]
    assert coordinates[1].tolist() == [[1]] * 4
