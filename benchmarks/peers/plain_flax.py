"""The same network in stock Flax modules, for images and volumes: nothing of tinyunet is used."""

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from benchmarks.peers.case import CLASSES, Case
from benchmarks.peers.linen import linen_work
from benchmarks.workers import Work


class PlainBlock(nn.Module):
    """Convolution of a window of 3, batch normalisation, ReLU, as often as the case says."""

    features: int
    case: Case

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        for _ in range(self.case.convs_per_block):
            x = nn.Conv(self.features, (3,) * (x.ndim - 2), padding=self.case.padding.upper(), dtype=self.case.dtype)(x)
            if self.case.norm == "batch":
                x = nn.BatchNorm(use_running_average=not train, dtype=self.case.dtype)(x)
            x = nn.relu(x)
        return x


class PlainSegmenter(nn.Module):
    """The U-Net of a case, and its head.

    Args:
        case: Sizes; the input must divide.
    """

    case: Case

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        case, skips, twos = self.case, [], (2,) * (x.ndim - 2)
        for stage in range(case.depth):
            x = PlainBlock(case.features * 2**stage, case)(x, train=train)
            skips.append(x)
            x = nn.max_pool(x, twos, strides=twos, padding="VALID")
        x = PlainBlock(case.features * 2**case.depth, case)(x, train=train)
        for stage in reversed(range(case.depth)):
            u = nn.ConvTranspose(case.features * 2**stage, twos, strides=twos, padding="VALID", dtype=case.dtype)(x)
            e = crop(skips.pop(), u.shape)
            x = jnp.concatenate([u, e], axis=-1) if case.skip == "concat" else u + e
            x = PlainBlock(case.features * 2**stage, case)(x, train=train)
        return nn.Conv(CLASSES, (1,) * (x.ndim - 2))(x.astype(jnp.float32))


def crop(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The middle of a map, as large as another one."""
    starts = [(mine - n) // 2 for mine, n in zip(x.shape, shape, strict=True)]
    return x[tuple(slice(start, start + n) for start, n in zip(starts, shape, strict=True))]


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Optax's, as its documentation has it."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def make(case: Case) -> Work:
    """What is timed."""
    return linen_work(PlainSegmenter(case), case, cross_entropy)
