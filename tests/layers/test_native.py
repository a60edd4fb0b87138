import functools
import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.compiled import quick_jit
from reference.variables import random_variables

from tinyunet.layers import kernels, native, paths
from tinyunet.layers.block import _convolve_normalise_relu, _convolve_relu
from tinyunet.layers.conv import convolve_by_xla
from tinyunet.layers.norm import EPSILON
from tinyunet.layers.upsample import _conv_transpose_by_xla
from tinyunet.models.unet import UNet

pytest.importorskip("tinyunet_native", reason="needs the kernels: pip install ./native")
if paths.instruction_set() is None:
    pytest.skip("the kernels are turned off", allow_module_level=True)

SOURCE = Path(native.__file__).parents[2]
INSTRUCTION_SETS = ["baseline", "avx2", "avx512"]
"""From the narrowest to the widest."""

# Space, channels of x and of the second source, window, features. Features fill a vector, or a part of one that
# divides it, or neither; widths are whole groups of pixels, or not. From 512 channels times features on, even sizes are
# convolved by Winograd's minimal filtering, and so is the gradient of the kernel computed, where features are whole
# vectors of four; its work is cut into groups of channels, parts of the rows and segments of a row. The last three are
# cut into several pieces.
CONVOLUTIONS = [
    ((5,), (2, 0), (3,), 1),
    ((16,), (3, 1), (3,), 2),
    ((7,), (1, 0), (1,), 5),
    ((8, 16), (1, 0), (3, 3), 8),
    ((5, 7), (3, 2), (3, 3), 8),
    ((4, 16), (2, 2), (3, 3), 4),
    ((4, 16), (9, 0), (3, 3), 1),
    ((6, 3), (8, 8), (3, 3), 3),
    ((3, 12), (4, 0), (1, 3), 12),
    ((12, 3), (5, 0), (3, 1), 16),
    ((5, 25), (2, 3), (3, 3), 16),
    ((4, 13), (17, 16), (3, 3), 17),
    ((3, 26), (6, 0), (3, 3), 32),
    ((3, 5), (40, 0), (1, 1), 32),
    ((4, 4), (3, 9), (3, 3), 40),
    ((3, 4, 8), (2, 0), (3, 3, 3), 2),
    ((3, 3, 5), (3, 2), (3, 3, 3), 5),
    ((4, 3, 16), (1, 1), (1, 3, 3), 8),
    ((3, 4, 3), (16, 0), (3, 1, 1), 12),
    ((3, 3, 3), (8, 0), (3, 3, 3), 16),
    ((2, 3, 4), (5, 0), (1, 1, 1), 17),
    ((4, 8), (32, 0), (3, 3), 16),
    ((6, 10), (12, 20), (3, 3), 17),
    ((4, 4), (8, 0), (3, 3), 64),
    ((4, 4, 6), (16, 16), (3, 3, 3), 24),
    ((8, 8), (12, 44), (3, 3), 64),
    ((32, 32), (8, 24), (3, 3), 20),
    ((4, 46), (256, 0), (3, 3), 256),
    ((64, 64), (16, 0), (3, 3), 16),
    ((6, 24, 24), (8, 8), (3, 3, 3), 8),
    ((24, 104), (16, 16), (3, 3), 32),
]
POOLED = [
    ((6,), (2, 0), (3,), 3, (2,)),
    ((8, 16), (2, 0), (3, 3), 8, (2, 2)),
    ((7, 9), (2, 1), (3, 3), 5, (2, 2)),
    ((3, 6), (1, 0), (3, 3), 16, (1, 2)),
    ((5, 3), (2, 0), (1, 1), 17, (2, 1)),
    ((4, 5), (3, 2), (3, 3), 32, None),
    ((3, 4, 6), (2, 0), (3, 3, 3), 2, (2, 2, 2)),
    ((3, 5, 4), (2, 2), (1, 3, 3), 12, (1, 2, 2)),
    ((5, 3, 3), (2, 0), (3, 3, 3), 4, (2, 1, 1)),
    ((3, 3, 3), (1, 0), (1, 1, 1), 1, (1, 1, 1)),
    ((64, 64), (4, 4), (3, 3), 16, (2, 2)),
]
BLOCKS = [
    ((5,), (2,), 3, 2),
    ((3, 4), (2, 2), 16, 8),
    ((4, 3), (1, 2), 5, 3),
    ((3, 5), (2, 1), 4, 17),
    ((2, 3, 4), (2, 2, 2), 8, 4),
    ((2, 3, 3), (1, 2, 2), 3, 5),
    ((2, 2, 3), (2, 1, 1), 2, 16),
    ((2, 1, 3), (1, 1, 1), 4, 1),
    ((32, 32), (2, 2), 32, 16),
]
BOTH_PADDINGS = pytest.mark.parametrize("padding", ["same", "valid"])


def named(*case):
    return "-".join("x".join(map(str, part)) if isinstance(part, tuple) else str(part) for part in case)


def every(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: named(*case))


def seeded(*case):
    return np.random.default_rng(int.from_bytes(hashlib.sha256(repr(case).encode()).digest()[:4], "big"))


def normal(rng, *shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def convolution(space, channels, window, features):
    """x, the second source or None, kernel and bias."""
    rng = seeded(space, channels, window, features)
    x, more = (normal(rng, 2, *space, c) if c else None for c in channels)
    return x, more, normal(rng, *window, sum(channels), features), normal(rng, features)


def normalisation(space, channels, window, features, _=None):
    """The same, then scale and shift."""
    rng = seeded(space, features)
    scale = jnp.asarray(rng.uniform(0.5, 1.5, features), jnp.float32)
    return *convolution(space, channels, window, features), scale, normal(rng, features)


def results(function, arguments):
    """Values, and the gradients of all arguments for a cotangent that differs in every place."""

    values, pull = jax.vjp(function, *arguments)
    return values, pull(jax.tree.map(lambda y: jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape), values))


def compiled(function, arguments):
    return quick_jit(functools.partial(results, function))(arguments)


def exact(function, arguments):
    """The same by XLA in float64."""
    with jax.enable_x64(True):
        return compiled(function, jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), arguments))


def assert_close(found, expected, tolerance=2e-5):
    """Relative to the largest number of each result, at least 1: sums that should be zero are only rounding."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, np.abs(b).max()))


def by_kernels(padding, pool=None):
    """The three convolutions, each with the same in XLA: plain, with ReLU, normalised and pooled."""
    plain, relu, normalised = (
        functools.partial(convolve_by_xla, padding=padding),
        functools.partial(_convolve_relu, padding=padding),
        functools.partial(_convolve_normalise_relu, padding=padding, pool=pool),
    )
    return (
        (lambda *a: native.convolve(*a, padding, plain), plain),
        (lambda *a: native.convolve_relu(*a, padding, relu), relu),
        # Without mean and variance, through which no gradient flows.
        (
            lambda *a: native.convolve_normalise(*a, padding, EPSILON, pool, normalised)[:2],
            lambda *a: normalised(*a)[:2],
        ),
    )


def spread(x, kernel, bias):
    return native.conv_transpose(x, kernel, bias, _conv_transpose_by_xla)


# By hand


def test_three_pixels_convolved_normalised_and_pooled():
    x, kernel = jnp.array([1.0, 2.0, 4.0]).reshape(1, 3, 1), jnp.array([1.0, 10.0, 100.0]).reshape(3, 1, 1)
    (convolve, _), (relu, _), (normalise, _) = by_kernels("same", (2,))
    np.testing.assert_array_equal(convolve(x, None, kernel, jnp.array([0.5]))[0, :, 0], [210.5, 421.5, 42.5])
    np.testing.assert_array_equal(relu(x, None, kernel, jnp.array([-300.0]))[0, :, 0], [0, 121, 0])
    one = jnp.ones(1)
    z, pooled = normalise(x, None, kernel, one, one, 0 * one)
    y = np.array([210, 421, 42])
    expected = (y - y.mean()) / y.std()
    np.testing.assert_allclose(z[0, :, 0], np.maximum(0, expected), rtol=1e-5)
    np.testing.assert_allclose(pooled[0, :, 0], [expected.max()], rtol=1e-5)


def test_a_pixel_becomes_a_block_turned_over():
    kernel = jnp.array([2.0, 3.0]).reshape(2, 1, 1)
    y = spread(jnp.array([1.0, 10.0]).reshape(1, 2, 1), kernel, jnp.array([0.5]))
    np.testing.assert_array_equal(y[0, :, 0], [3.5, 2.5, 30.5, 20.5])


# Against XLA in float64


@BOTH_PADDINGS
@every(CONVOLUTIONS)
def test_a_convolution_and_its_gradients_are_those_of_xla_in_float64(case, padding):
    arguments = convolution(*case)
    (ours, stock), *_ = by_kernels(padding)
    assert_close(compiled(ours, arguments), exact(stock, arguments))


@every(CONVOLUTIONS[::5])
def test_a_convolution_and_relu_are_those_of_xla_in_float64(case):
    arguments = convolution(*case)
    _, (ours, stock), _ = by_kernels("same")
    assert_close(compiled(ours, arguments), exact(stock, arguments))


@every(POOLED)
def test_a_normalised_convolution_and_its_gradients_are_those_of_xla_in_float64(case):
    padding = "valid" if case[0][-1] % 2 else "same"
    arguments = normalisation(*case)
    *_, (ours, stock) = by_kernels(padding, case[-1])
    assert_close(compiled(ours, arguments), exact(stock, arguments), 1e-4)


@every(POOLED[1:9:3])
def test_mean_and_variance_are_those_of_xla_in_float64(case):
    arguments, pool = normalisation(*case), case[-1]
    stock = functools.partial(_convolve_normalise_relu, padding="same", pool=pool)
    found = quick_jit(lambda *a: native.convolve_normalise(*a, "same", EPSILON, pool, stock)[2:])(*arguments)
    with jax.enable_x64(True):
        expected = quick_jit(lambda *a: stock(*a)[2:])(*(a if a is None else a.astype(jnp.float64) for a in arguments))
    assert_close(found, expected)


@pytest.mark.parametrize("pool", [(2, 2), (1, 2), (2, 1)])
def test_ties_of_a_pool_share_its_gradient_as_those_of_max_pool_do(pool):
    """Whole numbers, few of them: every value and every tie is exact."""
    rng = seeded(pool)
    x, kernel = (jnp.asarray(rng.integers(0, 3, shape), jnp.float32) for shape in ((2, 5, 7, 1), (1, 1, 1, 4)))
    arguments = (x, None, kernel + 1, jnp.zeros(4), jnp.ones(4), jnp.ones(4))
    *_, (ours, stock) = by_kernels("same", pool)
    assert_close(compiled(ours, arguments), compiled(stock, arguments), 1e-4)


@every(BLOCKS)
def test_a_transposed_convolution_and_its_gradients_are_those_of_xla_in_float64(case):
    space, window, channels, features = case
    rng = seeded(*case)
    arguments = normal(rng, 2, *space, channels), normal(rng, *window, channels, features), normal(rng, features)
    assert_close(compiled(spread, arguments), exact(_conv_transpose_by_xla, arguments))


# Jit, vmap, threads, instruction sets


def test_jit_changes_nothing():
    for (ours, _), arguments in zip(
        by_kernels("same", (2, 2)),
        (convolution(*CONVOLUTIONS[4]), convolution(*CONVOLUTIONS[4]), normalisation(*POOLED[2])),
        strict=True,
    ):
        assert_close(results(ours, arguments), jax.jit(functools.partial(results, ours))(arguments), 2e-6)


def test_vmap_is_a_loop():
    x, more, kernel, bias = convolution(*CONVOLUTIONS[4])
    xs, mores = jnp.stack([x, 2 * x]), jnp.stack([more, -more])
    (ours, _), *_ = by_kernels("same")

    def both(x, more):
        return results(ours, (x, more, kernel, bias))

    mapped = quick_jit(jax.vmap(both))(xs, mores)
    looped = jax.tree.map(lambda *leaves: jnp.stack(leaves), *itertools.starmap(both, zip(xs, mores, strict=True)))
    assert_close(mapped, looped, 2e-6)


def everything():
    """Some of each operation, cut into several pieces; what only the kernels compute."""
    (convolve, _), (relu, _), (normalise, _) = by_kernels("same", (2, 2))
    rng = seeded("everything")
    blocks = normal(rng, 2, 33, 40, 24), normal(rng, 2, 2, 24, 9), normal(rng, 9)
    calls = [
        (convolve, convolution((64, 48), (5, 4), (3, 3), 8)),
        (convolve, convolution((3, 40, 35), (16, 0), (3, 3, 3), 20)),
        (normalise, normalisation((65, 48), (5, 4), (3, 3), 16)),
        (spread, blocks),
    ]
    found = [jax.tree.leaves(jax.jit(functools.partial(results, function))(a)) for function, a in calls]
    return [*itertools.chain(*found), jax.jit(relu)(*convolution((64, 48), (5, 0), (3, 3), 12))]


def in_a_process(folder, cores, **environment):
    """What the kernels run on in a new process of so many cores, and `everything` there."""
    code = f"""if True:
        import os, sys
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cores}])
        sys.path[:0] = {[str(SOURCE), str(Path(__file__).parents[1])]!r}
        import importlib.util
        import numpy as np
        spec = importlib.util.spec_from_file_location("everything", {__file__!r})
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        np.savez({str(folder / "found.npz")!r}, *map(np.asarray, module.everything()))
        print(module.paths.instruction_set())
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TINYUNET_NATIVE")}
    run = subprocess.run(
        [sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    with np.load(folder / "found.npz") as file:
        return run.stdout.split()[-1], [file[name] for name in file.files]


NEW_PROCESSES = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cannot choose a process's cores here")


@pytest.fixture(scope="module")
def on_two_cores(tmp_path_factory):
    return in_a_process(tmp_path_factory.mktemp("two"), 2)


@NEW_PROCESSES
def test_the_bits_are_the_same_for_any_number_of_threads_and_when_repeated(on_two_cores, tmp_path):
    _, on_one_core = in_a_process(tmp_path, 1)
    for a, b in zip(on_two_cores[1], on_one_core, strict=True):
        assert a.tobytes() == b.tobytes()
    for a, b in zip(everything(), everything(), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@NEW_PROCESSES
@pytest.mark.parametrize("name", INSTRUCTION_SETS[:2])
def test_narrower_instruction_sets_agree(name, on_two_cores, tmp_path):
    widest, expected = on_two_cores
    chosen, found = in_a_process(tmp_path, 2, TINYUNET_NATIVE_ISA=name)
    assert chosen == min(name, widest, key=INSTRUCTION_SETS.index)
    assert_close(found, expected, 1e-4)


# The network

NETWORKS = [
    {},
    {"convs_per_block": 2},
    {"residual": True},
    {"convs_per_block": 2, "residual": True},
    {"padding": "valid"},
    {"upsample": "bilinear"},
    {"upsample": "pixel_shuffle"},
    {"norm": "group"},
    {"norm": "none"},
    {"skip": "add"},
    {"skip": "none"},
    {"dropout": 0.5},
    {"hold": (1, 0)},
]


def every_way(model, variables, x, valid=None):
    """Of a network: what it gives when trained, and while training that, the running averages and all gradients."""
    rngs = {"dropout": jax.random.PRNGKey(1)}

    def loss(params, x):
        y, changed = model.apply(
            {**variables, "params": params}, x, train=True, valid=valid, rngs=rngs, mutable=["batch_stats"]
        )
        return (y * jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)).sum(), (y, changed)

    still = model.apply(variables, x, valid=valid)
    return still, jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(variables["params"], x)


def with_and_without(monkeypatch, model, space, valid=None):
    x = normal(seeded(space), 2, *space, 2)
    variables = random_variables(model, x)

    call_convolve = kernels._call_convolve

    def both():
        calls = []
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "_call_convolve", lambda *a, **k: calls.append(1) or call_convolve(*a, **k))
            found = every_way(model, variables, x, valid)
            patch.setattr(paths, "covers", lambda *_: False)
            before = len(calls)
            expected = every_way(model, variables, x, valid)
        assert before == len(calls) > 0  # with the kernels, then without
        return found, expected

    return quick_jit(both)()


def assert_same_network(found, expected):
    """Sums of many products: relative to the largest, since a rounding may tip a ReLU or a maximum."""
    largest = max(float(abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-4 * largest), found, expected)


@pytest.mark.parametrize("options", NETWORKS, ids=lambda options: named(*options.items()) or "default")
def test_a_network_is_the_same_with_the_kernels(options, monkeypatch):
    model = UNet(features=3, depth=1, **options)
    assert_same_network(*with_and_without(monkeypatch, model, (20, 12)))


def test_a_network_of_volumes_is_the_same_with_the_kernels(monkeypatch):
    assert_same_network(*with_and_without(monkeypatch, UNet(features=2, depth=2, hold=(1, 0, 0)), (4, 8, 4)))


def test_a_tile_beyond_the_image_is_the_same_with_the_kernels(monkeypatch):
    valid = jnp.zeros((2, 8, 8, 1), bool).at[:, :6, 2:].set(True)
    assert_same_network(*with_and_without(monkeypatch, UNet(features=3, depth=1), (8, 8), valid))


# What is not a number


@pytest.mark.parametrize("features", [3, 8, 16])
def test_a_convolution_and_its_relu_keep_what_is_not_a_number(features):
    x, _, kernel, bias = convolution((6, 8), (2, 0), (3, 3), features)
    x = x.at[0, 2, 3, 1].set(jnp.nan)
    for ours, _ in by_kernels("same")[:2]:
        y = np.array(quick_jit(ours)(x, None, kernel, bias))
        assert np.isnan(y[0, 1:4, 2:5]).all()
        y[0, 1:4] = 0  # pixels of these rows that share a vector with those share what is not a number
        assert np.isfinite(y).all()


@pytest.mark.parametrize("features", [1, 2, 4, 8, 16])
def test_a_normalisation_and_its_pool_keep_what_is_not_a_number(features):
    vector = jnp.ones(features)
    for y, x in itertools.product(range(2), repeat=2):
        maps = normal(seeded(features), 1, 4, 4, features).at[0, 2 + y, x].set(jnp.nan)
        z, pooled = kernels.normalise(maps, 0 * vector, vector, vector, (2, 2))
        assert np.isnan(z[0, 2 + y, x]).all()
        assert np.isnan(pooled[0, 1, 0]).all()
        assert np.isnan(z).sum() == np.isnan(pooled).sum() == features
    x, _, kernel, bias = convolution((4, 4), (1, 0), (3, 3), features)
    *_, (ours, _) = by_kernels("same", (2, 2))
    found = quick_jit(ours)(x.at[0, 0, 0].set(jnp.nan), None, kernel, bias, vector, vector)
    assert all(np.isnan(leaf).all() for leaf in found)
