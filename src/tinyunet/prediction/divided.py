"""One image over several devices: each computes a stripe of it, with a halo of its neighbours' pixels.

The other way to predict a large image, tile by tile, needs no second device; this one needs no tiles. Both give what
the whole image would.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Float32, PyTree, Shaped

Network = Callable[[PyTree, Float[Array, "1 *stripe c"], Bool[Array, "1 *stripe 1"]], Float[Array, "1 *stripe k"]]
"""Variables, pixels and the map of those that are valid -> a result for every pixel; a function that JAX can trace."""


def predict_divided(
    network: Network,
    variables: PyTree,
    image: Float32[np.ndarray, "*space c"],
    *,
    halo: int,
    multiple: Sequence[int],
    devices: Sequence[jax.Device],
) -> Float32[np.ndarray, "*space k"]:
    """The result of a network for a whole image, divided along its first axis over devices.

    Device i holds rows [i s, (i + 1) s) of the image, s a multiple of `multiple`, fetches `halo` rows from either side
    and gives back the s rows of its own. A halo wider than a stripe is fetched from several neighbours. Beyond the
    image, no pixel is valid; so a network that holds its maps at zero there, and depends on nothing beyond its halo,
    gives what it gives for the whole image, to rounding.

    Args:
        network: What to compute; see `Network`.
        variables: Its parameters, which every device gets.
        image: Normalised pixels.
        halo: Radius of the receptive field along the first axis, in pixels.
        multiple: Along each axis, by how many pixels an image may be shifted without meeting other pooling windows.
        devices: At least one; those of this process.

    Example:
        >>> image = np.arange(5, dtype=np.float32).reshape(5, 1, 1)
        >>> double = lambda factor, pixels, valid: factor * pixels
        >>> predict_divided(double, 2.0, image, halo=1, multiple=(2, 1), devices=jax.devices()[:1])[:, 0, 0]
        array([0., 2., 4., 6., 8.], dtype=float32)
    """
    space, count = image.shape[:-1], len(devices)
    exists = [-(-size // step) * step for size, step in zip(space, multiple, strict=True)]
    # The halo too must keep the pooling windows where they are.
    halo = -(-halo // multiple[0]) * multiple[0]
    stripe = -(-exists[0] // (count * multiple[0])) * multiple[0]
    pixels = np.pad(image, [(0, want - have) for want, have in zip(exists, space, strict=True)] + [(0, 0)], mode="edge")
    pixels = np.pad(pixels, [(0, count * stripe - exists[0])] + [(0, 0)] * (image.ndim - 1))
    valid = np.zeros((*pixels.shape[:-1], 1), bool)
    valid[: exists[0]] = True

    def of_stripe(variables: PyTree, pixels: Array, valid: Array) -> Array:
        wide, known = (with_halo(part, halo, axis="rows", count=count)[None] for part in (pixels, valid))
        return network(variables, wide, known)[0, halo : halo + stripe]

    rows, same = PartitionSpec("rows"), PartitionSpec()
    mesh = Mesh(np.array(devices), ("rows",))
    divided = jax.shard_map(of_stripe, mesh=mesh, in_specs=(same, rows, rows), out_specs=rows, check_vma=False)
    result = np.asarray(jax.jit(divided)(variables, pixels, valid))
    return result[tuple(slice(size) for size in space)]


def with_halo(stripe: Shaped[Array, "s *rest"], halo: int, *, axis: str, count: int) -> Shaped[Array, "w *rest"]:
    """A stripe with rows of its neighbours on both sides; where there is none, zeros. Inside `shard_map` only.

    Args:
        stripe: Of this device.
        halo: How many rows on either side.
        axis: Name of the mesh's axis along which the stripes lie.
        count: Number of stripes.
    """
    size, place = stripe.shape[0], jax.lax.axis_index(axis)
    parts = [stripe]
    for distance in range(1, math.ceil(halo / size) + 1):
        before, after = (
            jax.lax.ppermute(stripe, axis, [(i, (i + step) % count) for i in range(count)])
            for step in (distance, -distance)
        )
        # All stripes go round; those that have come past an end of the image are none of it.
        before = jnp.where(place >= distance, before, 0)
        after = jnp.where(place < count - distance, after, 0)
        parts = [before.astype(stripe.dtype), *parts, after.astype(stripe.dtype)]
    first = (len(parts) // 2) * size - halo
    return jnp.concatenate(parts)[first : first + size + 2 * halo]
