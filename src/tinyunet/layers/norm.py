"""Normalisation of feature maps, always computed in float32."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

Norm = Literal["batch", "group", "instance", "none"]
LOCAL_NORMS: tuple[Norm, ...] = ("batch", "none")
"""Norms that, once trained, treat every pixel alike: the inside of a tile does not depend on its extent."""

GROUP_SIZE = 8
"""Channels a group of `group` holds, as near as the number of channels divides."""


EPSILON = 1e-5
"""Added to every variance."""


class BatchNorm(nn.Module):
    """Batch normalisation with variables named, initialised and updated as `flax.linen.BatchNorm` does.

    Attributes:
        momentum: Share of the old value that a running average keeps, in [0, 1).
    """

    momentum: float = 0.99

    def __call__(self, x: Float[Array, "b *space d"], *, train: bool) -> Float[Array, "b *space d"]:
        """Normalises by this batch's statistics while training, by the running averages otherwise."""
        x = x.astype(jnp.float32)
        scale, shift, running_mean, running_var = self.variables_of(x.shape[-1])
        mean, var = moments(x) if train else (running_mean.value, running_var.value)
        if train:
            self.update(mean, var)
        return standardise(x, mean, var, scale, shift)

    @nn.compact
    def variables_of(self, features: int) -> tuple[Array, Array, nn.Variable, nn.Variable]:
        """Scale, shift, and the running averages of mean and variance, for maps of so many features."""
        shape = (features,)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)
        scale = self.param("scale", nn.initializers.ones_init(), shape, jnp.float32)
        shift = self.param("bias", nn.initializers.zeros_init(), shape, jnp.float32)
        return scale, shift, mean, var

    def update(self, mean: Float[Array, " d"], var: Float[Array, " d"]) -> None:
        """Lets the running averages go on by one batch; while initialising they stay."""
        if self.is_initializing():
            return
        *_, running_mean, running_var = self.variables_of(mean.shape[0])
        for running, value in ((running_mean, mean), (running_var, var)):
            running.value = self.momentum * running.value + (1 - self.momentum) * value


def moments(x: Float[Array, "b *space d"]) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """Mean and variance of every feature, over batch and space; the variance as E[x^2] - E[x]^2, at least 0."""
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes)
    return mean, jnp.maximum(0.0, (x * x).mean(axes) - mean * mean)


def standardise(
    x: Float[Array, "b *space d"],
    mean: Float[Array, " d"],
    var: Float[Array, " d"],
    scale: Float[Array, " d"],
    shift: Float[Array, " d"],
) -> Float[Array, "b *space d"]:
    """(x - mean) / sqrt(var + 1e-5) scale + shift."""
    return (x - mean) * (jax.lax.rsqrt(var + EPSILON) * scale) + shift


@jax.custom_vjp
def normalise_relu(
    y: Float[Array, "b *space d"], bias: Float[Array, " d"], scale: Float[Array, " d"], shift: Float[Array, " d"]
) -> tuple[Float[Array, "b *space d"], Float[Array, " d"], Float[Array, " d"]]:
    """A bias, batch normalisation by this batch's statistics, and ReLU, with gradients in few passes over the map.

        z = max(0, x scale + shift),    x = (y + bias - mean) / sqrt(var + 1e-5)

    with mean and variance of y + bias. The mean takes the bias away again, so that no map has it added, and its
    gradient is zero. With g the gradient of x scale + shift, that of z where z is above zero, and N pixels,

        dshift = sum g,    dscale = sum g x,    dy = scale / sqrt(var + 1e-5) (g - dshift / N - x dscale / N)

    Args:
        y: Feature maps of any float type.
        bias: Added to every pixel.
        scale: Of the normalisation.
        shift: Of the normalisation.

    Returns:
        z in float32; mean and variance, through which no gradient flows: the running averages take none.

    References:
        Ioffe and Szegedy (2015), Batch normalization, section 3.
    """
    return _normalise_relu(y, bias, scale, shift)[0]


def _normalise_relu(
    y: Array, bias: Array, scale: Array, shift: Array
) -> tuple[tuple[Array, Array, Array], tuple[Array, ...]]:
    wide = y.astype(jnp.float32)
    mean, var = moments(wide)
    z = jax.nn.relu(standardise(wide, mean, var, scale, shift))
    return (z, mean + bias, var), (y, mean, var, bias, scale, shift)


def _normalise_relu_gradients(saved: tuple[Array, ...], cotangents: tuple[Array, ...]) -> tuple[Array, ...]:
    y, mean, var, bias, scale, shift = saved
    axes, pixels = tuple(range(y.ndim - 1)), y.size // y.shape[-1]
    r = jax.lax.rsqrt(var + EPSILON)
    x = (y.astype(jnp.float32) - mean) * r
    g = jnp.where(x * scale + shift > 0, cotangents[0], 0)
    dshift, dscale = g.sum(axes), (g * x).sum(axes)
    dy = scale * r * (g - dshift / pixels - x * (dscale / pixels))
    return dy.astype(y.dtype), jnp.zeros_like(bias), dscale, dshift


normalise_relu.defvjp(_normalise_relu, _normalise_relu_gradients)


def normalise(
    module: nn.Module, x: Float[Array, "b *space d"], *, norm: Norm, train: bool, momentum: float, index: int = 0
) -> Float[Array, "b *space d"]:
    """Applies a normalisation, creating linen's module of that name inside `module`.

        y = scale (x - mean) / sqrt(var + 1e-5) + bias

    with mean and variance over: batch and space (`batch`; when not training, their running averages), space and a
    group of channels (`group`), or space alone (`instance`). `none` returns x.

    Args:
        module: The linen module whose submodule this becomes: `BatchNorm_0`, `GroupNorm_0`, `InstanceNorm_0`.
        index: The number in that name.
        x: Feature maps of any float type; the result is float32.
        norm: Which statistics.
        train: For `batch`: use this batch's statistics and update the running ones.
        momentum: For `batch`: share of the old value that a running average keeps, in [0, 1).

    References:
        Ioffe and Szegedy (2015), Batch normalization; Wu and He (2018), Group normalization; Ulyanov et al. (2016),
        Instance normalization.
    """
    match norm:
        case "batch":
            return BatchNorm(momentum=momentum, name=f"BatchNorm_{index}", parent=module)(x, train=train)
        case "group":
            groups = group_count(x.shape[-1])
            return nn.GroupNorm(
                num_groups=groups, epsilon=EPSILON, dtype=jnp.float32, name=f"GroupNorm_{index}", parent=module
            )(x)
        case "instance":
            return nn.InstanceNorm(epsilon=EPSILON, dtype=jnp.float32, name=f"InstanceNorm_{index}", parent=module)(x)
        case "none":
            return x.astype(jnp.float32)


def group_count(features: int) -> int:
    """How many groups the channels of a map are divided into: of eight each, or more where eight do not divide them.

    Example:
        >>> group_count(4), group_count(16), group_count(36)
        (1, 2, 4)
    """
    return max(g for g in range(1, max(1, features // GROUP_SIZE) + 1) if features % g == 0)
