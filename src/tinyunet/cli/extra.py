"""What to say where an optional library is not installed."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager


@contextmanager
def needs_extra(extra: str, libraries: Collection[str], *, what: str) -> Iterator[None]:
    """Turns a library that is not there into one line that says how to install it.

    Args:
        extra: Of tinyunet's, that brings them.
        libraries: Names for `import`; where another one is missing, it is our fault and stays so.
        what: That wants them, for the message.

    Raises:
        ConfigError: One of them is not installed.

    Example:
        >>> with needs_extra("web", ["no_such_library"], what="`tinyunet serve`"):
        ...     import no_such_library
        Traceback (most recent call last):
        ...
        tinyunet.errors.ConfigError: `tinyunet serve` wants no_such_library, which is not installed: pip install ...
    """
    from tinyunet.errors import ConfigError

    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in libraries:
            raise
        raise ConfigError(f"{what} wants {missing}, which is not installed: pip install 'tinyunet[{extra}]'.") from None


WEB = ("fastapi", "multipart", "python_multipart", "starlette", "uvicorn")
"""The libraries of the extra `web`."""
