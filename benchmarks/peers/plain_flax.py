"""The same network in stock Flax modules, as the founding page has it: nothing of tinyunet is used."""

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from benchmarks.peers.case import CLASSES, Case
from benchmarks.peers.linen import linen_work
from benchmarks.workers import Work


class PlainBlock(nn.Module):
    """Convolution 3x3, batch normalisation, ReLU; `convs` times."""

    features: int
    convs: int

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for _ in range(self.convs):
            x = nn.Conv(self.features, (3, 3), padding="SAME")(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        return x


class PlainSegmenter(nn.Module):
    """The U-Net of a case, and its head.

    Args:
        case: Sizes; the input must divide.
    """

    case: Case

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        case, skips = self.case, []
        for stage in range(case.depth):
            x = PlainBlock(case.features * 2**stage, case.convs_per_block)(x, train=train)
            skips.append(x)
            x = nn.max_pool(x, (2, 2), strides=(2, 2), padding="VALID")
        x = PlainBlock(case.features * 2**case.depth, case.convs_per_block)(x, train=train)
        for stage in reversed(range(case.depth)):
            u = nn.ConvTranspose(case.features * 2**stage, (2, 2), strides=(2, 2), padding="VALID")(x)
            e = skips.pop()
            x = jnp.concatenate([u, e], axis=-1) if case.skip == "concat" else u + e
            x = PlainBlock(case.features * 2**stage, case.convs_per_block)(x, train=train)
        return nn.Conv(CLASSES, (1, 1))(x)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Optax's, as its documentation has it."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def make(case: Case) -> Work:
    """What is timed."""
    return linen_work(PlainSegmenter(case), case, cross_entropy)
