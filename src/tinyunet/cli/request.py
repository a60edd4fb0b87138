"""The options that ask for values of a configuration, the same for every command that plans."""

import argparse
from pathlib import Path


def add_request_arguments(parser: argparse.ArgumentParser) -> None:
    """The options `--config` and `--set`."""
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="a config.toml to start from; it wins over the plan"
    )
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        dest="settings",
        action="append",
        default=[],
        help="one value that wins over the plan, as model.features=16",
    )
