"""Reading ahead and writing behind: threads that work while the network computes."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T], *, most: int) -> Iterator[T]:
    """The same items, made in a thread of their own before they are asked for.

    What fails in the thread fails here, after the items made before it. When this ends, whether all items have been
    taken or not, the thread has ended too.

    Args:
        items: Used by the thread alone.
        most: So many items wait at most.

    Example:
        >>> list(ahead(iter("abc"), most=1))
        ['a', 'b', 'c']
    """
    made: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=most)
    unwanted = threading.Event()

    def make() -> None:
        try:
            for item in items:
                made.put(("item", item))
                if unwanted.is_set():
                    return
            made.put(("end", None))
        except BaseException as error:
            made.put(("error", error))

    thread = threading.Thread(target=make, name="reading ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, item = made.get()
            if kind == "error":
                raise item
            if kind == "end":
                return
            yield item
    finally:
        unwanted.set()
        while thread.is_alive():  # it may be waiting for a place in the queue
            _drain(made)
            thread.join(timeout=0.01)


@contextmanager
def behind(work: Callable[[T], None], *, most: int) -> Iterator[Callable[[T], None]]:
    """A function that leaves items to `work`, which a thread of its own calls with one after the other.

    What fails there fails in the next call, or at the end of the context; no item after it is worked on. The context
    ends when all items have been worked on, even if it ends by an error: what was handed over is not lost.

    Args:
        work: Called in the thread alone.
        most: So many items wait at most; a call waits until there is room.

    Example:
        >>> done = []
        >>> with behind(done.append, most=1) as put:
        ...     for letter in "abc":
        ...         put(letter)
        >>> done
        ['a', 'b', 'c']
    """
    waiting: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=most)
    errors: list[BaseException] = []

    def serve() -> None:
        while True:
            kind, item = waiting.get()
            if kind == "end":
                return
            if errors:
                continue
            try:
                work(item)
            except BaseException as error:
                errors.append(error)

    def put(item: T) -> None:
        if errors:
            raise errors[0]
        waiting.put(("item", item))

    thread = threading.Thread(target=serve, name="writing behind", daemon=True)
    thread.start()
    try:
        yield put
    finally:
        waiting.put(("end", None))
        thread.join()
    if errors:
        raise errors[0]


def _drain(made: "queue.Queue[Any]") -> None:
    try:
        while True:
            made.get_nowait()
    except queue.Empty:
        pass
