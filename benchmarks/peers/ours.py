"""This project's segmenter and cross-entropy."""

import jax

import tinyunet
from benchmarks.peers.case import CLASSES, Case
from benchmarks.peers.linen import linen_work
from benchmarks.workers import Work
from tinyunet.layers.compiling import compiler_options
from tinyunet.training.losses import cross_entropy


class TileSegmenter(tinyunet.Segmenter):
    """With `valid` padding the result is smaller than the image: nothing is mirrored around it first."""

    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        """Logits (b, *result, k)."""
        return self.tile(x, train=train)


def model(case: Case) -> tinyunet.Segmenter:
    """The network of a case."""
    names = ("features", "depth", "convs_per_block", "skip", "padding", "norm", "dtype")
    unet = tinyunet.UNet(**{name: getattr(case, name) for name in names})
    return (TileSegmenter if case.padding == "valid" else tinyunet.Segmenter)(classes=CLASSES, unet=unet)


def make(case: Case) -> Work:
    """What is timed."""
    return linen_work(model(case), case, cross_entropy, options=compiler_options(jax.default_backend()))
