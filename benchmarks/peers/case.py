"""What every peer is asked to do: a network and a batch."""

import math
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np

CLASSES = 2
LEARNING_RATE = 1e-3

STEP, INFERENCE = "training step", "inference"


@dataclass(frozen=True)
class Case:
    """A U-Net with transposed convolutions, a 1x1 head of two classes, and its input.

    Args:
        features: Channels of the first stage.
        depth: Number of poolings.
        batch: Images in a batch.
        size: Their height and width in pixels.
        convs_per_block: Convolutions in a block.
        skip: How the decoder takes up the encoder's maps.
        padding: `valid` loses a pixel on each side with every convolution, and the skips are cropped.
        norm: After every convolution.
        dtype: In what convolutions are computed; parameters, statistics and the loss stay float32.
    """

    features: int
    depth: int
    batch: int
    size: int
    convs_per_block: int = 1
    skip: Literal["concat", "add"] = "concat"
    padding: Literal["same", "valid"] = "same"
    norm: Literal["batch", "none"] = "batch"
    dtype: Literal["float32", "bfloat16"] = "float32"

    @property
    def title(self) -> str:
        """In words."""
        said = [f"{self.features} features", f"depth {self.depth}"]
        said += [f"{self.convs_per_block} convolutions a block"] * (self.convs_per_block > 1)
        said += [f"skips {self.skip}"] * (self.skip != "concat")
        said += ["no padding"] * (self.padding == "valid") + ["no normalisation"] * (self.norm == "none")
        said += [self.dtype] * (self.dtype != "float32")
        return ", ".join([*said, f"batch {self.batch}×{self.sides}"])

    @property
    def sides(self) -> str:
        """Of an image, in words."""
        return f"{self.size}²"

    @property
    def space(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return self.size, self.size

    def result(self, size: int) -> int:
        """Pixels of the result along an axis where the image has so many; not above zero if they are too few."""
        lost = 2 * self.convs_per_block if self.padding == "valid" else 0
        for _ in range(self.depth):
            size = (size - lost) // 2
        size -= lost
        for _ in range(self.depth):
            size = 2 * size - lost
        return size

    def operations(self, kind: str) -> int:
        """Additions and multiplications of the convolutions, their borders counted in full.

        A training step counts three times inference: once forward, once for the gradients of maps, once for those of
        kernels.
        """
        axes, lost = len(self.space), 2 if self.padding == "valid" else 0
        sizes, channels, products = list(self.space), 1, 0

        def block(features: int) -> None:
            nonlocal sizes, channels, products
            for _ in range(self.convs_per_block):
                sizes = [size - lost for size in sizes]
                products += math.prod(sizes) * 3**axes * channels * features
                channels = features

        for stage in range(self.depth):
            block(self.features * 2**stage)
            sizes = [size // 2 for size in sizes]
        block(self.features * 2**self.depth)
        for stage in reversed(range(self.depth)):
            features = self.features * 2**stage
            products += math.prod(sizes) * 2**axes * channels * features
            sizes, channels = [2 * size for size in sizes], features * (2 if self.skip == "concat" else 1)
            block(features)
        products += math.prod(sizes) * channels * CLASSES
        return 2 * self.batch * products * (3 if kind == STEP else 1)

    def shrunk(self, by: int) -> Self:
        """The same for images about so many times smaller, of a size that the poolings divide."""
        sizes = range(self.size, 0, -(2**self.depth))
        return replace(self, size=min(n for n in sizes if n >= self.size // by and self.result(n) > 0))

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Images of noise, float32 (b, *space, 1), and the labels of their bright pixels, int32 (b, *result)."""
        images = np.random.default_rng(0).standard_normal((self.batch, *self.space, 1), dtype=np.float32)
        sizes = [(n, self.result(n)) for n in self.space]
        middle = tuple(slice((n - kept) // 2, (n + kept) // 2) for n, kept in sizes)
        return images, (images[:, *middle, 0] > 0).astype(np.int32)
