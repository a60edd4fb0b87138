"""The command `tinyunet`: parsing, and what every command shares. Nothing heavy is imported before it is needed."""

import argparse
import importlib
import os
import sys
import time
import traceback
from collections.abc import Sequence

STARTED = time.monotonic()
"""About when the process began: `--minutes` counts from here."""

COMMANDS = ("demo", "check", "train", "evaluate", "predict", "report", "summary")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: The arguments; those of the process, if None.

    Returns:
        The exit status: 0 done, 1 our fault, 2 the user's input.
    """
    arguments = parser().parse_args(argv)
    from tinyunet.errors import TinyUNetError

    try:
        if arguments.heavy and arguments.cache:
            from tinyunet.runs.cache import use_compilation_cache

            use_compilation_cache()
        arguments.run(arguments)
    except TinyUNetError as error:
        if arguments.debug:
            traceback.print_exc()
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of stdout has gone, as `head` does; point stdout elsewhere, or Python complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if arguments.debug:
            traceback.print_exc()
        print(
            f"internal error: {type(error).__name__}: {error}\n"
            "This is a fault of tinyunet. Please report it with the command you gave, `tinyunet --version`, and what "
            "the same command prints with --debug.",
            file=sys.stderr,
        )
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    from tinyunet import __version__

    root = argparse.ArgumentParser(
        prog="tinyunet", description="From a folder of images and masks to a working segmenter."
    )
    root.add_argument("--version", action="version", version=f"tinyunet {__version__}")
    commands = root.add_subparsers(title="commands", required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="show the traceback of an error")
    shared.add_argument("--quiet", action="store_true", help="show no progress")
    shared.add_argument(
        "--no-cache",
        dest="cache",
        action="store_false",
        help="do not keep compiled programs in the user's cache folder",
    )
    for name in COMMANDS:
        command = importlib.import_module(f"tinyunet.cli.{name}")
        text = (command.__doc__ or "").splitlines()[0]
        sub = commands.add_parser(name, parents=[shared], help=text, description=text)
        sub.set_defaults(run=command.run, heavy=True)
        command.add_arguments(sub)
    return root
