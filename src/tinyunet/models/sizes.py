"""Which sizes a U-Net takes, what it gives back, and how far a pixel of the result sees. Integers only."""

from collections.abc import Sequence
from dataclasses import dataclass

from tinyunet.layers.conv import Padding
from tinyunet.layers.upsample import Upsampling


@dataclass(frozen=True, kw_only=True)
class Topology:
    """What decides the sizes of a U-Net's maps.

    Attributes:
        depth: Number of poolings.
        padding: Of the convolutions.
        convs_per_block: Convolutions in a block, each 3x3.
        upsample: How maps are enlarged.

    Example:
        >>> paper = Topology(depth=4, padding="valid", convs_per_block=2)
        >>> paper.output_size(572), paper.smallest_size(388)
        (388, 572)

    References:
        Ronneberger et al. (2015), U-Net, figure 1 and the last paragraph of section 2.
    """

    depth: int
    padding: Padding = "same"
    convs_per_block: int = 1
    upsample: Upsampling = "transpose"

    @property
    def multiple(self) -> int:
        """Pixels by which an image may be shifted without meeting other pooling windows, 2^depth."""
        return int(2**self.depth)

    def output_size(self, size: int) -> int | None:
        """Size of the result along one axis, or None where the network cannot take `size`.

        With `same` padding any positive multiple of 2^depth is kept. With `valid` padding a block loses
        2 convs_per_block pixels, and what is pooled must be even.

        Example:
            >>> Topology(depth=2).output_size(30) is None
            True
        """
        lost = 2 * self.convs_per_block if self.padding == "valid" else 0
        for _ in range(self.depth):
            size -= lost
            if size < 2 or size % 2:
                return None
            size //= 2
        size -= lost
        for _ in range(self.depth):
            size = 2 * size - lost
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

    def check(self, space: Sequence[int]) -> None:
        """Refuses sizes the network cannot take.

        Raises:
            ValueError: Names the sizes and the nearest legal ones below and above.

        Example:
            >>> Topology(depth=3).check((254, 320))
            Traceback (most recent call last):
            ValueError: `x` must have sizes divisible by 8 (depth 3), got (254, 320); crop to (248, 320) or pad to ...
        """
        if all(self.output_size(size) is not None for size in space):
            return
        up = tuple(next(s for s in range(size, size + 10**6) if self.output_size(s)) for size in space)
        down = tuple(next((s for s in range(size, 0, -1) if self.output_size(s)), None) for size in space)
        rule = (
            f"sizes divisible by {self.multiple} (depth {self.depth})"
            if self.padding == "same"
            else f"sizes that are even before each of {self.depth} poolings"
        )
        crop = f"crop to {down} or " if None not in down else ""
        raise ValueError(f"`x` must have {rule}, got {tuple(space)}; {crop}pad to {up}.")

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
        """The interval of the image that an interval of the decoder's map at a stage needs; stage 0 is full size."""
        if stage == self.depth:
            return self._needed_by_encoder(stage, low, high)
        low, high = low - self.convs_per_block, high + self.convs_per_block
        reach = 0 if self.upsample == "transpose" else 1  # neighbours that the upsampling itself looks at
        skip = self._needed_by_encoder(stage, low, high)
        up = self._needed(stage + 1, low // 2 - reach, high // 2 + reach)
        return min(skip[0], up[0]), max(skip[1], up[1])

    def _needed_by_encoder(self, stage: int, low: int, high: int) -> tuple[int, int]:
        low, high = low - self.convs_per_block, high + self.convs_per_block
        return (low, high) if stage == 0 else self._needed_by_encoder(stage - 1, 2 * low, 2 * high + 1)
