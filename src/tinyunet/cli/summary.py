"""Walk through a U-Net: every value it computes, with its shape and what made it."""

import argparse
import dataclasses

from tinyunet.cli.tables import table
from tinyunet.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `summary`."""
    parser.add_argument(
        "--image-shape", metavar="N", type=int, nargs="+", default=[256, 256, 1], help="height, width, channels"
    )
    parser.add_argument("--features", metavar="F", type=int, help="channels of the first stage")
    parser.add_argument("--depth", metavar="D", type=int, help="number of poolings")
    parser.add_argument("--preset", default="seed", help="seed (default), tiny or unet2015")
    parser.set_defaults(heavy=False)


def run(arguments: argparse.Namespace) -> None:
    """Prints the walk-through, read off the running model."""
    from tinyunet.models.presets import preset
    from tinyunet.seed import walk_through

    wanted = {name: getattr(arguments, name) for name in ("features", "depth") if getattr(arguments, name) is not None}
    config = dataclasses.replace(preset(arguments.preset), **wanted)
    if len(arguments.image_shape) not in (3, 4) or min(arguments.image_shape) < 1:
        raise ConfigError(f"--image-shape must be height, width, channels, got {arguments.image_shape}.")
    try:
        steps = walk_through(config.unet(), tuple(arguments.image_shape))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    print(table(["value", "shape", "made by"], [[s.value, str(s.shape), s.made_by] for s in steps]))
