"""Serve a run: predictions over HTTP, and a page to drop images into."""

import argparse
from pathlib import Path

from tinyunet.cli.listening import add_options, opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `serve`."""
    parser.set_defaults(keeps_memory=True)
    parser.add_argument("model", metavar="RUN", type=Path, help="a run folder or a model.safetensors")
    add_options(parser, port=8420)
    parser.add_argument(
        "--runtime",
        choices=("auto", "native", "onnx", "jax"),
        default="auto",
        help="what computes, as for `predict`",
    )
    parser.add_argument(
        "--max-upload", metavar="MIB", type=float, default=64, help="the largest upload in MiB (default: 64)"
    )
    parser.add_argument(
        "--max-pixels", metavar="N", type=int, default=2**25, help="the most pixels of an image (default: 33554432)"
    )
    parser.add_argument(
        "--queue", metavar="N", type=int, default=8, help="requests that may wait while one is computed (default: 8)"
    )
    parser.add_argument(
        "--timeout",
        metavar="S",
        type=float,
        default=120,
        help="seconds that a request may take, waiting included (default: 120)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Serves until Ctrl-C."""
    from tinyunet.errors import ConfigError

    for name, fits, rule in (
        ("max_upload", 0 < arguments.max_upload < 2**20, "above 0"),
        ("max_pixels", arguments.max_pixels >= 1, "at least 1"),
        ("queue", arguments.queue >= 0, "at least 0"),
        ("timeout", 0 < arguments.timeout < 2**31, "above 0"),
    ):
        if not fits:
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(f"`{option}` must be {rule}, got {getattr(arguments, name)}.")
    with opened(arguments, what="`tinyunet serve`") as door:
        from tinyunet.runs.run import load
        from tinyunet.web.serve.app import FORM_BYTES, create_app
        from tinyunet.web.serve.metrics import Counted
        from tinyunet.web.serve.ready import warm_up
        from tinyunet.web.uploads import UploadLimits

        trained = load(arguments.model, runtime=arguments.runtime)
        warm_up(trained)
        limits = UploadLimits(max_bytes=int(arguments.max_upload * 2**20), max_pixels=arguments.max_pixels)
        app = create_app(trained, limits=limits, most_waiting=arguments.queue, seconds=arguments.timeout)
        guarded = door.guard(app, max_body=limits.max_bytes + FORM_BYTES, body_seconds=arguments.timeout)
        said = ", ".join(filter(None, [f"Serving {arguments.model}", trained.engine.words]))
        door.serve(Counted(guarded, app.state.metrics), said=said, end="Ctrl-C stops it.")
