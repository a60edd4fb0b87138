"""Everything that a training carries from one step to the next."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Int, PyTree

from tinyunet.arrays import PRNGKey
from tinyunet.layers.compiling import QUICK_OPTIONS, accepted
from tinyunet.layers.paths import without_kernels

Variables = dict[str, Any]
"""What `linen.Module.apply` takes: `params`, and `batch_stats` where the network has them."""


class TrainState(NamedTuple):
    """The state of a training after `step` steps.

    There is no random key in it: keys come from the seed and the sample's place, so that a resumed training draws what
    an uninterrupted one would have drawn.

    Attributes:
        step: Steps done.
        variables: Parameters and running averages of batch statistics.
        average: The exponential moving average of `variables`.
        optimiser: The optimiser's own state.
    """

    step: Int[Array, ""]
    variables: PyTree
    average: PyTree
    optimiser: PyTree


def initial_variables(model: nn.Module, seed: int, *, channels: int, shape: tuple[int, ...]) -> Variables:
    """Initial parameters and batch statistics of a model.

    They are computed by the processor, wherever the training runs: compiling for a graphics card takes longer, and so
    the values are the same there. The initialiser is compiled as quickly as can be: it runs once, and optimising it
    takes ten times as long as running it. The values differ from the optimised ones by at most rounding (6e-8).

    Args:
        model: A linen module of images.
        seed: The key is `jax.random.PRNGKey(seed)`.
        channels: Channels of the image.
        shape: Legal sizes of the axes of space; the parameters do not depend on them.
    """
    # The maps are never computed, so that it is quicker not to look for their kernels.
    with jax.default_device(_processor()), without_kernels():
        return _initialiser(model)(jax.random.PRNGKey(seed), jnp.zeros((1, *shape, channels)))


@functools.lru_cache(maxsize=4)
def _initialiser(model: nn.Module) -> Callable[[PRNGKey, Array], Variables]:
    """Compiled once for all trainings of a network."""
    return jax.jit(model.init, compiler_options=accepted(QUICK_OPTIONS))


def _processor() -> jax.Device | None:
    """None if JAX is told to do without, as by JAX_PLATFORMS=cuda."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def initial_state(variables: Variables, optimiser: optax.GradientTransformation) -> TrainState:
    """The state before the first step, which shares no memory with the variables: the step takes over its state's."""
    return _starter(optimiser)(variables)


@functools.lru_cache(maxsize=4)
def _starter(optimiser: optax.GradientTransformation) -> Callable[[Variables], TrainState]:
    """One program for all trainings with an optimiser: each of its hundred copies and zeros would be one of its own."""

    def start(variables: Variables) -> TrainState:
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            variables=jax.tree.map(jnp.copy, variables),
            average=jax.tree.map(jnp.copy, variables),
            optimiser=optimiser.init(variables["params"]),
        )

    return jax.jit(start)
