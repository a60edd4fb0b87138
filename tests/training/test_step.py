import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from tinyunet.data.augment.compose import AugmentConfig, augment
from tinyunet.models.segmenter import Segmenter
from tinyunet.models.unet import UNet
from tinyunet.training.losses import LossConfig, loss
from tinyunet.training.optimiser import OptimiserConfig, optimiser
from tinyunet.training.state import initial_state, initial_variables
from tinyunet.training.step import Batch, make_step

PATCH, WINDOW = 16, 20
KEY = jax.random.PRNGKey(5)
RATE = jnp.float32(0.01)
OPTIMISER = optimiser(OptimiserConfig())
WITHOUT_DECAY = optimiser(OptimiserConfig(weight_decay=0.0))
PLAIN = AugmentConfig(
    flips=False,
    quarter_turns=False,
    warp_probability=0.0,
    gamma=0.0,
    contrast=0.0,
    brightness=0.0,
    blur_px=0.0,
    noise=0.0,
)
VARIED = dataclasses.replace(PLAIN, flips=True, quarter_turns=True, brightness=1.0, brightness_probability=1.0)


def compiled(step):
    """Without optimisation, which would take longer than all these steps."""
    return jax.jit(step, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def a_model(**options):
    return Segmenter(classes=2, unet=UNet(features=2, depth=1, momentum=0.9, **options))


@functools.cache
def a_step(augment_config=PLAIN, ema_decay=0.99, transformation=OPTIMISER, **options):
    step = make_step(
        a_model(**options),
        transformation,
        patch=(PATCH, PATCH),
        loss_config=LossConfig(),
        augment_config=augment_config,
        ema_decay=ema_decay,
    )
    return compiled(step)


@functools.cache
def a_state(**options):
    return initial_state(initial_variables(a_model(**options), 0, channels=1, shape=(PATCH,) * 2), OPTIMISER)


def a_batch(*, epoch=0, numbers=(0, 1), seed=0):
    """Windows whose labels say where the image is bright: a problem that two features can solve."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(2, WINDOW, WINDOW, 1)).astype(np.float32)
    return Batch(
        images=jnp.asarray(images),
        labels=jnp.asarray(images[..., 0] > 0.5, jnp.int32),
        epoch=jnp.full(2, epoch, jnp.int32),
        number=jnp.array(numbers, jnp.int32),
    )


def same(one, other):
    return jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), one, other))


class Voxelwise(nn.Module):
    """A network that looks at single voxels."""

    @nn.compact
    def __call__(self, images, *, train):
        return nn.Dense(2)(images)


def test_a_step_takes_volumes():
    batch = Batch(
        images=jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 10, 8, 1)), jnp.float32),
        labels=jnp.zeros((2, 4, 10, 8), jnp.int32),
        epoch=jnp.zeros(2, jnp.int32),
        number=jnp.arange(2, dtype=jnp.int32),
    )
    variables = Voxelwise().init(KEY, batch.images, train=True)
    options = {"loss_config": LossConfig(), "augment_config": AugmentConfig(warp_probability=1.0), "ema_decay": 0.99}
    losses = []
    for spacing in ((), (2.0, 1.0, 1.0)):
        step = make_step(Voxelwise(), OPTIMISER, patch=(3, 8, 8), spacing=spacing, **options)
        state, value = compiled(step)(initial_state(variables, OPTIMISER), batch, KEY, RATE)
        assert int(state.step) == 1
        losses.append(float(value))
    assert np.isfinite(losses).all()
    assert losses[0] != losses[1]


def test_one_step_is_what_its_parts_say():
    # The plain gradient as the direction: Adam would blow up the rounding of gradients that are zero.
    batch, descent = a_batch(), optax.identity()
    state = initial_state(a_state().variables, descent)
    cut = slice(2, 18)  # the centre of the window: nothing is augmented
    images, labels = batch.images[:, cut, cut], batch.labels[:, cut, cut]
    statistics = {"batch_stats": state.variables["batch_stats"]}

    def objective(params):
        logits, updated = a_model().apply({"params": params, **statistics}, images, train=True, mutable=["batch_stats"])
        return loss(logits, labels, LossConfig()), updated

    differentiate = compiled(jax.value_and_grad(objective, has_aux=True))
    (value, updated), gradient = differentiate(state.variables["params"])
    params = jax.tree.map(lambda p, g: p - RATE * g, state.variables["params"], gradient)

    new, found = a_step(transformation=descent)(state, batch, KEY, RATE)
    assert new.step == 1
    np.testing.assert_allclose(found, value, rtol=1e-5)
    expected = {"params": params, **updated}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), new.variables, expected)


@pytest.mark.parametrize(
    ("done", "ema_decay", "share"), [(0, 0.99, 0.1), (10, 0.99, 0.55), (10, 0.3, 0.3), (0, 0.0, 0)]
)
def test_the_average_by_its_formula(done, ema_decay, share):
    state = a_state()._replace(step=jnp.int32(done), average=jax.tree.map(jnp.ones_like, a_state().variables))
    new, _ = a_step(ema_decay=ema_decay)(state, a_batch(), KEY, RATE)
    expected = jax.tree.map(lambda v: share + (1 - share) * v, new.variables)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), new.average, expected)


def test_the_loss_goes_down():
    step, state, batch = a_step(), a_state(), a_batch()
    losses = []
    for _ in range(40):
        state, value = step(state, batch, KEY, jnp.float32(0.03))
        losses.append(float(value))
    assert losses[-1] < losses[0] / 2
    assert state.step == 40


def test_equal_arguments_give_equal_bits():
    step = a_step(VARIED)
    assert same(step(a_state(), a_batch(), KEY, RATE), step(a_state(), a_batch(), KEY, RATE))


def test_a_rate_of_zero_moves_no_weight():
    new, _ = a_step()(a_state(), a_batch(), KEY, jnp.float32(0))
    assert same(new.variables["params"], a_state().variables["params"])
    assert not same(new.variables["batch_stats"], a_state().variables["batch_stats"])


def test_augmentation_depends_on_epoch_and_number_alone():
    step = a_step(VARIED)
    (_, first), (_, again), (_, later), (_, other) = (
        step(a_state()._replace(step=jnp.int32(done)), a_batch(epoch=epoch, numbers=numbers), KEY, RATE)
        for done, epoch, numbers in [(0, 3, (4, 5)), (9, 3, (4, 5)), (0, 4, (4, 5)), (0, 3, (4, 6))]
    )
    assert first == again
    assert len({float(first), float(later), float(other)}) == 3
    assert step(a_state(), a_batch(epoch=3, numbers=(4, 5)), jax.random.PRNGKey(6), RATE)[1] != first


def test_the_key_of_a_sample_is_the_root_folded_with_epoch_and_number():
    config, batch = VARIED, a_batch(epoch=3, numbers=(4, 5))
    keys = [jax.random.fold_in(jax.random.fold_in(KEY, 3), number) for number in (4, 5)]
    varied = [
        augment(key, image, labels, config, shape=(PATCH, PATCH))
        for key, image, labels in zip(keys, batch.images, batch.labels, strict=True)
    ]
    images, labels = (jnp.stack(part) for part in zip(*varied, strict=True))
    margin = (WINDOW - PATCH) // 2
    pad = [(0, 0), (margin, margin), (margin, margin)]
    plain = batch._replace(images=jnp.pad(images, [*pad, (0, 0)]), labels=jnp.pad(labels, pad))
    by_hand = a_step()(a_state(), plain, KEY, RATE)[1]
    np.testing.assert_allclose(a_step(config)(a_state(), batch, KEY, RATE)[1], by_hand, rtol=1e-4)


def test_pixels_without_a_label_move_nothing():
    batch = a_batch()
    batch = batch._replace(labels=jnp.full_like(batch.labels, -1))
    state = initial_state(a_state().variables, WITHOUT_DECAY)
    new, value = a_step(transformation=WITHOUT_DECAY)(state, batch, KEY, RATE)
    assert value == 0
    assert same(new.variables["params"], state.variables["params"])


def test_dropout_changes_with_the_step():
    step, state = a_step(dropout=0.5), a_state(dropout=0.5)
    losses = {float(step(state._replace(step=jnp.int32(done)), a_batch(), KEY, RATE)[1]) for done in range(4)}
    assert len(losses) > 1


@pytest.mark.parametrize(
    "options", [{"norm": "none"}, {"norm": "instance"}, {"padding": "valid"}, {"dtype": "bfloat16"}], ids=str
)
def test_every_kind_of_network_takes_steps(options):
    new, value = a_step(**options)(a_state(**options), a_batch(), KEY, RATE)
    assert jnp.isfinite(value)
    assert jax.tree.structure(new) == jax.tree.structure(a_state(**options))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(new.variables))
    assert not same(new.variables["params"], a_state(**options).variables["params"])


def test_its_arguments_are_left_as_they_were():
    state, batch = a_state(), a_batch()
    before = jax.tree.map(np.array, (state, batch))
    a_step()(state, batch, KEY, RATE)
    assert same(before, (state, batch))
