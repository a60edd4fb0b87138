import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from tinyunet.layers import paths

pytest.importorskip("tinyunet_native", reason="needs the kernels: pip install ./native")
if paths.instruction_set() is None:
    pytest.skip("the kernels are turned off", allow_module_level=True)


def test_what_the_kernels_cover():
    image, kernel = jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 2, 2))
    assert paths.covers(image, kernel, "same")
    assert paths.covers(image, kernel[:1], "valid")
    assert not paths.covers(image, kernel[:2], "same")
    assert paths.covers(image, kernel[:2, :1], None)
    assert not paths.covers(image, kernel, None)
    assert not paths.covers(image[:, :2], kernel, "valid")
    assert not paths.covers(image[:0], kernel, "same")
    assert not paths.covers(image.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16), "same")


def test_turned_off_by_the_environment(monkeypatch):
    monkeypatch.setenv("TINYUNET_NATIVE", "off")
    paths.instruction_set.cache_clear()
    try:
        assert paths.instruction_set() is None
        assert not paths.covers(jnp.zeros((1, 4, 4, 2)), jnp.zeros((3, 3, 2, 2)), "same")
    finally:
        monkeypatch.undo()
        paths.instruction_set.cache_clear()
    assert paths.instruction_set() is not None


def test_of_a_batch_that_is_not_divided_a_part_is_all_of_it():
    part = jnp.array([1.0, 2.0])
    assert paths.total(part) is part
    assert paths.mean(part) is part
    with paths.divided_over(Mesh(np.array(jax.devices()[:1]), ("batch",))):
        assert paths.are_divided()
    assert not paths.are_divided()


def test_on_this_processor_alone_only_the_kernels_are_traced():
    def chosen(x):
        return paths.choose(lambda x: x + 1, lambda x: x - 1, x, takes="m", gives="m")

    assert "platform_index" in str(jax.make_jaxpr(chosen)(jnp.zeros(2)))
    with paths.for_this_processor():
        assert "platform_index" not in str(jax.make_jaxpr(lambda x: chosen(x))(jnp.zeros(2)))
    assert jax.jit(chosen)(jnp.zeros(2)).tolist() == [1, 1]
