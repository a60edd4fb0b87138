# What several devices compute is tested in tests/test_devices.py, in a process that has some.
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tinyunet.errors import ConfigError
from tinyunet.training.placement import Placement, placement
from tinyunet.training.state import TrainState


def test_one_device_has_nothing_to_share():
    one = placement()
    assert one.alone
    assert one.rows(5) == range(5)
    one.check(3)
    tree = {"a": np.arange(3)}
    assert one.everywhere(tree) is tree
    assert one.here(tree) is tree
    np.testing.assert_array_equal(one.divided(np.arange(6).reshape(3, 2)), np.arange(6).reshape(3, 2))


def test_a_step_takes_over_the_memory_of_its_state():
    step = Placement(jax.devices()[:1]).compile(
        lambda state, batch, root, rate: (state._replace(variables=state.variables + batch), rate)
    )
    state = TrainState(jnp.zeros((), jnp.int32), variables=jnp.ones(3), average=jnp.zeros(3), optimiser=())
    after, rate = step(state, jnp.arange(3.0), jax.random.PRNGKey(0), jnp.float32(0.5))
    assert (after.variables.tolist(), float(rate)) == ([1.0, 2.0, 3.0], 0.5)
    assert state.variables.is_deleted()


@pytest.mark.parametrize("devices", [0, -1, 2])
def test_devices_that_are_not_there_are_refused(devices):
    with pytest.raises(ConfigError, match=rf"^`devices` must be from 1 to the 1 that JAX finds here, got {devices}\.$"):
        placement(devices)
