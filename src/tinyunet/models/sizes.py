"""Which sizes a U-Net takes, what it gives back, and how far a pixel of the result sees. Integers only."""

from collections.abc import Sequence
from dataclasses import dataclass

from tinyunet.layers.correlate import Padding
from tinyunet.layers.upsample import MADE_UP, Upsampling


@dataclass(frozen=True, kw_only=True)
class Topology:
    """What decides the sizes of a U-Net's maps along one axis of space.

    A stage through which the axis is held leaves it as it is: so much as sizes and reach are concerned, the network
    has depth - hold poolings along this axis, and as many stages fewer.

    Attributes:
        depth: Number of poolings.
        padding: Of the convolutions.
        convs_per_block: Convolutions in a block, each 3x3.
        upsample: How maps are enlarged.
        hold: Through how many stages from the top the axis is neither pooled nor convolved across, from 0 to depth.

    Raises:
        ValueError: `hold` is out of its range.

    Example:
        >>> paper = Topology(depth=4, padding="valid", convs_per_block=2)
        >>> paper.output_size(572), paper.smallest_size(388)
        (388, 572)
        >>> Topology(depth=3, hold=1) == Topology(depth=2), Topology(depth=3, hold=1).multiple
        (False, 4)

    References:
        Ronneberger et al. (2015), U-Net, figure 1 and the last paragraph of section 2.
    """

    depth: int
    padding: Padding = "same"
    convs_per_block: int = 1
    upsample: Upsampling = "transpose"
    hold: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.hold <= self.depth:
            raise ValueError(f"`hold` must be from 0 to depth {self.depth}, got {self.hold}.")

    @property
    def poolings(self) -> int:
        """How many times the axis is halved, depth - hold."""
        return self.depth - self.hold

    @property
    def multiple(self) -> int:
        """Pixels by which an image may be shifted without meeting other pooling windows, 2^poolings."""
        return int(2**self.poolings)

    def output_size(self, size: int) -> int | None:
        """Size of the result, or None where the network cannot take `size`.

        With `same` padding any positive multiple of 2^poolings is kept. With `valid` padding a block loses
        2 convs_per_block pixels, upsampling those at its ends which it would make up (`MADE_UP`); what is pooled must
        be even.

        Example:
            >>> Topology(depth=2).output_size(30) is None
            True
        """
        lost = 2 * self.convs_per_block if self.padding == "valid" else 0
        for _ in range(self.poolings):
            size -= lost
            if size < 2 or size % 2:
                return None
            size //= 2
        size -= lost
        ends = 2 * MADE_UP[self.upsample] if self.padding == "valid" else 0
        for _ in range(self.poolings):
            size = 2 * size - ends - lost
        return size if size > 0 else None

    def smallest_size(self, at_least: int) -> int:
        """The smallest legal input size whose *output* has `at_least` pixels.

        Example:
            >>> Topology(depth=2).smallest_size(30)
            32
        """
        size = max(1, at_least)
        while (self.output_size(size) or 0) < at_least:
            size += 1
        return size

    def receptive_radius(self) -> int:
        """How many pixels away from a pixel of the result an input pixel can still change it.

        The intervals of pixels that each map needs are followed back through the network, for every position of the
        output pixel against the pooling grid, and the farthest is returned.

        Example:
            >>> Topology(depth=0).receptive_radius(), Topology(depth=2).receptive_radius()
            (1, 13)
        """
        radius = 0
        for pixel in range(self.multiple):
            low, high = self._needed(0, pixel, pixel)
            radius = max(radius, pixel - low, high - pixel)
        return radius

    def _needed(self, stage: int, low: int, high: int) -> tuple[int, int]:
        """The interval of the image that one of the decoder's map needs, after `stage` poolings of this axis."""
        if stage == self.poolings:
            return self._needed_by_encoder(stage, low, high)
        low, high = low - self.convs_per_block, high + self.convs_per_block
        reach = 0 if self.upsample == "transpose" else 1  # neighbours that the upsampling itself looks at
        skip = self._needed_by_encoder(stage, low, high)
        up = self._needed(stage + 1, low // 2 - reach, high // 2 + reach)
        return min(skip[0], up[0]), max(skip[1], up[1])

    def _needed_by_encoder(self, stage: int, low: int, high: int) -> tuple[int, int]:
        low, high = low - self.convs_per_block, high + self.convs_per_block
        return (low, high) if stage == 0 else self._needed_by_encoder(stage - 1, 2 * low, 2 * high + 1)


def check_sizes(topologies: Sequence[Topology], space: Sequence[int]) -> None:
    """Refuses sizes the network cannot take.

    Args:
        topologies: Of each axis of space; they differ in `hold` only.
        space: Pixels along each axis.

    Raises:
        ValueError: Names the sizes and the nearest legal ones below and above.

    Example:
        >>> check_sizes([Topology(depth=3)] * 2, (254, 320))
        Traceback (most recent call last):
        ValueError: `x` must have sizes divisible by 8 (depth 3), got (254, 320); crop to (248, 320) or pad to ...
        >>> check_sizes([Topology(depth=3, hold=hold) for hold in (2, 0, 0)], (9, 64, 64))
        Traceback (most recent call last):
        ValueError: `x` must have sizes divisible by (2, 8, 8) (depth 3, hold (2, 0, 0)), got (9, 64, 64); crop to ...
    """
    axes = list(zip(topologies, space, strict=True))
    if all(axis.output_size(size) is not None for axis, size in axes):
        return
    up = tuple(next(s for s in range(size, size + 10**6) if axis.output_size(s)) for axis, size in axes)
    down = tuple(next((s for s in range(size, 0, -1) if axis.output_size(s)), None) for axis, size in axes)
    depth, hold = topologies[0].depth, [axis.hold for axis in topologies]
    held = f", hold {_one_or_all(hold)}" if any(hold) else ""
    rule = (
        f"sizes divisible by {_one_or_all([axis.multiple for axis in topologies])} (depth {depth}{held})"
        if topologies[0].padding == "same"
        else f"sizes that are even before each of {_one_or_all([axis.poolings for axis in topologies])} poolings"
    )
    crop = f"crop to {down} or " if None not in down else ""
    raise ValueError(f"`x` must have {rule}, got {tuple(space)}; {crop}pad to {up}.")


def _one_or_all(values: Sequence[int]) -> int | tuple[int, ...]:
    """The value that all axes share, or each axis's."""
    return values[0] if len(set(values)) == 1 else tuple(values)
