"""What four devices are needed for, simulated or not: a program that prints what it found as JSON."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tinyunet.data.augment.compose import AugmentConfig
from tinyunet.errors import ConfigError
from tinyunet.models.segmenter import Segmenter
from tinyunet.models.unet import UNet
from tinyunet.prediction.divided import predict_divided
from tinyunet.training.losses import LossConfig
from tinyunet.training.optimiser import OptimiserConfig, optimiser
from tinyunet.training.placement import Placement, placement
from tinyunet.training.state import initial_state
from tinyunet.training.step import Batch, make_step

PATCH, WINDOW, BATCH, STEPS = 16, 24, 8, 50


def random_variables(model, shape):
    """Variables of a model, running averages too, drawn without compiling an initialiser."""
    rng = np.random.default_rng(3)
    wanted = jax.eval_shape(model.init, jax.random.PRNGKey(0), jnp.zeros(shape))

    def draw(path, leaf):
        value = rng.normal(size=leaf.shape, scale=0.3).astype(np.float32)
        return 1 + value**2 if path[-1].key in ("var", "scale") else value

    return jax.tree_util.tree_map_with_path(draw, wanted)


def a_batch(number):
    """Noise whose labels say where it is bright, with a corner that takes no part in some samples."""
    rng = np.random.default_rng(number)
    images = rng.normal(size=(BATCH, WINDOW, WINDOW, 1)).astype(np.float32)
    labels = (images[..., 0] > 0.5).astype(np.int32)
    labels[::3, :12, :12] = -1
    return Batch(images, labels, np.full(BATCH, number, np.int32), np.arange(BATCH, dtype=np.int32))


class Trainer:
    """A training on some devices, whose optimiser keeps the last gradient."""

    model = Segmenter(classes=2, unet=UNet(features=2, depth=1, momentum=0.9, dropout=0.2))
    variables = random_variables(model, (1, PATCH, PATCH, 1))
    optimiser = optax.chain(optax.trace(0.0), optimiser(OptimiserConfig()))

    def __init__(self, where):
        self.where = where
        step = make_step(
            self.model,
            self.optimiser,
            patch=(PATCH, PATCH),
            loss_config=LossConfig(),
            augment_config=AugmentConfig(),
            ema_decay=0.99,
        )
        self.step = where.compile(step)

    def train(self, *, steps):
        """All losses, and the last state."""
        state = self.where.everywhere(initial_state(self.variables, self.optimiser))
        losses = []
        for number in range(steps):
            state, loss = self.step(state, a_batch(number), jax.random.PRNGKey(5), jnp.float32(0.01))
            losses.append(float(loss))
        return losses, jax.tree.map(np.asarray, self.where.here(state))


def distance(tree, truth):
    """Norm of the difference over the norm of the truth."""
    difference, whole = (
        np.sqrt(sum(float(np.sum(np.square(leaf))) for leaf in jax.tree.leaves(one)))
        for one in (jax.tree.map(lambda a, b: np.float64(a) - np.float64(b), tree, truth), truth)
    )
    return difference / whole


def refusal(function, *arguments):
    try:
        function(*arguments)
    except ConfigError as error:
        return str(error)
    return None


def training():
    four = placement()
    one, shared = Trainer(Placement(jax.devices()[:1])), Trainer(four)
    (_, first), (_, first_shared) = one.train(steps=1), shared.train(steps=1)
    losses, _ = one.train(steps=STEPS)
    losses_shared, after = shared.train(steps=STEPS)
    again, once_more = shared.train(steps=STEPS)
    return {
        "devices": len(four.devices),
        "gradient": distance(first_shared.optimiser[0].trace, first.optimiser[0].trace),
        "statistics": distance(first_shared.variables["batch_stats"], first.variables["batch_stats"]),
        "losses": losses,
        "losses_shared": losses_shared,
        "repeats": losses_shared == again and jax.tree.all(jax.tree.map(np.array_equal, after, once_more)),
        "rows": list(four.rows(BATCH)),
        "refusals": {size: refusal(four.check, size) for size in (2, 6, 8)},
        "five devices": refusal(placement, 5),
        "two devices": len(placement(2).devices),
    }


def prediction():
    """The largest difference between the whole image and the divided one, for sizes, devices and networks."""
    cases = [
        ("image", (37, 18, 1), 3, {"upsample": "bilinear"}),
        ("stripes narrower than the halo", (9, 8, 1), 4, {}),
        ("volume", (13, 8, 6, 1), 4, {"hold": (1, 0, 0)}),
        ("without a halo", (37, 18, 1), 3, {"upsample": "bilinear"}),
    ]
    found = {}
    for name, shape, count, options in cases:
        image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        model = Segmenter(classes=3, unet=UNet(features=2, depth=2, **options))
        axes = model.unet.topologies(len(shape) - 1)
        variables = random_variables(model, (1, *(axis.multiple for axis in axes), 1))
        result = predict_divided(
            lambda variables, pixels, valid, model=model: model.apply(variables, pixels, valid=valid, method="tile"),
            variables,
            image,
            halo=0 if name == "without a halo" else axes[0].receptive_radius(),
            multiple=[axis.multiple for axis in axes],
            devices=jax.devices()[:count],
        )
        truth = jax.jit(model.apply)(variables, image[None])[0]
        found[name] = float(np.abs(result - truth).max())
    return found


if __name__ == "__main__":
    print(json.dumps({"training": training(), "prediction": prediction()}))
