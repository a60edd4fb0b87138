"""Paint from memory to the masks of the folder, in a thread beside the painter."""

import threading
import time
from collections.abc import Callable

from tinyunet.errors import TinyUNetError

PAUSE_SECONDS = 0.4
"""Between two rounds; a mask is on disk within a second of its last stroke, unless it is a very large one."""

RETRY_SECONDS = 5.0
"""After a round that failed, as on a full disk."""


class MaskWriter:
    """Writes what is new, again and again, until it is closed.

    Args:
        write: Writes all that is new; it may raise an error of the user's, after which it is tried again.
    """

    def __init__(self, write: Callable[[], None]):
        self._write = write
        self._closing = threading.Event()
        self.problem: str | None = None
        self._thread = threading.Thread(target=self._work, name="masks", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        pause = PAUSE_SECONDS
        while not self._closing.wait(pause):
            began = time.monotonic()
            try:
                self._write()
                self.problem = None
                # A mask of 4096² takes a while: the processor belongs to the training as well.
                pause = PAUSE_SECONDS + 2 * (time.monotonic() - began)
            except TinyUNetError as error:
                self.problem = str(error).splitlines()[0]
                pause = RETRY_SECONDS

    def close(self) -> None:
        """Ends the thread, then writes what is left.

        Raises:
            DataError: It cannot be written; the journal still has it.
        """
        self._closing.set()
        self._thread.join()
        self._write()
