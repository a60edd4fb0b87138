"""Volumes made from a seed: two parts of one structure that touch, as a scanner might show them."""

import gzip

import numpy as np
from jaxtyping import Bool, Float64, Int32, Shaped, UInt16
from scipy.ndimage import gaussian_filter

_GREY = {"air": 60.0, "tissue": 420.0, "structure": 640.0}
_BIAS, _NOISE, _TEXTURE = 0.2, 25.0, 45.0


def phantom(
    seed: int, *, shape: tuple[int, int, int] = (32, 40, 40)
) -> tuple[UInt16[np.ndarray, "z y x 1"], Int32[np.ndarray, "z y x"]]:
    """A volume like one of magnetic resonance, and the part that every voxel belongs to.

    A head (class 1) and a tail (class 2) lie in textured tissue, turned a little and of another size in every volume.
    Both are equally bright, so that their shape alone says where one ends; other things as bright lie about that are
    neither. A smooth bias field makes one side of the volume brighter, and there is noise. The labels come from the
    ellipsoids, not from the values: a voxel belongs to a part if its centre lies inside.

    The same things fill any shape: fewer slices are thicker ones.

    Args:
        seed: Says which volume; 0 or more. The same seed and shape give the same volume.
        shape: Voxels along z, y and x, each at least 1.

    Returns:
        The volume, and the labels: 0 for background, 1 for the head and 2 for the tail.

    Raises:
        ValueError: A negative seed, or a shape without voxels.

    Example:
        >>> image, labels = phantom(3, shape=(8, 24, 24))
        >>> image.shape, image.dtype, np.unique(labels)
        ((8, 24, 24, 1), dtype('uint16'), array([0, 1, 2], dtype=int32))
    """
    if seed < 0:
        raise ValueError(f"`seed` must be 0 or more, got {seed}.")
    if min(shape) < 1:
        raise ValueError(f"`shape` must be three sizes of at least 1 voxel, got {shape}.")
    rng = np.random.default_rng(seed)
    # Places run from -1 to 1 along every axis, whatever the number of voxels: (z, y, x, 3).
    ends = [(np.arange(size) + 0.5) / size * 2 - 1 for size in shape]
    places = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1)

    turn = rng.uniform(-0.5, 0.5)
    along = np.array([0.0, np.cos(turn), np.sin(turn)])
    middle = rng.uniform(-0.12, 0.12, 3)
    size = rng.uniform(0.85, 1.15, 2)
    head = _ellipsoid(places, middle + 0.25 * along, size[0] * np.array([0.42, 0.36, 0.34]), turn)
    tail = _ellipsoid(places, middle - 0.28 * along, size[1] * np.array([0.30, 0.50, 0.22]), turn)
    labels = np.where(head, 1, np.where(tail, 2, 0)).astype(np.int32)

    body = _ellipsoid(places, np.zeros(3), np.full(3, 0.98), 0.0)
    grey = np.where(body, _GREY["tissue"], _GREY["air"])
    for _ in range(4):
        other = _ellipsoid(places, rng.uniform(-0.7, 0.7, 3), rng.uniform(0.08, 0.2, 3), rng.uniform(0, np.pi))
        grey = np.where(other & body, _GREY["structure"], grey)
    grey = np.where(labels > 0, _GREY["structure"], grey)
    width = [max(size / 24, 0.3) for size in shape]
    grey = gaussian_filter(grey, [w / 2 for w in width])
    texture = gaussian_filter(rng.normal(size=shape), width)
    grey = grey + body * _TEXTURE * texture / max(float(texture.std()), 1e-6)
    direction = rng.normal(size=3)
    bias = 1 + _BIAS * (places @ (direction / np.linalg.norm(direction)))
    # Of a complex signal the magnitude is what is kept, so noise in air is never negative (Rice's distribution).
    real, imaginary = rng.normal(scale=_NOISE, size=(2, *shape))
    values = np.hypot(np.maximum(grey, 0) * bias + real, imaginary)
    return np.round(values).astype(np.uint16)[..., np.newaxis], labels


def scan_file(values: Shaped[np.ndarray, "z y x"], *, spacing: tuple[float, float, float]) -> bytes:
    """The bytes of a `.nii.gz` that holds a volume as scanners often store it: x to the left, y to the back.

    Read again, its axes z, y and x point to the head, the front and the right, as those of `values` do. The middle of
    the volume is the origin of the world.

    Args:
        values: Voxels.
        spacing: Millimetres from one voxel to the next along z, y and x.
    """
    from nibabel.nifti1 import Nifti1Image

    stored = values[:, ::-1, ::-1].transpose(2, 1, 0)
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(stored.shape) - 1) / 2)
    image = Nifti1Image(stored, affine)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), mtime=0)


def _ellipsoid(
    places: Float64[np.ndarray, "z y x 3"],
    middle: Float64[np.ndarray, "3"],
    radii: Float64[np.ndarray, "3"],
    turn: float,
) -> Bool[np.ndarray, "z y x"]:
    """Where the places lie inside an ellipsoid that is turned about the axis z."""
    z, y, x = np.moveaxis(places - middle, -1, 0)
    cos, sin = np.cos(turn), np.sin(turn)
    inside: np.ndarray = (z / radii[0]) ** 2 + ((cos * y + sin * x) / radii[1]) ** 2 + (
        (cos * x - sin * y) / radii[2]
    ) ** 2 < 1
    return inside
