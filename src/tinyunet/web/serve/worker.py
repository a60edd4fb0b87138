"""One thread that computes, and a bounded number of requests that may wait for it."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.exceptions import HTTPException

T = TypeVar("T")


class Abandoned(Exception):
    """Nobody waits for what is being computed any more."""


@dataclass(eq=False)
class Task:
    """What the thread is asked to compute for one request.

    Attributes:
        abandoned: Set once nobody waits for it.
    """

    abandoned: threading.Event = field(default_factory=threading.Event)

    def attend(self, *_: int) -> None:
        """Called now and then while it is computed.

        Raises:
            Abandoned: Nobody waits for it any more.
        """
        if self.abandoned.is_set():
            raise Abandoned


class Worker:
    """Computes for one request at a time, in a thread of its own, while a bounded number of others wait.

    Args:
        most_waiting: Requests that may wait while one is computed, at least 0.
        seconds: So long a request may wait and be computed, together.
    """

    def __init__(self, *, most_waiting: int, seconds: float):
        self.most_waiting = most_waiting
        self.seconds = seconds
        self.inside = 0
        self._tasks: set[Task] = set()
        self._usual_seconds = 1.0
        self.open()

    def open(self) -> None:
        """Takes requests, as it does from the beginning; again after `close`."""
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._closed = False

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue, to be taken before the body of a request is read.

        Raises:
            HTTPException: There is none (503), with the seconds after which to come again; or the server ends.
        """
        if self._closed:
            raise HTTPException(503, "The server is being stopped.", {"Retry-After": "10"})
        if self.inside > self.most_waiting:
            wait = max(1, round(self.inside * self._usual_seconds))
            raise HTTPException(
                503,
                f"{self.inside} requests are being computed or wait; come again in {wait} s.",
                {"Retry-After": str(wait)},
            )
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def compute(self, function: Callable[[Task], T]) -> T:
        """What a function gives, computed in the thread once its turn has come.

        Where the request is cancelled, because it takes too long or its client has gone, the function is not begun, or
        it ends where it next looks (`Task.attend`).

        Args:
            function: What to compute.

        Raises:
            HTTPException: It took too long (503).
        """
        task = Task()
        self._tasks.add(task)

        def begin() -> T:
            task.attend()
            began = time.monotonic()
            try:
                return function(task)
            finally:
                self._usual_seconds += 0.2 * (time.monotonic() - began - self._usual_seconds)

        try:
            return await asyncio.wait_for(asyncio.wrap_future(self._threads.submit(begin)), self.seconds)
        except TimeoutError:
            raise HTTPException(
                503,
                f"The prediction took more than {self.seconds:g} s, waiting included: send a smaller image, come again "
                "when fewer wait, or start the server with a larger --timeout.",
                {"Retry-After": str(max(1, round(self._usual_seconds)))},
            ) from None
        finally:
            task.abandoned.set()
            self._tasks.discard(task)

    def close(self) -> None:
        """Takes no more requests, and ends what is being computed where it next looks."""
        self._closed = True
        for task in list(self._tasks):
            task.abandoned.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
