"""Peers in processes of their own, asked in turn: no library's threads or memory get in the way of another's."""

import multiprocessing
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType

from benchmarks.measure import Call, Spread, calls_per_turn, peak_bytes, time_call, turns


@dataclass(frozen=True)
class Work:
    """What a peer offers.

    Args:
        parameters: Trainable numbers, which must be the same for all peers.
        calls: What can be timed, by name.
    """

    parameters: int
    calls: Mapping[str, Call]


Make = Callable[[], Work]
"""Builds the work inside the peer's own process; it must pickle: a function of a module, or a partial of one."""


@dataclass(frozen=True)
class Measured:
    """What was found out about one peer.

    Args:
        parameters: Trainable numbers.
        first_seconds: Of the first call of each kind, which compiles.
        seconds: Of the calls in turn.
        peak_bytes: Largest resident memory of its process up to the end of each kind.
    """

    parameters: int
    first_seconds: dict[str, float]
    seconds: dict[str, Spread]
    peak_bytes: dict[str, int]


@dataclass
class Peer:
    """A process that makes its work once and then runs what it is asked to; a context that ends the process.

    Args:
        name: For messages.
        make: Builds the work.
    """

    name: str
    make: Make
    parameters: int = 0
    kinds: tuple[str, ...] = ()
    _process: multiprocessing.Process = field(init=False)
    _connection: Connection = field(init=False)

    def __enter__(self) -> "Peer":
        # Spawned, not forked: a fork would share threads that JAX or torch have started.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self.make, theirs), daemon=True)
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self.parameters, self.kinds = self._receive()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.is_alive():
            self._connection.send(None)
            self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()
        self._process.close()
        self._connection.close()

    def run(self, kind: str, *, calls: int = 1) -> tuple[float, int]:
        """Seconds of one call, as the mean of `calls`, and the bytes of the process at its largest."""
        self._connection.send((kind, calls))
        return self._receive()

    def _receive(self) -> tuple:
        try:
            return self._connection.recv()
        except EOFError:
            raise RuntimeError(f"The process of {self.name} ended; its own message stands above.") from None


def _serve(make: Make, connection: Connection) -> None:
    """The peer's side."""
    work = make()
    connection.send((work.parameters, tuple(work.calls)))
    for kind, calls in iter(connection.recv, None):
        seconds = time_call(work.calls[kind], calls=calls)
        connection.send((seconds, peak_bytes()))


def compare(peers: Mapping[str, Make], *, rounds: int, turn_seconds: float) -> dict[str, Measured]:
    """Times every kind of work of every peer in turn.

    Args:
        peers: How to make each one's work, by name; all offer the same kinds.
        rounds: Measurements of each kind and peer.
        turn_seconds: How long a peer works in a turn; short calls are repeated to fill it.

    Raises:
        RuntimeError: A peer's process died, or the peers' networks differ in the number of parameters.
    """
    with ExitStack() as stack:
        running = {name: stack.enter_context(Peer(name, make)) for name, make in peers.items()}
        parameters = {name: peer.parameters for name, peer in running.items()}
        if len(set(parameters.values())) > 1:
            raise RuntimeError(f"Peers must have the same number of parameters, got {parameters}.")
        first: dict[str, dict[str, float]] = {name: {} for name in peers}
        seconds: dict[str, dict[str, Spread]] = {name: {} for name in peers}
        peak: dict[str, dict[str, int]] = {name: {} for name in peers}
        for kind in next(iter(running.values())).kinds:
            counts, values = {}, {name: [] for name in peers}
            for name, peer in running.items():
                first[name][kind], _ = peer.run(kind)
                counts[name] = calls_per_turn(peer.run(kind)[0], turn_seconds=turn_seconds)
            for name in turns(list(peers), rounds=rounds):
                taken, peak[name][kind] = running[name].run(kind, calls=counts[name])
                values[name].append(taken)
                time.sleep(0.01)  # threads that spin for more work go to sleep before the next peer's turn
            for name in peers:
                seconds[name][kind] = Spread(tuple(values[name]))
        return {name: Measured(parameters[name], first[name], seconds[name], peak[name]) for name in peers}
