"""Random variables of a linen module without running its initialiser, which takes seconds to compile."""

import functools

import jax
import jax.numpy as jnp
import numpy as np


def random_variables(model, *inputs, seed=0, **options):
    """Weights of unit gain, biases and means about 0, scales and variances about 1: nothing is at its initial value."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        name = path[-1].key
        if name in ("scale", "var"):
            return jnp.asarray(rng.uniform(0.5, 1.5, leaf.shape), leaf.dtype)
        spread = np.sqrt(2 / np.prod(leaf.shape[:-1])) if name == "kernel" else 0.2
        return jnp.asarray(spread * rng.normal(size=leaf.shape), leaf.dtype)

    shapes = jax.eval_shape(functools.partial(model.init, **options), jax.random.PRNGKey(0), *inputs)
    return jax.tree_util.tree_map_with_path(draw, shapes)


def positive_variables(model, *inputs, **options):
    """Weights of one and biases of zero: an answer to an impulse is positive wherever the impulse reaches."""
    shapes = jax.eval_shape(functools.partial(model.init, **options), jax.random.PRNGKey(0), *inputs)
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.full(leaf.shape, path[-1].key != "bias", leaf.dtype), shapes
    )
