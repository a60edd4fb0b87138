"""What every peer is asked to do: a network and a batch."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

CLASSES = 2
LEARNING_RATE = 1e-3

STEP, INFERENCE = "training step", "inference"


@dataclass(frozen=True)
class Case:
    """A U-Net with batch normalisation and transposed convolutions, a 1x1 head of two classes, and its input.

    Args:
        features: Channels of the first stage.
        depth: Number of poolings.
        batch: Images in a batch.
        size: Their height and width in pixels.
        convs_per_block: Convolutions in a block.
        skip: How the decoder takes up the encoder's maps.
    """

    features: int
    depth: int
    batch: int
    size: int
    convs_per_block: int = 1
    skip: Literal["concat", "add"] = "concat"

    @property
    def title(self) -> str:
        """In words."""
        convs = f"{self.convs_per_block} convolutions a block, " if self.convs_per_block > 1 else ""
        skip = f"skips {self.skip}, " if self.skip != "concat" else ""
        return f"{self.features} features, depth {self.depth}, {convs}{skip}batch {self.batch}×{self.size}²"

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Images of noise, float32 (b, h, w, 1), and the labels of their bright pixels, int32 (b, h, w)."""
        images = np.random.default_rng(0).standard_normal((self.batch, self.size, self.size, 1), dtype=np.float32)
        return images, (images[..., 0] > 0).astype(np.int32)
