"""Predicting one image with several devices at once, each on a stripe of it."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int32, PyTree, Shaped

from tinyunet.data.resample import resample_image
from tinyunet.errors import ConfigError
from tinyunet.evaluation.temperature import scale_probabilities
from tinyunet.layers.norm import LOCAL_NORMS
from tinyunet.prediction.divided import predict_divided
from tinyunet.runs.build import build_model
from tinyunet.runs.run import Run


def predict_over_devices(
    run: Run,
    image: Shaped[np.ndarray, "*space_and_channels"],
    *,
    spacing: tuple[float, ...] = (),
    devices: int | None = None,
) -> Int32[np.ndarray, "*space"]:
    """`Run.predict`, with the image in the memory of several devices together instead of tile by tile on one.

    Args:
        run: A trained network.
        image: As for `Run.predict`.
        spacing: As for `Run.predict`.
        devices: How many of this process; all, if None.

    Raises:
        ConfigError: There are not so many devices, or the network can only be run by tiles.
        DataError: The image has other channels than those of the training.
    """
    return run.decide(probabilities_over_devices(run, image, spacing=spacing, devices=devices))


def probabilities_over_devices(
    run: Run,
    image: Shaped[np.ndarray, "*space_and_channels"],
    *,
    spacing: tuple[float, ...] = (),
    devices: int | None = None,
) -> Float32[np.ndarray, "*space k"]:
    """`Run.probabilities`, likewise; arguments and errors as of `predict_over_devices`."""
    unet = run.config.model.unet()
    if unet.padding != "same" or unet.norm not in LOCAL_NORMS:
        raise ConfigError(
            f"A network of padding {unet.padding!r} and norm {unet.norm!r} cannot be divided over devices: predict by "
            "tiles, with `Run.predict`."
        )
    have = jax.local_devices()
    if devices is not None and not 1 <= devices <= len(have):
        raise ConfigError(f"`devices` must be from 1 to the {len(have)} that JAX finds here, got {devices}.")
    model = build_model(run.config.model, classes=len(run.classes))

    def network(
        members: PyTree, pixels: Float[Array, "1 *stripe c"], valid: Bool[Array, "1 *stripe 1"]
    ) -> Float[Array, "1 *stripe k"]:
        logits = [jnp.asarray(model.apply(one, pixels, valid=valid, method="tile")) for one in members]
        return sum(map(jax.nn.softmax, logits), start=jnp.zeros(())) / len(logits)

    prepared, shape = run.prepare(image, spacing)
    topologies = unet.topologies(run.dimensions)
    found = predict_divided(
        network,
        (run.variables, *run.others),
        prepared,
        halo=topologies[0].receptive_radius(),
        multiple=[axis.multiple for axis in topologies],
        devices=have[:devices],
    )
    found = found if found.shape[:-1] == shape else resample_image(found, shape)
    return scale_probabilities(found, run.temperature)
