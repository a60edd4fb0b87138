"""Paint a few strokes in the browser, and watch a network learn from them."""

import argparse
from pathlib import Path

from tinyunet.cli.listening import add_options, opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `studio`."""
    parser.set_defaults(keeps_memory=True)
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        type=Path,
        nargs="?",
        default=Path("studio"),
        help="the data set that is painted, made if it is not there (default: studio)",
    )
    add_options(parser, port=8421)
    parser.add_argument("--preset", metavar="NAME", help="the network, as for `train` (default: tiny)")
    parser.add_argument("--features", metavar="F", type=int, help="channels of the network's first stage")
    parser.add_argument("--seed", metavar="S", type=int, help="of everything random (default 0)")


def run(arguments: argparse.Namespace) -> None:
    """Serves the studio until Ctrl-C, then writes everything down."""
    with opened(arguments, what="`tinyunet studio`") as door:
        from tinyunet.runs.live.defaults import live_config
        from tinyunet.web.studio.app import UPLOAD_BYTES, create_app
        from tinyunet.web.studio.studio import Studio

        config = live_config(
            arguments.folder, preset=arguments.preset, features=arguments.features, seed=arguments.seed
        )
        app = create_app(Studio(arguments.folder, config))
        # The page's stream of events never ends by itself, so it is not waited for.
        door.serve(
            door.guard(app, max_body=UPLOAD_BYTES, body_seconds=600.0),
            said=f"The studio of {arguments.folder}",
            end="Ctrl-C stops it; all is saved.",
            patience=1.0,
        )
