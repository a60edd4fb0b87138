"""The work of a linen module: one compiled training step with Adam, and compiled inference."""

from collections.abc import Callable

import jax
import optax
from flax import linen as nn

from benchmarks.measure import peak_bytes
from benchmarks.peers.case import INFERENCE, LEARNING_RATE, STEP, Case
from benchmarks.workers import JaxCalls, Work

Loss = Callable[[jax.Array, jax.Array], jax.Array]
"""From logits and labels to the mean cross-entropy."""


def linen_work(model: nn.Module, case: Case, loss: Loss, *, options: dict[str, bool] | None = None) -> Work:
    """Compiles what is timed; a training step takes over the memory of the state before.

    Args:
        model: From images to logits, with `train` as an option and no other collection than `batch_stats`.
        case: The input.
        loss: What is minimised.
        options: How step and inference are compiled, other than as it comes.
    """
    images, labels = map(jax.device_put, case.data())
    # Initialising runs once; compiled with optimisation it would take ten times as long as everything else here.
    init = jax.jit(model.init, compiler_options={"xla_backend_optimization_level": 0})
    variables = init(jax.random.PRNGKey(0), images[:1])
    optimiser = optax.adam(LEARNING_RATE)

    def objective(params, statistics):
        logits, updated = model.apply(
            {"params": params, "batch_stats": statistics}, images, train=True, mutable=["batch_stats"]
        )
        return loss(logits, labels), updated.get("batch_stats", {})

    def step(params, statistics, state):
        (value, statistics), gradient = jax.value_and_grad(objective, has_aux=True)(params, statistics)
        updates, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, updates), statistics, state, value

    compiled_step = jax.jit(step, donate_argnums=(0, 1, 2), compiler_options=options)
    forward = jax.jit(lambda variables, x: model.apply(variables, x, train=False), compiler_options=options)
    # Copies, because the first step takes away the memory of what it is given.
    training = [*jax.tree.map(jax.numpy.copy, (variables["params"], variables.get("batch_stats", {})))]
    training.append(optimiser.init(training[0]))

    card = jax.default_backend() != "cpu"
    timed = JaxCalls(card=card)

    def train() -> object:
        *training[:], value = compiled_step(*training)
        return training, value

    return Work(
        parameters=sum(leaf.size for leaf in jax.tree.leaves(variables["params"])),
        calls={INFERENCE: timed.call(forward, variables, images), STEP: timed.call(train)},
        wait=timed.wait,
        memory=(lambda: jax.devices()[0].memory_stats()["peak_bytes_in_use"]) if card else peak_bytes,
    )
