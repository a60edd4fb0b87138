"""What the kernels refuse. What they compute is tested in test_native.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tinyunet.layers import paths

pytest.importorskip("tinyunet_native", reason="needs the kernels: pip install ./native")
if paths.instruction_set() is None:
    pytest.skip("the kernels are turned off", allow_module_level=True)

MAP, NO_MAP = (2, 4, 5, 6, 3), (2, 4, 5, 6, 0)
PLAIN = {"before": (1, 1, 1), "stride": (1, 1, 1), "spread": False, "blocks": False}
SPREAD = {"before": (0, 0, 0), "stride": (1, 2, 1), "spread": True, "blocks": True}
# Of each target: shapes of arguments and of results by name, and attributes, all of which fit.
FITTING = {
    "convolve": (
        {"x": MAP, "more": (*MAP[:4], 2), "kernel": (3, 3, 3, 5, 4), "bias": (4,)},
        {"out": (*MAP[:4], 4), "others": NO_MAP, "mean": (4,), "variance": (4,)},
        {**PLAIN, "turned": False, "relu": False},
    ),
    "kernel_gradient": (
        {"x": MAP, "more": (*MAP[:4], 2), "cotangent": (*MAP[:4], 4)},
        {"kernel": (3, 3, 3, 5, 4), "bias": (4,)},
        PLAIN,
    ),
    "normalise": (
        {"y": MAP, "mean": (3,), "scale": (3,), "shift": (3,)},
        {"out": MAP, "pooled": (2, 4, 2, 3, 3)},
        {"window": (1, 2, 2)},
    ),
    "normalise_gradient": (
        {"y": MAP, "mean": (3,), "scale": (3,), "shift": (3,), "r": (3,), "cotangent": MAP, "pooled": (2, 4, 2, 3, 3)},
        {"out": MAP, "dscale": (3,), "dshift": (3,)},
        {"window": (1, 2, 2)},
    ),
}
FIVE, CHANNELS, BECOME = "5 axes", "channels alone", "does not become"
USED, NUMBERS, FEATURE, SHAPE = "cannot be used on", "numbers or none", "for each feature", "shape of the map"
POOL, EMPTY, THREE = "is not pooled to", "must not be empty", "3 numbers"
WRONG = [
    ("convolve", {"x": MAP[1:]}, FIVE),
    ("convolve", {"more": MAP[1:]}, FIVE),
    ("convolve", {"kernel": (3, 3, 5, 4)}, FIVE),
    ("convolve", {"out": MAP[1:]}, FIVE),
    ("convolve", {"others": (0,)}, FIVE),
    ("convolve", {"more": (2, 4, 5, 5, 2)}, CHANNELS),
    ("convolve", {"others": (2, 4, 5, 5, 0)}, CHANNELS),
    ("convolve", {"bias": (3,)}, NUMBERS),
    ("convolve", {"mean": (3,)}, NUMBERS),
    ("convolve", {"variance": (5,)}, NUMBERS),
    ("convolve", {"variance": (0,)}, "come together"),
    ("convolve", {"before": (1, 1)}, THREE),
    ("convolve", {"stride": (1, 1, 1, 1)}, THREE),
    ("convolve", {"more": NO_MAP}, USED),
    ("convolve", {"x": NO_MAP, "more": (*MAP[:4], 5)}, USED),
    ("convolve", {"kernel": (3, 3, 3, 6, 4)}, USED),
    ("convolve", {"turned": True}, USED),
    ("convolve", {"kernel": (3, 3, 3, 5, 3)}, BECOME),
    ("convolve", {"kernel": (5, 3, 3, 5, 4), "before": (2, 1, 1)}, BECOME),
    ("convolve", {"kernel": (3, 3, 0, 5, 4)}, BECOME),
    ("convolve", {"x": (0, *MAP[1:]), "more": (0, *MAP[1:4], 2)}, BECOME),
    ("convolve", {"x": (2, 4, 5, 0, 3), "more": (2, 4, 5, 0, 2)}, BECOME),
    ("convolve", {"out": (1, *MAP[1:4], 4), "others": (1, *NO_MAP[1:])}, BECOME),
    ("convolve", {"out": (2, 4, 6, 5, 4), "others": (2, 4, 6, 5, 0)}, BECOME),
    ("convolve", {"before": (-1, 1, 1)}, BECOME),
    ("convolve", {"before": (3, 1, 1)}, BECOME),
    ("convolve", {"before": (0, 1, 1)}, BECOME),
    ("convolve", {"x": (2, 1, 5, 6, 3), "more": (2, 1, 5, 6, 2), "before": (0, 1, 1)}, BECOME),
    ("convolve", {"stride": (0, 1, 1)}, BECOME),
    ("convolve", {"stride": (-1, 1, 1)}, BECOME),
    ("convolve", {"stride": (2, 1, 1)}, BECOME),
    ("convolve", {"stride": (1, 1, 2)}, BECOME),
    ("convolve", {"stride": (9, 1, 1)}, BECOME),
    ("convolve", {"spread": True}, BECOME),
    ("convolve", {"blocks": True}, BECOME),
    ("convolve", {"kernel": (1, 2, 2, 5, 2), **SPREAD}, BECOME),
    ("kernel_gradient", {"x": MAP[1:]}, FIVE),
    ("kernel_gradient", {"cotangent": MAP[1:]}, FIVE),
    ("kernel_gradient", {"kernel": (3, 3, 5, 4)}, FIVE),
    ("kernel_gradient", {"bias": (3,)}, "as many values as features"),
    ("kernel_gradient", {"more": (2, 4, 5, 5, 2)}, CHANNELS),
    ("kernel_gradient", {"kernel": (3, 3, 3, 4, 4)}, USED),
    ("kernel_gradient", {"kernel": (3, 3, 3, 5, 5)}, BECOME),
    ("kernel_gradient", {"kernel": (3, 5, 3, 5, 4)}, BECOME),
    ("kernel_gradient", {"cotangent": (2, 4, 6, 5, 4)}, BECOME),
    ("kernel_gradient", {"before": (1, -1, 1)}, BECOME),
    ("kernel_gradient", {"before": (1,)}, THREE),
    ("kernel_gradient", {"stride": ()}, THREE),
    ("kernel_gradient", {"kernel": (1, 2, 2, 5, 2), **SPREAD}, BECOME),
    ("normalise", {"y": MAP[1:], "out": MAP[1:]}, FIVE),
    ("normalise", {"mean": (4,)}, FEATURE),
    ("normalise", {"scale": (2,)}, FEATURE),
    ("normalise", {"shift": (0,)}, FEATURE),
    ("normalise", {"y": (2, 0, 5, 6, 3)}, EMPTY),
    ("normalise", {"window": (2, 2)}, "3 numbers"),
    ("normalise", {"window": (1, 2, 3)}, "1 or 2 pixels"),
    ("normalise", {"window": (1, 2, -2)}, "1 or 2 pixels"),
    ("normalise", {"window": (1, 0, 2)}, "1 or 2 pixels"),
    ("normalise", {"window": (2, 2, 2)}, POOL),
    ("normalise", {"pooled": (2, 4, 3, 3, 3)}, POOL),
    ("normalise", {"pooled": (2, 4, 3, 2, 3)}, POOL),
    ("normalise", {"pooled": (1, 4, 2, 3, 3)}, POOL),
    ("normalise", {"pooled": (2, 4, 2, 3, 1)}, POOL),
    ("normalise", {"pooled": (3,)}, "or no elements"),
    ("normalise", {"out": (2, 4, 6, 5, 3)}, SHAPE),
    ("normalise", {"out": (0,)}, SHAPE),
    ("normalise_gradient", {"y": MAP[1:]}, FIVE),
    ("normalise_gradient", {"shift": (4,)}, FEATURE),
    ("normalise_gradient", {"y": (2, 4, 5, 0, 3)}, EMPTY),
    ("normalise_gradient", {"window": (2, 2, 2)}, POOL),
    ("normalise_gradient", {"pooled": (0, 3)}, "or no elements"),
    ("normalise_gradient", {"r": (4,)}, FEATURE),
    ("normalise_gradient", {"dscale": (2,)}, FEATURE),
    ("normalise_gradient", {"dshift": (0,)}, FEATURE),
    ("normalise_gradient", {"cotangent": (2, 4, 6, 5, 3)}, SHAPE),
    ("normalise_gradient", {"out": (2, 5, 4, 6, 3)}, SHAPE),
    ("normalise_gradient", {"out": MAP[1:]}, SHAPE),
]


def call(target, **changes):
    """Calls a function of the library, some shapes or attributes of the fitting ones replaced."""
    inputs, outputs, attributes = ({k: changes.get(k, v) for k, v in part.items()} for part in FITTING[target])
    attributes = {k: np.array(v, np.int64) if isinstance(v, tuple) else v for k, v in attributes.items()}
    shapes = tuple(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in outputs.values())
    function = jax.ffi.ffi_call(f"tinyunet_{target}", shapes)
    arrays = [np.ones(shape, np.float32) for shape in inputs.values()]
    return jax.block_until_ready(function(*arrays, **attributes))


@pytest.mark.parametrize("target", FITTING)
def test_what_fits_is_computed(target):
    assert all(np.isfinite(array).all() for array in call(target))


@pytest.mark.parametrize(("target", "changes", "message"), WRONG, ids=[f"{t} {c}" for t, c, _ in WRONG])
def test_wrong_arguments_are_refused(target, changes, message):
    with pytest.raises(jax.errors.JaxRuntimeError, match=f"tinyunet_native: .*{message}"):
        call(target, **changes)


def test_other_types_are_refused():
    shape = jax.ShapeDtypeStruct((1, 1, 1, 1, 1), jnp.float16)
    function = jax.ffi.ffi_call("tinyunet_normalise", (shape, shape))
    with pytest.raises(jax.errors.JaxRuntimeError, match="dtype"):
        function(*[np.ones(shape.shape, np.float16)] * 4, window=np.ones(3, np.int64))
