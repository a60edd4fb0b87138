import dataclasses

import jax
import numpy as np
import pytest
from reference.variables import random_variables

from tinyunet.errors import ConfigError
from tinyunet.layers.paths import instruction_set
from tinyunet.models.presets import ModelConfig
from tinyunet.runs import engine
from tinyunet.runs.build import build_model, build_probabilities
from tinyunet.runs.engine import Engine

kernels = pytest.mark.skipif(instruction_set() is None, reason="tinyunet-native is not installed")

SMALL = ModelConfig(features=2, depth=1)


@pytest.fixture(scope="module")
def model():
    return build_model(SMALL, classes=2)


@pytest.fixture(scope="module")
def members(model):
    image = jax.ShapeDtypeStruct((1, 8, 8, 1), np.float32)
    return [random_variables(model, image, seed=seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def tiles():
    return np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype(np.float32), np.ones((2, 8, 8, 1), bool)


def test_the_result_is_the_mean_of_all_networks(model, members, tiles):
    compiled = build_probabilities(model, kernels=False)
    single = [compiled(variables, *tiles) for variables in members]
    found = Engine(SMALL, 2, members, "jax")
    np.testing.assert_allclose(found(*tiles), sum(single) / 2, atol=1e-6)
    assert found.record == {"runtime": "jax", "kernels": None, "difference": None}
    assert found.words == "by XLA"


def test_nothing_is_said_before_anything_is_chosen(members):
    found = Engine(SMALL, 2, members)
    assert found.words == ""
    assert found.record["runtime"] is None


@kernels
def test_kernels_that_agree_are_taken(members, tiles):
    found, stock = Engine(SMALL, 2, members), Engine(SMALL, 2, members, "jax")
    np.testing.assert_allclose(found(*tiles), stock(*tiles), atol=1e-5)
    assert found.record == {"runtime": "native", "kernels": instruction_set(), "difference": found.difference}
    assert 0 <= found.difference <= 1e-5
    assert found.words == f"by kernels for {instruction_set()}, within {found.difference:.0e} of XLA"


@kernels
@pytest.mark.parametrize("wrong", [0.1, float("nan")])
def test_kernels_that_do_not_agree_are_not_taken(model, members, tiles, monkeypatch, wrong):
    def build(model, *, kernels):
        stock = build_probabilities(model, kernels=False)
        return (lambda *arguments: stock(*arguments) + wrong) if kernels else stock

    monkeypatch.setattr(engine, "build_probabilities", build)
    found = Engine(SMALL, 2, members[:1])
    np.testing.assert_array_equal(found(*tiles), build_probabilities(model, kernels=False)(members[0], *tiles))
    assert found.record["runtime"] == "jax"
    text = f"by XLA, since kernels for {instruction_set()} differ from it by {wrong:.1g} on the first tile"
    assert found.words == text


@kernels
def test_kernels_that_are_asked_for_are_not_compared(members, tiles):
    found = Engine(SMALL, 2, members, "native")
    found(*tiles)
    assert found.record == {"runtime": "native", "kernels": instruction_set(), "difference": None}
    assert found.words == f"by kernels for {instruction_set()}"


def test_onnx_runtime_is_taken_where_there_are_no_kernels(members, tiles, monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(engine, "instruction_set", lambda: None)
    found = Engine(SMALL, 2, members)
    np.testing.assert_allclose(found(*tiles), Engine(SMALL, 2, members, "jax")(*tiles), atol=1e-5)
    assert found.record == {"runtime": "onnx", "kernels": None, "difference": found.difference}
    assert found.words == f"by ONNX Runtime's operators, within {found.difference:.0e} of XLA"
    told = Engine(dataclasses.replace(SMALL, upsample="bilinear"), 2, members)
    assert told._able == ["jax"]
    with pytest.raises(
        ConfigError, match=r"^The runtime `onnx` needs the packages onnx and onnxruntime, a CPU, and a n"
    ):
        Engine(dataclasses.replace(SMALL, upsample="bilinear"), 2, members, "onnx")


@kernels
def test_which_kernels_are_traced_is_as_said(model, members, tiles):
    def text(kernels):
        return str(jax.make_jaxpr(build_probabilities(model, kernels=kernels))(members[0], *tiles))

    assert "tinyunet_convolve" in text(True)
    assert "tinyunet_convolve" not in text(False)


def test_what_is_not_there_is_refused(members, monkeypatch):
    text = (
        r"^The runtime `native` needs the package tinyunet-native, a CPU and a network in float32; install it \(`pip "
    )
    with pytest.raises(ConfigError, match=text):
        Engine(dataclasses.replace(SMALL, dtype="bfloat16"), 2, members, "native")
    monkeypatch.setattr(engine, "instruction_set", lambda: None)
    with pytest.raises(ConfigError, match=text):
        Engine(SMALL, 2, members, "native")
    with pytest.raises(
        ConfigError, match=r"^There is no runtime 'nativ'\. Did you mean 'native'\? Known: auto, jax, native, onnx"
    ):
        Engine(SMALL, 2, members, "nativ")


def test_what_another_process_has_chosen_is_taken_without_a_comparison(members, tiles):
    found, stock = Engine(SMALL, 2, members), Engine(SMALL, 2, members, "jax")
    found.take("jax", dimensions=2)
    np.testing.assert_array_equal(found(*tiles), stock(*tiles))
    assert found.record == {"runtime": "jax", "kernels": None, "difference": None}
    compute = found._compute
    found.take("jax", dimensions=2)
    assert found._compute is compute
