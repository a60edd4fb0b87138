"""Any size, cut into tiles, gives what the whole image gives: no seams, and nothing blended.

    python examples/04_any_size.py

The network has random weights, which makes this the harder test: there is no smooth answer to hide a seam in.
"""

import argparse

import jax
import numpy as np

from tinyunet.data.synthetic import cells
from tinyunet.models.presets import ModelConfig
from tinyunet.prediction.predict import predict_probabilities
from tinyunet.prediction.tiles import TileSpec, plan_grid
from tinyunet.runs.build import build_model, build_probabilities
from tinyunet.training.state import initial_variables


def main() -> None:
    """Predicts a large image at once and in tiles, and small ones of awkward sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=700, help="width of the largest image (default 700)")
    parser.add_argument("--tile", type=int, default=128, help="height and width of a tile (default 128)")
    parser.add_argument("--depth", type=int, default=3, help="number of poolings (default 3)")
    arguments = parser.parse_args()

    config = ModelConfig(features=8, depth=arguments.depth)
    model = build_model(config, classes=2)
    variables = initial_variables(model, seed=0, channels=1, shape=(2**arguments.depth,) * 2)
    compiled = build_probabilities(model)

    topology, _ = config.unet().topologies(2)  # the same for both axes
    halo = topology.receptive_radius()
    spec = TileSpec(ladder=(arguments.tile,), halo=halo, multiple=topology.multiple, batch=1)
    print(f"An output pixel sees {halo} pixels far; of a tile of {arguments.tile}, {spec.stride} are new.")

    def forward(tiles: np.ndarray, valid: np.ndarray) -> jax.Array:
        return compiled(variables, tiles, valid)

    @jax.jit
    def whole(image: jax.Array) -> jax.Array:
        return jax.nn.softmax(model.apply(variables, image[None]))[0]

    for shape in [(arguments.size * 2 // 3 + 1, arguments.size), (37, 5), (1, 1)]:
        pixels, _ = cells(3, shape=shape)
        image = ((pixels - pixels.mean()) / (pixels.std() + 1e-6)).astype(np.float32)
        tiled = predict_probabilities(forward, image, spec, classes=2)
        error = float(np.abs(tiled - np.asarray(whole(image))).max())
        count = len(plan_grid(shape, spec))
        print(f"{shape[0]} × {shape[1]} pixels in {count} tiles: differs from the whole by at most {error:.0e}")
        assert tiled.shape == (*shape, 2)
        assert error < 1e-5


if __name__ == "__main__":
    main()
