"""Where each output pixel looks in the window: turns, affine map and elastic field become one field of coordinates.

Everything geometric is composed into coordinates first and the pixels are read once, so that combining options costs no
extra interpolation and no extra blur. A coordinate has one number for each axis, (row, column) or (slice, row, column),
in pixels, whole at pixel centres.

A pixel need not be as long along every axis. Its `sides`, in units of the smallest of them, make a rotation one of the
things in the image, and a displacement as long along one axis as along another.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tinyunet.arrays import PRNGKey
from tinyunet.data.augment.sampling import Coordinates

# (cos, sin) of 0, 90, 180 and 270 degrees as exact integers: a turn built from these loses no bit of a coordinate.
_QUARTER_TURNS = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))

THICK = 2.0
"""Slices thicker than this, in units of the smallest side of a voxel, are turned only within their planes."""


def random_orientation(
    key: PRNGKey, *, axes: int, flips: bool, quarter_turns: bool, square: bool
) -> Float[Array, "{axes} {axes}"]:
    """A random one of the symmetries of a rectangle or a block, as a matrix with entries -1, 0 and 1.

        M = [[cos a, sin a], [-sin a, cos a]] diag(f_y, f_x),   a = 0, 90, 180 or 270 degrees,   f_y, f_x = +1 or -1

    and, with three axes, f_z = +1 or -1 along the first: turns are within the slices. M takes an output position,
    relative to the centre, to the position it shows; the turn by `a` is `numpy.rot90` of the last two axes.

    Args:
        key: Randomness of this sample.
        axes: Number of axes of space, 2 or 3.
        flips: Turn each axis round with probability 1/2.
        quarter_turns: Turn by a random multiple of 90 degrees.
        square: Whether the output has as many pixels, of the same size, along both of the last two axes; in any other,
            only turns by 180 degrees fit.

    Returns:
        The matrix, acting on (row, column) or (slice, row, column).

    Example:
        >>> random_orientation(jax.random.key(0), axes=2, flips=False, quarter_turns=True, square=True)
        Array([[ 0., -1.],
               [ 1.,  0.]], dtype=float32)
    """
    # One draw for everything, here and below: each call of the generator takes up to half a second to compile.
    draws = jax.random.uniform(key, (1 + axes,))
    angles = jnp.asarray(_QUARTER_TURNS if square else _QUARTER_TURNS[::2])
    turn = (draws[0] * len(angles)).astype(jnp.int32) if quarter_turns else 0
    cos, sin = angles[turn]
    flip = jnp.where(draws[1:] < 0.5, -1.0, 1.0) if flips else jnp.ones(axes)
    return jnp.array(_rotation(cos, sin, plane=(axes - 2, axes - 1), axes=axes)) * flip


def random_affine(
    key: PRNGKey, *, rotate_deg: float, scale: float, shear: float, sides: tuple[float, ...]
) -> Float[Array, "{len(sides)} {len(sides)}"]:
    """A random rotation, magnification and shear about the centre.

        A = 1/m [[cos r, sin r], [-sin r, cos r]] [[1, s_yx], [s_xy, 1]]

    `r` is uniform in [-rotate_deg, rotate_deg], every `s` in [-shear, shear], and the magnification `m` log-uniform in
    [1/(1 + scale), 1 + scale], so that growing is as likely as shrinking. A takes an output position, relative to the
    centre, to the position it shows, hence the 1/m. With three axes,

        A = 1/m R_z R_y R_x S

    R_z being the rotation above, within the slices, R_y the like in the plane (z, x) and R_x in the plane (z, y), each
    by an angle of its own, and S having ones on the diagonal and six shears beside it. Slices more than twice as thick
    as the smallest side are left in their planes, R_y = R_x = 1: what lies between them is not known.

    All this happens in units of length. What acts on positions in pixels is diag(1/sides) A diag(sides).

    Args:
        key: Randomness of this sample.
        rotate_deg: Largest rotation in degrees, >= 0.
        scale: Largest magnification less one, >= 0.
        shear: Largest shear, in units of length per unit of length, in [0, 1) with two axes and in [0, 1/2) with three:
            from there on the map could collapse the space.
        sides: Size of a pixel along each axis, in units of the smallest of them.

    Returns:
        The matrix, acting on (row, column) or (slice, row, column).

    Example:
        >>> matrix = random_affine(jax.random.key(0), rotate_deg=0.0, scale=0.0, shear=0.0, sides=(1.0, 1.0))
        >>> bool((matrix == jnp.eye(2)).all())
        True

    References:
        Isensee et al. (2021), nnU-Net, supplementary note 4: anisotropic data are augmented slice by slice.
    """
    axes = len(sides)
    planes = list(itertools.combinations(range(axes), 2))[::-1]
    thick = axes == 3 and sides[0] > THICK
    angle_limits = [0.0 if thick and 0 in plane else math.radians(rotate_deg) for plane in planes]
    pairs = list(itertools.permutations(range(axes), 2))
    limits = jnp.array([*angle_limits, math.log1p(scale), *[shear] * len(pairs)])
    draws = list(limits * jax.random.uniform(key, limits.shape, minval=-1.0))
    angles, log_magnification, shears = draws[: len(planes)], draws[len(planes)], draws[len(planes) + 1 :]
    factors = [
        _rotation(jnp.cos(angle), jnp.sin(angle), plane=plane, axes=axes)
        for angle, plane in zip(angles, planes, strict=True)
    ]
    shearing = _identity(axes)
    for (i, j), value in zip(pairs, shears, strict=True):
        shearing[i][j] = value
    matrix = jnp.array(functools.reduce(_product, [*factors, shearing])) / jnp.exp(log_magnification)
    return matrix * jnp.array([[column / row for column in sides] for row in sides])


Entries = list[list[Any]]
"""A small matrix as rows of numbers, of Python or of JAX."""


def _identity(axes: int) -> Entries:
    return [[float(i == j) for j in range(axes)] for i in range(axes)]


def _rotation(cos: Any, sin: Any, *, plane: tuple[int, int], axes: int) -> Entries:
    """From the second axis of the plane towards the first."""
    matrix = _identity(axes)
    i, j = plane
    matrix[i][i], matrix[i][j], matrix[j][i], matrix[j][j] = cos, sin, -sin, cos
    return matrix


def _product(left: Entries, right: Entries) -> Entries:
    """The product of two matrices, written out: `@` may round to half precision on an accelerator."""
    columns = list(zip(*right, strict=True))
    return [[functools.reduce(lambda a, b: a + b, map(lambda x, y: x * y, row, c)) for c in columns] for row in left]


def random_elastic(
    key: PRNGKey,
    *,
    shape: tuple[int, ...],
    elastic_px: Float[Array, ""],
    elastic_grid_px: float,
    sides: tuple[float, ...],
) -> Float[Array, "{len(shape)} *patch"]:
    """A smooth random displacement: normal draws on a coarse grid, joined by cubic B-splines.

        d(y, x) = elastic_px sum_jk b_j(y) b_k(x) g_jk,   g_jk ~ N(0, 1),   sum_j b_j(y)^2 = sum_k b_k(x)^2 = 1

    and likewise with three axes. The weights `b` are the splines scaled to unit length at every pixel, so that each
    component has the standard deviation `elastic_px` everywhere. Plain splines, which sum to one, would shrink it to
    about half, and by more in the middle of a grid cell than at its corners.

    Args:
        key: Randomness of this sample.
        shape: Size of the output along each axis.
        elastic_px: Standard deviation of any component of the displacement, >= 0, in units of the smallest side of a
            pixel; 0 gives exactly none.
        elastic_grid_px: Spacing of the grid in the same units, > 0; along no axis less than 2 pixels.
        sides: Size of a pixel along each axis, in units of the smallest of them.

    Returns:
        Displacement along each axis at each output pixel, in pixels.

    Example:
        >>> options = {"elastic_px": jnp.array(3.0), "elastic_grid_px": 16.0, "sides": (1.0, 1.0)}
        >>> random_elastic(jax.random.key(0), shape=(64, 48), **options).shape
        (2, 64, 48)

    References:
        Ronneberger et al. (2015), U-Net, section 3.1; Rueckert et al. (1999), Nonrigid registration using free-form
        deformations, section II.
    """
    axes = len(shape)
    weights = [_spline_weights(n, max(2.0, elastic_grid_px / side)) for n, side in zip(shape, sides, strict=True)]
    points = [weight.shape[1] for weight in weights]
    # Drawn flat: XLA takes seconds to compile a small draw with several axes.
    grid = jax.random.normal(key, (axes * math.prod(points),)).reshape(axes, *points)
    amplitude = elastic_px / jnp.array(sides).reshape(axes, *[1] * axes)
    # From the last axis to the first: the other order leaves the result transposed in memory, and reading the pixels
    # pays for it.
    field = jnp.matmul(amplitude * grid, weights[-1].T, precision="highest")
    for axis in reversed(range(axes - 1)):
        columns = field.reshape(-1, points[axis], math.prod(shape[axis + 1 :]))
        field = jnp.matmul(weights[axis], columns, precision="highest")
    return field.reshape(axes, *shape)


def _spline_weights(size: int, spacing: float) -> Float[np.ndarray, "{size} n"]:
    """Weights of the n control points, `spacing` pixels apart, at each of `size` pixels; every row has length one."""
    position = np.arange(size) / spacing
    control_points = np.arange(-1, math.floor(position[-1]) + 3)  # two on either side of every pixel
    t = np.abs(position[:, None] - control_points)
    weights = np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.clip(2 - t, 0, None) ** 3 / 6)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


def source_coordinates(
    matrix: Float[Array, "{len(shape)} {len(shape)}"],
    displacement: Float[Array, "{len(shape)} *patch"] | None,
    *,
    window: Sequence[int],
    shape: tuple[int, ...],
) -> Coordinates:
    """Where in the window each output pixel looks.

        q(p) = c_window + matrix (p - c_shape) + displacement(p)

    `c_shape` is the centre of the output, `c_window` the same point in the centre cut of the window, so that the
    identity matrix gives exactly that cut. p - c is a whole or a half number: float32 holds it, and its product with
    -1, 0 or 1, without rounding, so turns and flips give whole coordinates.

    Args:
        matrix: Acts on positions relative to the centre.
        displacement: Added in pixels; `None` for none.
        window: Size of the window along each axis.
        shape: Size of the output along each axis.

    Returns:
        Coordinates in the window, in pixels, possibly outside of it.

    Example:
        >>> rows, columns = source_coordinates(jnp.eye(2), None, window=(5, 4), shape=(1, 2))
        >>> rows.tolist(), columns.tolist()
        ([[2.0, 2.0]], [[1.0, 2.0]])
    """
    axes = len(shape)
    centre = [(size - 1) / 2 for size in shape]
    # Each along its own axis, to be broadcast, not `@`: exact on every device, and fused into reading the pixels.
    positions = [
        (jnp.arange(shape[axis]) - centre[axis]).reshape([-1 if a == axis else 1 for a in range(axes)])
        for axis in range(axes)
    ]

    def along(axis: int) -> Float[Array, "*patch"]:
        cut = (window[axis] - shape[axis]) // 2 + centre[axis]
        first, *others = (matrix[axis, a] * position for a, position in enumerate(positions))
        coordinate = sum(others, start=first) + cut
        return coordinate if displacement is None else coordinate + displacement[axis]

    return tuple(along(axis) for axis in range(axes))
