"""Where each output pixel looks in the window: turns, affine map and elastic field become one field of coordinates.

Everything geometric is composed into coordinates first and the pixels are read once, so that combining options costs no
extra interpolation and no extra blur. A coordinate is a pair (row, column) in pixels, whole numbers at pixel centres.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32

from tinyunet.arrays import PRNGKey

# (cos, sin) of 0, 90, 180 and 270 degrees as exact integers: a turn built from these loses no bit of a coordinate.
_QUARTER_TURNS = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))

Coordinates = tuple[Float[Array, "y x"], Float[Array, "y x"]]
"""Rows and columns in pixels. Two arrays: stacked into one, XLA takes twice as long on a CPU to read the pixels."""


def random_orientation(key: PRNGKey, *, flips: bool, quarter_turns: bool, square: bool) -> Float[Array, "2 2"]:
    """A random one of the rectangle's symmetries, as a matrix with entries -1, 0 and 1.

        M = [[cos a, sin a], [-sin a, cos a]] diag(f_y, f_x),   a = 0, 90, 180 or 270 degrees,   f_y, f_x = +1 or -1

    M takes an output position, relative to the centre, to the position it shows; the turn by `a` is `numpy.rot90`.

    Args:
        key: Randomness of this sample.
        flips: Turn each axis round with probability 1/2.
        quarter_turns: Turn by a random multiple of 90 degrees.
        square: Whether the output is square; in any other, only turns by 180 degrees fit.

    Returns:
        The matrix, acting on (row, column).

    Example:
        >>> random_orientation(jax.random.key(0), flips=False, quarter_turns=True, square=True)
        Array([[ 0., -1.],
               [ 1.,  0.]], dtype=float32)
    """
    # One draw for everything, here and below: each call of the generator takes up to half a second to compile.
    draws = jax.random.uniform(key, (3,))
    angles = jnp.asarray(_QUARTER_TURNS if square else _QUARTER_TURNS[::2])
    turn = (draws[0] * len(angles)).astype(jnp.int32) if quarter_turns else 0
    cos, sin = angles[turn]
    flip = jnp.where(draws[1:] < 0.5, -1.0, 1.0) if flips else jnp.ones(2)
    return jnp.array([[cos, sin], [-sin, cos]]) * flip


def random_affine(key: PRNGKey, *, rotate_deg: float, scale: float, shear: float) -> Float[Array, "2 2"]:
    """A random rotation, magnification and shear about the centre.

        A = 1/m [[cos r, sin r], [-sin r, cos r]] [[1, s_y], [s_x, 1]]

    `r` is uniform in [-rotate_deg, rotate_deg], `s_y` and `s_x` in [-shear, shear], and the magnification `m`
    log-uniform in [1/(1 + scale), 1 + scale], so that growing is as likely as shrinking. A takes an output position,
    relative to the centre, to the position it shows, hence the 1/m.

    Args:
        key: Randomness of this sample.
        rotate_deg: Largest rotation in degrees, >= 0.
        scale: Largest magnification less one, >= 0.
        shear: Largest shear, in pixels per pixel, in [0, 1): from 1 on the map could collapse the plane.

    Returns:
        The matrix, acting on (row, column).

    Example:
        >>> matrix = random_affine(jax.random.key(0), rotate_deg=0.0, scale=0.0, shear=0.0)
        >>> bool((matrix == jnp.eye(2)).all())
        True
    """
    limits = jnp.array([math.radians(rotate_deg), math.log1p(scale), shear, shear])
    angle, log_magnification, shear_y, shear_x = limits * jax.random.uniform(key, (4,), minval=-1.0)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    # The product of the two matrices, written out: `@` may round to half precision on an accelerator.
    product = [[cos + sin * shear_x, cos * shear_y + sin], [cos * shear_x - sin, cos - sin * shear_y]]
    return jnp.array(product) / jnp.exp(log_magnification)


def random_elastic(
    key: PRNGKey, *, shape: tuple[int, int], elastic_px: Float[Array, ""], elastic_grid_px: float
) -> Float[Array, "2 {shape[0]} {shape[1]}"]:
    """A smooth random displacement: normal draws on a coarse grid, joined by cubic B-splines.

        d(y, x) = elastic_px sum_jk b_j(y) b_k(x) g_jk,   g_jk ~ N(0, 1),   sum_j b_j(y)^2 = sum_k b_k(x)^2 = 1

    The weights `b` are the splines scaled to unit length at every pixel, so that each component has the standard
    deviation `elastic_px` everywhere. Plain splines, which sum to one, would shrink it to about half, and by more in
    the middle of a grid cell than at its corners.

    Args:
        key: Randomness of this sample.
        shape: Height and width of the output.
        elastic_px: Standard deviation of either component of the displacement in pixels, >= 0; 0 gives exactly none.
        elastic_grid_px: Spacing of the grid in pixels, > 0.

    Returns:
        Displacement of the row and of the column at each output pixel, in pixels.

    Example:
        >>> random_elastic(jax.random.key(0), shape=(64, 48), elastic_px=jnp.array(3.0), elastic_grid_px=16.0).shape
        (2, 64, 48)

    References:
        Ronneberger et al. (2015), U-Net, section 3.1; Rueckert et al. (1999), Nonrigid registration using free-form
        deformations, section II.
    """
    rows, columns = (_spline_weights(size, elastic_grid_px) for size in shape)
    # Drawn flat: XLA takes seconds to compile a small draw with several axes.
    draws = jax.random.normal(key, (2 * rows.shape[1] * columns.shape[1],))
    grid = draws.reshape(2, rows.shape[1], columns.shape[1])
    # In this order: the other one leaves the result transposed in memory, and reading the pixels pays for it.
    along_rows = jnp.matmul(elastic_px * grid, columns.T, precision="highest")
    return jnp.matmul(rows, along_rows, precision="highest")


def _spline_weights(size: int, spacing: float) -> Float[np.ndarray, "{size} n"]:
    """Weights of the n control points, `spacing` pixels apart, at each of `size` pixels; every row has length one."""
    position = np.arange(size) / spacing
    control_points = np.arange(-1, math.floor(position[-1]) + 3)  # two on either side of every pixel
    t = np.abs(position[:, None] - control_points)
    weights = np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.clip(2 - t, 0, None) ** 3 / 6)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


def source_coordinates(
    matrix: Float[Array, "2 2"],
    displacement: Float[Array, "2 {shape[0]} {shape[1]}"] | None,
    *,
    window: tuple[int, int],
    shape: tuple[int, int],
) -> Coordinates:
    """Where in the window each output pixel looks.

        q(p) = c_window + matrix (p - c_shape) + displacement(p)

    `c_shape` is the centre of the output, `c_window` the same point in the centre cut of the window, so that the
    identity matrix gives exactly that cut. p - c is a whole or a half number: float32 holds it, and its product with
    -1, 0 or 1, without rounding, so turns and flips give whole coordinates.

    Args:
        matrix: Acts on positions relative to the centre.
        displacement: Added in pixels; `None` for none.
        window: Height and width of the window.
        shape: Height and width of the output.

    Returns:
        Rows and columns in the window, in pixels, possibly outside of it.

    Example:
        >>> rows, columns = source_coordinates(jnp.eye(2), None, window=(5, 4), shape=(1, 2))
        >>> rows.tolist(), columns.tolist()
        ([[2.0, 2.0]], [[1.0, 2.0]])
    """
    centre = [(size - 1) / 2 for size in shape]
    y = (jnp.arange(shape[0]) - centre[0])[:, None]
    x = (jnp.arange(shape[1]) - centre[1])[None, :]

    def along(axis: int) -> Float[Array, "y x"]:
        cut = (window[axis] - shape[axis]) // 2 + centre[axis]
        # Broadcasting (h, 1) with (1, w), not `@`: exact on every device, and fused into the reading of the pixels.
        coordinate = matrix[axis, 0] * y + matrix[axis, 1] * x + cut
        return coordinate if displacement is None else coordinate + displacement[axis]

    return along(0), along(1)


def sample_linear(image: Float[Array, "h w c"], coordinates: Coordinates) -> Float[Array, "y x c"]:
    """Image values at coordinates, bilinear between pixels and mirrored about the outermost ones.

    At a whole coordinate the value is that of the pixel, bit for bit.

    Args:
        image: Finite values.
        coordinates: Beyond rows [0, h - 1] and columns [0, w - 1] the image continues as its mirror image.

    Returns:
        The values, between the smallest and the largest of the image up to rounding.

    Example:
        >>> rows, columns = jnp.zeros((1, 3)), jnp.array([[0.25, 1.0, 1.5]])
        >>> sample_linear(jnp.array([[[0.0], [4.0]]]), (rows, columns)).ravel().tolist()
        [1.0, 4.0, 2.0]
    """
    height, width, channels = image.shape
    y, x = _mirror(coordinates[0], height), _mirror(coordinates[1], width)
    top, left = (jnp.clip(jnp.floor(q), 0, max(n - 2, 0)) for q, n in ((y, height), (x, width)))
    # One index into flat pixels and constant steps to the neighbours: many times faster on a CPU than index pairs, or
    # than gathering 2x2 patches. A single row or column is its own neighbour.
    first = top.astype(jnp.int32) * width + left.astype(jnp.int32)
    down, right = width if height > 1 else 0, 1 if width > 1 else 0
    pixels = image.reshape(-1, channels)
    fy, fx = (y - top)[..., None], (x - left)[..., None]
    upper = (1 - fx) * _take(pixels, first) + fx * _take(pixels, first + right)
    lower = (1 - fx) * _take(pixels, first + down) + fx * _take(pixels, first + down + right)
    return (1 - fy) * upper + fy * lower


def sample_nearest(labels: Int32[Array, "h w"], coordinates: Coordinates) -> Int32[Array, "y x"]:
    """Label of the pixel nearest to each coordinate, mirrored about the outermost pixels.

    Args:
        labels: Class ids, or any other integers such as -1 for a pixel that takes no part: none is ever mixed.
        coordinates: As for `sample_linear`. Half-way between two pixels, the one further down or right wins.

    Returns:
        The labels, each one that occurs in `labels`.

    Example:
        >>> rows, columns = jnp.zeros((1, 3)), jnp.array([[0.4, 0.6, 1.7]])
        >>> sample_nearest(jnp.array([[7, -1]]), (rows, columns)).tolist()
        [[7, -1, 7]]
    """
    height, width = labels.shape
    row, column = (
        jnp.floor(_mirror(q, n) + 0.5).astype(jnp.int32) for q, n in zip(coordinates, (height, width), strict=True)
    )
    return _take(labels.reshape(-1), row * width + column)


def _take(pixels: Array, index: Int32[Array, "y x"]) -> Array:
    """Pixels at an index that `_mirror` has already kept inside, so that nothing checks it again."""
    return pixels.at[index].get(mode="promise_in_bounds")


def _mirror(coordinate: Float[Array, "y x"], size: int) -> Float[Array, "y x"]:
    """Fold a coordinate into [0, size - 1]: a triangle wave of period 2 (size - 1), exact for whole numbers."""
    last = size - 1
    if last == 0:
        return jnp.zeros_like(coordinate)
    phase = coordinate - 2 * last * jnp.floor(coordinate / (2 * last))
    # A rounded quotient can miss the period by one; the wave is continuous there, and the clip takes the last bit.
    return jnp.clip(last - jnp.abs(phase - last), 0, last)
