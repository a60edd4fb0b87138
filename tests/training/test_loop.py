import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tinyunet.errors import TrainingError
from tinyunet.training.loop import finite_loss, run_steps
from tinyunet.training.state import TrainState

KEY = jax.random.PRNGKey(0)


def a_state(step=0):
    return TrainState(jnp.int32(step), {"w": jnp.float32(0)}, {}, {})


def a_batch(value):
    """A batch that consists of one number, which `step` adds up."""
    one = np.full((1, 1, 1), value, np.float32)
    return {
        "images": one[..., None],
        "labels": np.zeros((1, 1, 1), np.int32),
        "epoch": np.zeros(1),
        "number": np.zeros(1),
    }


def step(state, batch, key, rate):
    """Adds the batch to the state; the loss is the batch's number."""
    value = jnp.asarray(batch.images).ravel()[0]
    return state._replace(step=state.step + 1, variables={"w": state.variables["w"] + rate * value}), value


def run(values, *, first=0, rate=lambda done: 1.0):
    return run_steps(step, a_state(first), (a_batch(v) for v in values), first=first, key=KEY, rate=rate)


def test_three_steps_by_hand():
    done = list(run([5.0, 7.0, 9.0], first=4, rate=lambda done: 10.0**done))
    assert [d.step for d in done] == [5, 6, 7]
    assert [int(d.state.step) for d in done] == [5, 6, 7]
    assert [float(d.state.variables["w"]) for d in done] == [5e4, 75e4, 975e4]


def test_the_loss_is_that_of_the_step_before():
    losses = [d.loss for d in run([5.0, 7.0, 9.0])]
    assert math.isnan(losses[0])
    assert losses[1:] == [5.0, 7.0]


def test_the_root_key_is_handed_on_unchanged():
    seen = []

    def remember(state, batch, key, rate):
        seen.append(key)
        return step(state, batch, key, rate)

    list(run_steps(remember, a_state(), [a_batch(1.0)] * 2, first=0, key=KEY, rate=lambda done: 1.0))
    assert all(jnp.array_equal(key, KEY) for key in seen)
    assert len(seen) == 2


def test_waiting_is_the_time_until_the_batch_comes():
    def slow():
        yield a_batch(1.0)
        time.sleep(0.05)
        yield a_batch(2.0)

    first, second = run_steps(step, a_state(), slow(), first=0, key=KEY, rate=lambda done: 1.0)
    assert second.waited >= 0.05
    assert 0 <= first.waited < second.waited


def test_the_caller_may_stop_at_any_step():
    steps = run([1.0, 2.0, 3.0])
    assert next(steps).step == 1
    steps.close()


def test_without_batches_there_are_no_steps():
    assert list(run([])) == []


def test_a_finite_loss_is_a_number_of_the_host():
    assert finite_loss(jnp.float32(0.25), 1) == 0.25
    assert isinstance(finite_loss(jnp.float32(0.25), 1), float)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_ends_the_training(value):
    message = (
        rf"^The training diverged: the loss of step 2 is {value}\. The images are finite \(they were checked\), so the "
        r"steps were too large: try --set optimiser\.learning_rate with a third of its value\.$"
    )
    steps = run([1.0, value, 2.0])
    assert [next(steps).step, next(steps).step] == [1, 2]
    with pytest.raises(TrainingError, match=message):
        next(steps)


def test_the_loss_of_the_last_step_is_looked_at_too():
    with pytest.raises(TrainingError, match="the loss of step 2 is nan"):
        list(run([1.0, math.nan]))
