"""The errors a user can meet, each one line that says what, where, the value, and the way out."""

import difflib
from collections.abc import Iterable


class TinyUNetError(Exception):
    """Base of every error that the user's input can cause; the command line prints it and exits with status 2."""


class DataError(TinyUNetError):
    """One or more things wrong with the data, one line each.

    Args:
        problems: What is wrong; every line names its file and the way out.

    Example:
        >>> print(DataError("a.png is empty.", "b.png has no mask."))
        a.png is empty.
        b.png has no mask.
    """

    def __init__(self, *problems: str):
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class ConfigError(TinyUNetError):
    """A configuration value, option or key that cannot be used."""


class CheckpointError(TinyUNetError):
    """A run folder, checkpoint or weights file that is missing, foreign, damaged or too new."""


class TrainingError(TinyUNetError):
    """A training that cannot go on, such as one whose loss is no longer a number."""


class ParityError(Exception):
    """An export that computes something else than its run: a fault of ours, not the user's."""


def suggest(name: str, known: Iterable[str]) -> str:
    """The tail of an error about an unknown name: the nearest known one, and all that exist.

    Example:
        >>> suggest("fetures", ["features", "depth"])
        "Did you mean 'features'? Known: depth, features."
        >>> suggest("x", ["features", "depth"])
        'Known: depth, features.'
    """
    options = sorted(known)
    nearest = difflib.get_close_matches(name, options, n=1)
    hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
    return f"{hint}Known: {', '.join(options)}."
