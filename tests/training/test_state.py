import jax
import jax.numpy as jnp
import numpy as np
import optax

from tinyunet.models.segmenter import Segmenter
from tinyunet.models.unet import UNet
from tinyunet.training.state import initial_state, initial_variables

MODEL = Segmenter(classes=2, unet=UNet(features=2, depth=1))


def leaves_equal(one, other):
    return jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), one, other))


def test_the_state_before_the_first_step():
    variables = {"params": {"w": jnp.array([1.0, 2.0])}, "batch_stats": {"mean": jnp.zeros(1)}}
    state = initial_state(variables, optax.scale_by_adam())
    assert state.step == 0
    assert leaves_equal(state.variables, variables)
    assert leaves_equal(state.average, variables)
    assert leaves_equal(state.optimiser.mu, {"w": jnp.zeros(2)})


def test_its_parts_are_copies_because_the_step_takes_over_their_buffers():
    variables = {"params": {"w": jnp.array([1.0])}}
    state = initial_state(variables, optax.identity())
    jax.jit(lambda v: jax.tree.map(lambda x: x + 1, v), donate_argnums=0)(state.variables)
    assert state.average["params"]["w"] == variables["params"]["w"] == 1


def test_initial_variables_are_those_of_the_module_but_for_rounding():
    ours = initial_variables(MODEL, 7, channels=3, shape=(4,) * 2)
    plain = jax.jit(MODEL.init)(jax.random.PRNGKey(7), jnp.zeros((1, 4, 4, 3)))
    assert jax.tree.structure(ours) == jax.tree.structure(plain)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=6e-8), ours, plain)


def test_they_depend_on_the_seed_and_not_on_the_size():
    first = initial_variables(MODEL, 0, channels=1, shape=(4,) * 2)
    assert leaves_equal(first, initial_variables(MODEL, 0, channels=1, shape=(8,) * 2))
    assert not leaves_equal(first, initial_variables(MODEL, 1, channels=1, shape=(4,) * 2))


def test_the_processor_computes_them_and_where_jax_does_without_it_whatever_there_is(monkeypatch):
    first = initial_variables(MODEL, 0, channels=1, shape=(4,) * 2)
    asked = []

    def none(backend):
        asked.append(backend)
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "local_devices", none)
    assert leaves_equal(first, initial_variables(MODEL, 0, channels=1, shape=(4,) * 2))
    assert asked == ["cpu"]


def test_volumes_have_kernels_of_three_axes():
    variables = initial_variables(MODEL, 0, channels=1, shape=(4,) * 3)
    assert variables["params"]["unet"]["ConvBlock_0"]["Conv_0"]["kernel"].shape == (3, 3, 3, 1, 2)
