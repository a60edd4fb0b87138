"""The loop: one batch after the other, with the time that was spent waiting for them."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from tinyunet.arrays import PRNGKey
from tinyunet.errors import TrainingError
from tinyunet.training.state import TrainState
from tinyunet.training.step import Batch, Step


class Done(NamedTuple):
    """What is known after a step has been handed to the device.

    Attributes:
        step: Its number, from 1.
        state: The state after it; the next step takes its memory away.
        loss: The loss of the step *before*, in hand without waiting for this one; `nan` at the first.
        waited: Seconds spent waiting for this step's batch.
        pending: The loss of this step, still being computed: reading it waits. None before the first step.
    """

    step: int
    state: TrainState
    loss: float
    waited: float
    pending: Float[Array, ""] | None = None


def run_steps(
    step: Step,
    state: TrainState,
    batches: Iterable[dict[str, Any]],
    *,
    first: int,
    key: PRNGKey,
    rate: Callable[[int], float],
) -> Iterator[Done]:
    """Runs a step on every batch and yields after each.

    The device works one step ahead of the host: the loss that is read is that of the step before, so that preparing
    a batch and computing on the last one overlap.

    Args:
        step: Compiled; it may take over the memory of the state it is given.
        state: The state after `first` steps.
        batches: What `tinyunet.data.batches.batches` gives.
        first: Steps done before.
        key: Root of all that is random in a step.
        rate: From the steps done before to the learning rate.

    Raises:
        TrainingError: The loss is no longer a number.
    """
    pending: Float[Array, ""] | None = None
    iterator = iter(batches)
    number = first
    while True:
        began = time.perf_counter()
        batch = next(iterator, None)
        if batch is None:
            break
        waited = time.perf_counter() - began
        state, loss = step(state, Batch(**batch), key, jnp.float32(rate(number)))
        number += 1
        before = math.nan if pending is None else finite_loss(pending, number - 1)
        yield Done(number, state, before, waited, loss)
        pending = loss
    if pending is not None:
        finite_loss(pending, number)


def finite_loss(loss: Float[Array, ""], step: int) -> float:
    """The loss as a number of the host.

    Raises:
        TrainingError: It is not finite: the training has diverged.
    """
    value = float(loss)
    if not math.isfinite(value):
        raise TrainingError(
            f"The training diverged: the loss of step {step} is {value}. The images are finite (they were checked), so "
            "the steps were too large: try --set optimiser.learning_rate with a third of its value."
        )
    return value
