"""From object ids to the three classes a network learns: background, rim and core."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Integer
from scipy import ndimage

from tinyunet.errors import ConfigError

BACKGROUND, RIM, CORE = 0, 1, 2
OBJECT_CLASSES = ("background", "rim", "core")


@dataclasses.dataclass(frozen=True)
class ObjectConfig:
    """How objects become classes, and classes objects.

    Attributes:
        rim_px: The widest rim in pixels, of pixels that are no cubes in sides of their shortest, above 0.
        rim_share: The largest part of an object's inner radius that its rim may take, in (0, 1), so that an object of
            any size keeps a core.
        core_probability: From which probability of the core a pixel belongs to the seed of an object, in (0, 1).
        foreground_probability: From which probability of rim or core together a pixel belongs to an object, in (0, 1).
        split_probability: A seed of which two or more parts have this probability of the core is as many seeds, in
            (0, 1); if it is not above `core_probability`, none is.
        smallest_seed_px: Seeds and their parts of fewer pixels are no seeds; at least 1. What has no seed is no object.
        smallest_px: Objects of fewer pixels are left out; at least 1.

    Raises:
        ConfigError: A value out of its range.
    """

    rim_px: float = 3.0
    rim_share: float = 0.5
    core_probability: float = 0.5
    foreground_probability: float = 0.5
    split_probability: float = 0.8
    smallest_seed_px: int = 4
    smallest_px: int = 10

    def __post_init__(self) -> None:
        if not self.rim_px > 0:  # so written, it catches nan too
            raise ConfigError(f"`objects.rim_px` must be above 0, got {self.rim_px}.")
        for name in ("rim_share", "core_probability", "foreground_probability", "split_probability"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"`objects.{name}` must be in (0, 1), got {getattr(self, name)}.")
        for name in ("smallest_seed_px", "smallest_px"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`objects.{name}` must be at least 1, got {getattr(self, name)}.")


def object_labels(
    instances: Integer[np.ndarray, "*space"], config: ObjectConfig, *, spacing: Sequence[float] = ()
) -> Integer[np.ndarray, "*space"]:
    """Background, rim or core for every pixel of an image of objects.

    With d(p) the Euclidean distance of a pixel of an object to the nearest pixel that is not of that object, in sides
    of a pixel (the shortest, if they differ), and R the largest d in the object, its inner radius,

        core:  d(p) > min(rim_px, rim_share R)        rim: the rest of the object

    Two objects that touch are parted by both their rims, so that cores are apart unless an object is less than three
    pixels across. Where sides differ, a slice may be thicker than a rim is wide: there, a pixel beside another object
    is rim at any distance, unless the object would be left without a core.

    What lies beyond the border of the image is taken to go on as the object does: an object that is cut off there has
    no rim along the cut.

    Args:
        instances: Ids of objects from 1 in any order and with any gaps, 0 for background, negative for pixels that
            take no part, which keep their value.
        config: Width of the rim.
        spacing: Size of a pixel along each axis, in any one unit; () if all are equal.

    Returns:
        0, 1 or 2, or what was negative, in int32.

    Example:
        >>> instances = np.pad(np.full((3, 3), 4), 1)
        >>> object_labels(instances, ObjectConfig())
        array([[0, 0, 0, 0, 0],
               [0, 1, 1, 1, 0],
               [0, 1, 2, 1, 0],
               [0, 1, 1, 1, 0],
               [0, 0, 0, 0, 0]], dtype=int32)

    References:
        Ronneberger et al. (2015), U-Net, section 3, widens the gap between touching cells by weights; classes for
        border and interior are those of Caicedo et al. (2019), Evaluation of deep learning strategies for nucleus
        segmentation in fluorescence images, Cytometry A 95.
    """
    labels = np.minimum(instances, 0).astype(np.int32)
    sides = tuple(side / min(spacing) for side in spacing) or (1.0,) * instances.ndim
    touching = _touching(instances) if max(sides, default=1.0) > 1 else np.zeros(instances.shape, bool)
    ids = np.unique(instances[instances > 0])
    # Ids without gaps: find_objects makes a list as long as the largest id.
    numbers = np.where(instances > 0, np.searchsorted(ids, instances) + 1, 0)
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        inside = numbers[box] == number
        depth = _depth(inside, box, instances.shape, sides)
        core = inside & (depth > min(config.rim_px, config.rim_share * depth.max()))
        apart = core & ~touching[box]
        view = labels[box]
        view[inside] = np.where(apart if apart.any() else core, CORE, RIM)[inside]
    return labels


def _touching(instances: Integer[np.ndarray, "*space"]) -> Bool[np.ndarray, "*space"]:
    """Pixels beside a pixel of another object, along the axes."""
    touching = np.zeros(instances.shape, bool)
    for axis in range(instances.ndim):
        ids, beside = np.moveaxis(instances, axis, 0), np.moveaxis(touching, axis, 0)  # views
        differ = (ids[1:] != ids[:-1]) & (ids[1:] > 0) & (ids[:-1] > 0)
        beside[1:] |= differ
        beside[:-1] |= differ
    return touching


def _depth(inside: np.ndarray, box: tuple[slice, ...], shape: tuple[int, ...], sides: tuple[float, ...]) -> np.ndarray:
    """Distance of every pixel to the nearest that is not of the object; beyond the image there is no such pixel."""
    around = [(int(side.start > 0), int(side.stop < size)) for side, size in zip(box, shape, strict=True)]
    padded = np.pad(inside, around)
    if padded.all():  # the object is the whole image
        return np.ones(inside.shape)
    depth = ndimage.distance_transform_edt(padded, sampling=sides)
    return depth[tuple(slice(low, size - high) for (low, high), size in zip(around, padded.shape, strict=True))]
