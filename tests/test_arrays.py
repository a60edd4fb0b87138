import jax
import jax.numpy as jnp
import pytest

from tinyunet import arrays


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("Batch", jnp.zeros((1, 4, 4, 3)), jnp.zeros((1, 4, 4, 3), jnp.int32)),
        ("Features", jnp.zeros((1, 4, 4, 4, 8)), jnp.zeros(3)),
        ("Logits", jnp.zeros((1, 4, 2)), jnp.zeros((1, 4, 2), bool)),
        ("Labels", jnp.zeros((1, 4, 4), jnp.int32), jnp.zeros((1, 4, 4))),
        ("Valid", jnp.ones((1, 4, 4, 1), bool), jnp.ones((1, 4, 4, 2), bool)),
        ("PRNGKey", jax.random.key(0), jnp.zeros(2)),
        ("PRNGKey", jax.random.PRNGKey(0), jax.random.split(jax.random.key(0))),
    ],
)
def test_a_name_means_its_shape_and_type(name, good, bad):
    assert isinstance(good, getattr(arrays, name))
    assert not isinstance(bad, getattr(arrays, name))


def test_all_names_are_there():
    assert all(hasattr(arrays, name) for name in arrays.__all__)
