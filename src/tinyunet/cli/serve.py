"""Serve a run: predictions over HTTP, and a page to drop images into."""

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `serve`."""
    parser.set_defaults(keeps_memory=True)
    parser.add_argument("model", metavar="RUN", type=Path, help="a run folder or a model.safetensors")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1, this machine alone)")
    parser.add_argument("--port", type=int, default=8420, help="the port (default: 8420; 0: any that is free)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a further name under which requests may come, such as that of a reverse proxy; may be given again",
    )
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
    import importlib

    from tinyunet.cli.extra import WEB, needs_extra
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
    with needs_extra("web", WEB, what="`tinyunet serve`"):
        importlib.import_module("python_multipart")  # which FastAPI looks for only when a form arrives
        from tinyunet.web.launch import address, is_loopback, listen, names
        from tinyunet.web.launch import run as run_server

    hosts = names(arguments.host, arguments.allow_host)
    listening = listen(arguments.host, arguments.port)
    try:
        from tinyunet.runs.run import load
        from tinyunet.web.guard import Guard, GuardConfig, new_token
        from tinyunet.web.serve.app import FORM_BYTES, create_app
        from tinyunet.web.serve.metrics import Counted
        from tinyunet.web.serve.ready import warm_up
        from tinyunet.web.uploads import UploadLimits

        trained = load(arguments.model, runtime=arguments.runtime)
        warm_up(trained)
        limits = UploadLimits(max_bytes=int(arguments.max_upload * 2**20), max_pixels=arguments.max_pixels)
        app = create_app(trained, limits=limits, most_waiting=arguments.queue, seconds=arguments.timeout)
        token = new_token()
        config = GuardConfig(
            token=token,
            port=listening.getsockname()[1],
            hosts=hosts,
            max_body=limits.max_bytes + FORM_BYTES,
            body_seconds=arguments.timeout,
            open_paths={"/healthz"},
        )
        if not is_loopback(listening):
            print(
                "note: other machines can connect, and nothing on the way is encrypted; the documentation says how to "
                "put a proxy with TLS before it.",
                file=sys.stderr,
            )
        url = address(listening, arguments.host, token)
        said = ", ".join(filter(None, [f"Serving {arguments.model}", trained.engine.words]))
        print(f"{said}. Open\n\n    {url}\n\nCtrl-C stops it.", flush=True)
        guarded = Counted(Guard(app, config), app.state.metrics)
        run_server(guarded, listening, browse=url if arguments.open else None)
    finally:
        listening.close()
