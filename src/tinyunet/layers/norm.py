"""Normalisation of feature maps, always computed in float32."""

from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

Norm = Literal["batch", "group", "instance", "none"]
LOCAL_NORMS: tuple[Norm, ...] = ("batch", "none")
"""Norms that, once trained, treat every pixel alike: the inside of a tile does not depend on its extent."""

GROUP_SIZE = 8
"""Channels a group of `group` holds, as near as the number of channels divides."""


def normalise(
    module: nn.Module, x: Float[Array, "b *space d"], *, norm: Norm, train: bool, momentum: float
) -> Float[Array, "b *space d"]:
    """Applies a normalisation, creating linen's module of that name inside `module`.

        y = scale (x - mean) / sqrt(var + 1e-5) + bias

    with mean and variance over: batch and space (`batch`; when not training, their running averages), space and a
    group of channels (`group`), or space alone (`instance`). `none` returns x.

    Args:
        module: The linen module whose submodule this becomes: `BatchNorm_0`, `GroupNorm_0`, `InstanceNorm_0`.
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
            return nn.BatchNorm(use_running_average=not train, momentum=momentum, dtype=jnp.float32, parent=module)(x)
        case "group":
            groups = max(g for g in range(1, max(1, x.shape[-1] // GROUP_SIZE) + 1) if x.shape[-1] % g == 0)
            return nn.GroupNorm(num_groups=groups, epsilon=1e-5, dtype=jnp.float32, parent=module)(x)
        case "instance":
            return nn.InstanceNorm(epsilon=1e-5, dtype=jnp.float32, parent=module)(x)
        case "none":
            return x.astype(jnp.float32)
