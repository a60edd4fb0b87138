"""The command `tinyunet`: parsing, and what every command shares. Nothing heavy is imported before it is needed."""

import argparse
import errno
import gc
import importlib
import keyword
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

STARTED = time.monotonic()
"""About when the process began: `--minutes` counts from here."""

OBJECTS = 50_000
"""New objects between two searches for unused cycles, 700 in older Pythons: imports and tracing make hundreds of
thousands that stay, and to search them over and over takes 0.7 s of a training's start, so 0.2 s."""

COMMANDS = ("demo", "check", "train", "evaluate", "predict", "report", "summary", "export", "import", "serve", "studio")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: The arguments; those of the process, if None.

    Returns:
        The exit status: 0 done, 1 our fault, 2 the user's input.
    """
    arguments = parser().parse_args(argv)
    gc.set_threshold(OBJECTS)
    from tinyunet.errors import TinyUNetError

    try:
        if arguments.keeps_memory:
            from tinyunet.runs.machine import keep_memory

            keep_memory()  # before anything large is imported
        if arguments.heavy and arguments.cache:
            from tinyunet.runs.cache import use_compilation_cache

            use_compilation_cache()
        with _readers_silenced():
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
    except OSError as error:
        if error.errno not in _ENVIRONMENT:
            return _internal(error, debug=arguments.debug)
        if arguments.debug:
            traceback.print_exc()
        where = error.filename or "A file"
        print(
            f"error: {where} cannot be read or written: {error.strerror}. {_ENVIRONMENT[error.errno]}", file=sys.stderr
        )
        return 2
    except Exception as error:
        return _internal(error, debug=arguments.debug)
    return 0


_ENVIRONMENT = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "Free some space, or choose another folder."),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "Choose a folder that you may read and write."),
}
"""Errors of the file system that are the user's to mend wherever they occur, and the way out."""


def _internal(error: Exception, *, debug: bool) -> int:
    """Says that it is our fault and how to report it."""
    if debug:
        traceback.print_exc()
    print(
        f"internal error: {type(error).__name__}: {error}\n"
        "This is a fault of tinyunet. Please report it with the command you gave, `tinyunet --version`, and what "
        "the same command prints with --debug.",
        file=sys.stderr,
    )
    return 1


@contextmanager
def _readers_silenced() -> Iterator[None]:
    """Keeps tifffile's log and Pillow's warnings off stderr: what is wrong with a file is said in one line, by us."""
    logger = logging.getLogger("tifffile")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    finally:
        logger.setLevel(before)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    from tinyunet import __version__

    root = argparse.ArgumentParser(
        prog="tinyunet", description="From a folder of images or volumes and their masks to a working segmenter."
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
        # `import` is a word of Python, and no module may be called so.
        command = importlib.import_module(f"tinyunet.cli.{name}{'_' * keyword.iskeyword(name)}")
        text = (command.__doc__ or "").splitlines()[0]
        sub = commands.add_parser(name, parents=[shared], help=text, description=text)
        sub.set_defaults(run=command.run, heavy=True, keeps_memory=False)
        command.add_arguments(sub)
    return root
