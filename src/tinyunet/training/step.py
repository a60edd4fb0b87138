"""One step: augment, forward, backward, update, average."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int

from tinyunet.arrays import PRNGKey
from tinyunet.data.augment.compose import AugmentConfig, augment
from tinyunet.training.losses import LossConfig, loss
from tinyunet.training.state import TrainState, Variables


class Batch(NamedTuple):
    """Windows of images with their labels, and where each stands in the order of the training."""

    images: Float[Array, "b *space c"]
    labels: Int[Array, "b *space"]
    epoch: Int[Array, " b"]
    number: Int[Array, " b"]


Step = Callable[[TrainState, Batch, PRNGKey, Float[Array, ""]], tuple[TrainState, Float[Array, ""]]]
"""State, batch, root key and learning rate -> the next state and the loss."""


def make_step(
    model: nn.Module,
    optimiser: optax.GradientTransformation,
    *,
    patch: tuple[int, ...],
    loss_config: LossConfig,
    augment_config: AugmentConfig,
    ema_decay: float,
    spacing: tuple[float, ...] = (),
) -> Step:
    """The function from a state, a batch, a root key and a learning rate to the next state and the loss.

    The augmentation of sample i of epoch e takes the key fold_in(fold_in(root, e), i): it depends on nothing else,
    neither threads nor restarts. The moving average a of the variables v follows

        a <- m a + (1 - m) v,    m = min(ema_decay, (1 + step) / (10 + step))

    so that it forgets the initial values even in a short training.

    Args:
        model: A segmenter.
        optimiser: What turns gradients into a direction.
        patch: Height and width, or depth, height and width that the network sees; the batch's windows may be larger.
        loss_config: What is minimised.
        augment_config: How images and labels are varied.
        ema_decay: The largest m.
        spacing: Size of a pixel along each axis, in any unit of length; empty: equal along all axes.
    """

    def step(
        state: TrainState, batch: Batch, root: PRNGKey, rate: Float[Array, ""]
    ) -> tuple[TrainState, Float[Array, ""]]:
        def vary(epoch: Array, number: Array, image: Array, labels: Array) -> tuple[Array, Array]:
            key = jax.random.fold_in(jax.random.fold_in(root, epoch), number)
            return augment(key, image, labels, augment_config, shape=patch, spacing=spacing)

        images, labels = jax.vmap(vary)(batch.epoch, batch.number, batch.images, batch.labels)
        dropout = jax.random.fold_in(root, state.step)
        statistics = {name: value for name, value in state.variables.items() if name != "params"}

        def objective(params: Variables) -> tuple[Array, Variables]:
            logits, updated = model.apply(
                {"params": params, **statistics},
                images,
                train=True,
                mutable=list(statistics),
                rngs={"dropout": dropout},
            )
            return loss(logits, labels, loss_config), dict(updated)

        (value, updated), gradient = jax.value_and_grad(objective, has_aux=True)(state.variables["params"])
        direction, optimiser_state = optimiser.update(gradient, state.optimiser, state.variables["params"])
        params = jax.tree.map(lambda p, d: p - rate * d, state.variables["params"], direction)
        variables = {"params": params, **updated}
        m = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
        average = jax.tree.map(lambda a, v: m * a + (1 - m) * v, state.average, variables)
        return TrainState(state.step + 1, variables, average, optimiser_state), value

    return step
