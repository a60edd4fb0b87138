"""The whole pipeline as one JAX program, written down as StableHLO for images of any size, on a CPU or a GPU."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from tinyunet.evaluation.temperature import FLOOR
from tinyunet.export.borders import Border
from tinyunet.export.pipeline import Pipeline
from tinyunet.layers.paths import without_kernels
from tinyunet.models.segmenter import Segmenter

PLATFORMS = ("cpu", "cuda")
"""What the program is lowered for."""

Program = Callable[[Float[Array, "b *space c"]], dict[str, Array]]
"""From raw pixels, channels last, to the results by name."""


def pipeline_program(pipeline: Pipeline) -> Program:
    """The pipeline as a function of JAX, which works on sizes that are symbols too.

    Its results are those that the pipeline names: `probabilities`, float32 (batch, height, width, names), and `labels`,
    int32 (batch, height, width), or the pipeline's maps, float32 (batch, height, width).
    """
    model = Segmenter(classes=len(pipeline.names), unet=dataclasses.replace(pipeline.model, dtype="float32").unet())
    borders = [Border.of(topology) for topology in pipeline.topologies]

    def probabilities(variables: Any, wide: Array, space: Sequence[Any]) -> Array:
        logits = jnp.asarray(model.apply(variables, wide, method="tile"))
        for axis, size in enumerate(space, start=1):
            # Taken one by one, since whether a symbol is smaller than another is not always known.
            logits = jnp.take(logits, jnp.arange(size), axis=axis, mode="clip")
        return jax.nn.softmax(logits)

    def program(image: Float[Array, "b *space c"]) -> dict[str, Array]:
        wide = _normalise(image[..., : pipeline.channels.used], pipeline)
        space = image.shape[1:-1]
        for axis, (border, size) in enumerate(zip(borders, space, strict=True), start=1):
            if not border.nothing:
                wide = jnp.take(wide, border.positions(size), axis=axis, mode="clip")
        members = [probabilities(jax.tree.map(jnp.asarray, dict(each)), wide, space) for each in pipeline.members]
        plain = sum(members[1:], start=members[0]) / len(members)
        results = {"probabilities": _scale(plain, pipeline.temperature)}
        for name, places in pipeline.maps.items():
            results[name] = plain[..., list(places)].sum(-1)
        if pipeline.values is not None:
            results["labels"] = jnp.array(pipeline.values, jnp.int32)[jnp.argmax(plain, axis=-1)]
        return results

    return program


def write_stablehlo(path: Path, pipeline: Pipeline) -> None:
    """Writes the program for any batch, any size, and every platform of `PLATFORMS`, by `jax.export`."""
    channels = "c" if pipeline.takes_more_channels else str(pipeline.channels.used)
    shape = jax.export.symbolic_shape(", ".join(("b", *(axis[0] for axis in pipeline.axes), channels)))
    with without_kernels(), _without_locations():
        exported = jax.export.export(jax.jit(pipeline_program(pipeline)), platforms=PLATFORMS)(
            jax.ShapeDtypeStruct(shape, jnp.float32)
        )
    path.write_bytes(exported.serialize())


@contextmanager
def _without_locations() -> Iterator[None]:
    """Programs hold no paths and lines of the sources they came from."""
    # JAX makes the attributes of its configuration at run time, where type checkers do not see them.
    before = jax.config.jax_traceback_in_locations_limit  # type: ignore[attr-defined]
    jax.config.update("jax_traceback_in_locations_limit", 0)
    try:
        yield
    finally:
        jax.config.update("jax_traceback_in_locations_limit", before)


def open_stablehlo(path: Path) -> Callable[[Float32[np.ndarray, "b *space c"]], dict[str, Array]]:
    """The function of a file."""
    return jax.export.deserialize(bytearray(path.read_bytes())).call


def _normalise(image: Float[Array, "b *space c"], pipeline: Pipeline) -> Float[Array, "b *space c"]:
    """`tinyunet.data.normalise.normalise` in float32, as exact as the ONNX file's."""
    if pipeline.normalisation.kind == "dataset":
        mean, factor = pipeline.affine()
        near = mean.astype(np.float32)
        return ((image - near) - (mean - near).astype(np.float32)) * factor.astype(np.float32)
    axes = tuple(range(1, image.ndim - 1))
    x = image
    for _ in range(2):
        x = x - x.mean(axes, keepdims=True)
    varies = image.max(axes, keepdims=True) > image.min(axes, keepdims=True)
    return jnp.where(varies, x / jnp.sqrt(jnp.where(varies, (x * x).mean(axes, keepdims=True), 1)), 0)


def _scale(probabilities: Float[Array, "b *space k"], temperature: float) -> Float[Array, "b *space k"]:
    """`tinyunet.evaluation.temperature.scale_probabilities`."""
    if temperature == 1:
        return probabilities
    return jax.nn.softmax(jnp.log(jnp.maximum(probabilities, FLOOR)) / temperature)
