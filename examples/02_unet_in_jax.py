"""The U-Net as a linen module like any other: your own loss, your own loop, optax, jit and grad.

    python examples/02_unet_in_jax.py

Nothing of tinyunet's training is used, only the network and, for something to look at, its synthetic cells.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax

import tinyunet
from tinyunet.data.synthetic import cells


def batch(first: int, *, count: int, size: int) -> tuple[jax.Array, jax.Array]:
    """Images (b, h, w, 1) of mean 0 and standard deviation 1, and labels (b, h, w): 1 in a cell."""
    pairs = [cells(seed, shape=(size, size)) for seed in range(first, first + count)]
    images = np.stack([(image - image.mean()) / (image.std() + 1e-6) for image, _ in pairs])
    return jnp.asarray(images, jnp.float32), jnp.asarray(np.stack([ids > 0 for _, ids in pairs]), jnp.int32)


def main() -> None:
    """Trains for a few steps and scores one held-out batch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60, help="number of steps (default 60)")
    parser.add_argument("--size", type=int, default=128, help="height and width of the images (default 128)")
    parser.add_argument("--features", type=int, default=12, help="channels of the first stage (default 12)")
    arguments = parser.parse_args()

    # A Segmenter is a UNet and a 1×1 convolution to the classes; it takes images of any size.
    model = tinyunet.Segmenter(classes=2, unet=tinyunet.UNet(features=arguments.features, depth=3, momentum=0.9))
    images, labels = batch(0, count=8, size=arguments.size)
    # Initial values are computed once: not optimising that program compiles it ten times as fast.
    init = jax.jit(model.init, compiler_options={"xla_backend_optimization_level": 0})
    variables = init(jax.random.PRNGKey(0), images[:1])
    params, statistics = variables["params"], variables["batch_stats"]
    print(f"{sum(leaf.size for leaf in jax.tree.leaves(params)):,} parameters")

    optimiser = optax.adam(3e-3)
    state = optimiser.init(params)

    def loss(params, statistics, images, labels):
        """Mean cross-entropy; the new batch statistics are returned beside it."""
        logits, updated = model.apply(
            {"params": params, "batch_stats": statistics}, images, train=True, mutable=["batch_stats"]
        )
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), updated["batch_stats"]

    @jax.jit
    def step(params, statistics, state, images, labels):
        (value, statistics), gradient = jax.value_and_grad(loss, has_aux=True)(params, statistics, images, labels)
        updates, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, updates), statistics, state, value

    for number in range(arguments.steps):
        chosen = (4 * number + np.arange(4)) % len(images)
        params, statistics, state, value = step(params, statistics, state, images[chosen], labels[chosen])
        if number % 10 == 0 or number == arguments.steps - 1:
            print(f"step {number + 1}: loss {value:.3f}")

    images, labels = batch(1000, count=2, size=arguments.size)
    logits = jax.jit(model.apply)({"params": params, "batch_stats": statistics}, images)
    predicted = jnp.argmax(logits, axis=-1)
    dice = 2 * jnp.sum(predicted * labels) / (jnp.sum(predicted) + jnp.sum(labels))
    print(f"Dice on images not seen: {dice:.3f}")


if __name__ == "__main__":
    main()
