"""Paint a few strokes in the browser, and watch a network learn from them."""

import argparse
import sys
from pathlib import Path


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
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1, this machine alone)")
    parser.add_argument("--port", type=int, default=8421, help="the port (default: 8421; 0: any that is free)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a further name under which requests may come, such as that of a reverse proxy; may be given again",
    )
    parser.add_argument("--preset", metavar="NAME", help="the network, as for `train` (default: tiny)")
    parser.add_argument("--features", metavar="F", type=int, help="channels of the network's first stage")
    parser.add_argument("--seed", metavar="S", type=int, help="of everything random (default 0)")


def run(arguments: argparse.Namespace) -> None:
    """Serves the studio until Ctrl-C, then writes everything down."""
    import importlib

    from tinyunet.cli.extra import WEB, needs_extra

    with needs_extra("web", WEB, what="`tinyunet studio`"):
        importlib.import_module("python_multipart")  # which FastAPI looks for only when a form arrives
        from tinyunet.web.launch import address, is_loopback, listen, names
        from tinyunet.web.launch import run as run_server

    hosts = names(arguments.host, arguments.allow_host)
    listening = listen(arguments.host, arguments.port)
    try:
        from tinyunet.runs.live.defaults import live_config
        from tinyunet.web.guard import Guard, GuardConfig, new_token
        from tinyunet.web.studio.app import UPLOAD_BYTES, create_app
        from tinyunet.web.studio.studio import Studio

        config = live_config(
            arguments.folder, preset=arguments.preset, features=arguments.features, seed=arguments.seed
        )
        studio = Studio(arguments.folder, config)
        token = new_token()
        guard = GuardConfig(
            token=token,
            port=listening.getsockname()[1],
            hosts=hosts,
            max_body=UPLOAD_BYTES,
            body_seconds=600.0,
            open_paths={"/healthz"},
        )
        if not is_loopback(listening):
            print(
                "note: other machines can connect, and nothing on the way is encrypted; the documentation says how to "
                "put a proxy with TLS before it.",
                file=sys.stderr,
            )
        url = address(listening, arguments.host, token)
        print(f"The studio of {arguments.folder}. Open\n\n    {url}\n\nCtrl-C stops it; all is saved.", flush=True)
        app = Guard(create_app(studio), guard)
        # The page's stream of events never ends by itself, so it is not waited for.
        run_server(app, listening, browse=url if arguments.open else None, patience=1.0)
    finally:
        listening.close()
