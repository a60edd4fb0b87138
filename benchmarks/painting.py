"""The hand of somebody who paints with care: strokes of a round brush inside the classes, without a studio."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.draw import disk

_LENGTH, _STRIDE = 25, 1.5


@dataclass(frozen=True)
class Stroke:
    """One stroke.

    Attributes:
        label: The class that is painted.
        diameter: Of the brush, in pixels.
        path: Where its centre goes, as (y, x); the centre of the first pixel of an image is (0, 0).
        pixels: What it covers.
    """

    label: int
    diameter: int
    path: tuple[tuple[float, float], ...]
    pixels: np.ndarray


def brush(labels: np.ndarray, k: int) -> int:
    """The radius with which one paints inside a class: about half of how far its middle is from its border."""
    inside = ndimage.distance_transform_edt(labels == k)
    return int(np.clip(round(0.5 * float(np.mean(inside[inside > 0]))), 1, 3)) if (labels == k).any() else 1


def draw(room: np.ndarray, begin: np.ndarray, *, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The path of a short wavering stroke; none if there is nowhere to begin.

    Args:
        room: Where the centre of the brush may go.
        begin: Where the stroke may begin, as far as there is room.
        rng: Draws it.
    """
    starts = np.argwhere(room & begin)
    if not len(starts):
        return []
    place, angle = starts[rng.integers(len(starts))].astype(float), rng.uniform(0, 2 * np.pi)
    path = [(float(place[0]), float(place[1]))]
    while len(path) < _LENGTH:
        for _ in range(12):
            turn = angle + rng.normal(0, 0.4)
            ahead = place + _STRIDE * np.array([np.sin(turn), np.cos(turn)])
            y, x = np.rint(ahead).astype(int)
            if 0 <= y < room.shape[0] and 0 <= x < room.shape[1] and room[y, x]:
                place, angle = ahead, turn
                break
            angle += rng.normal(0, 1.2)
        else:
            break
        path.append((float(place[0]), float(place[1])))
    return path


def strokes(
    labels: np.ndarray, before: np.ndarray, wrong: np.ndarray | None, *, pixels: int, rng: np.random.Generator
) -> Iterator[Stroke]:
    """Strokes of the classes in turn until so many pixels are painted, or there is nothing left to correct.

    Args:
        labels: The truth.
        before: What is painted already; what is painted now is added.
        wrong: Where the prediction is wrong, and wide enough to be seen; None where nothing is predicted yet.
        pixels: The most that may be painted in all.
        rng: Draws them.
    """
    classes = [k for k in np.unique(labels).tolist() if k >= 0]
    radius = {k: brush(labels, k) for k in classes}
    # The centre lies anywhere in its pixel, so that a brush may slip over a border by a part of one, as a hand does.
    room = {k: ndimage.distance_transform_edt(labels == k) >= radius[k] + 1 for k in classes}
    for turn in range(2000):
        begin = ~before if wrong is None else wrong & ~before
        open_classes = [k for k in classes if (begin & room[k]).any()]
        if not open_classes:
            return
        k = open_classes[turn % len(open_classes)]
        path = draw(room[k], begin, rng=rng)
        # Every class gets its share of the first strokes; where a stroke would be too much, it ends earlier.
        left = (pixels - int(before.sum())) // max(1, len(open_classes) - turn)
        path, covered = within(path, before, radius=radius[k], pixels=left)
        if not path:
            return
        before |= covered
        yield Stroke(k, 2 * radius[k] + 1, tuple(path), covered)


def within(
    path: list[tuple[float, float]], before: np.ndarray, *, radius: int, pixels: int
) -> tuple[list[tuple[float, float]], np.ndarray]:
    """As much of a path as paints no more than so many new pixels, and what that covers."""
    covered = np.zeros(before.shape, bool)
    for count, place in enumerate(path):
        more = covered.copy()
        more[disk(place, radius + 0.5, shape=before.shape)] = True
        if (more & ~before).sum() > pixels:
            return path[:count], covered
        covered = more
    return path, covered
