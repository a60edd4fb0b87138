"""Peers in processes of their own, asked in turn: no library's threads or memory get in the way of another's."""

import multiprocessing
import os
import pickle
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType

from benchmarks.measure import Call, Spread, calls_per_turn, nothing, peak_bytes, time_call, turns


@dataclass(frozen=True)
class Work:
    """What a peer offers.

    Args:
        parameters: Trainable numbers, which must be the same for all peers.
        calls: What can be timed, by name.
        wait: Ends what calls have only begun: a graphics card works while the next step is sent to it.
        memory: The largest there has been, in bytes: of the process, or of the card.
    """

    parameters: int
    calls: Mapping[str, Call]
    wait: Call = nothing
    memory: Callable[[], int] = peak_bytes


class JaxCalls:
    """Calls of JAX; a processor's wait for their results, a graphics card's are waited for together.

    Args:
        card: Whether it is a graphics card.
    """

    def __init__(self, *, card: bool):
        self._card = card
        self._last: object = None

    def call(self, function: Callable[..., object], *arguments: object) -> Call:
        """A compiled function of arguments that are on the device."""

        def begin() -> object:
            self._last = None  # its memory is free for the next result, as another library's is
            self._last = function(*arguments)
            if not self._card:
                self.wait()
            return self._last

        return begin

    def wait(self) -> None:
        """For what was begun last; a device works in order."""
        import jax

        jax.block_until_ready(self._last)


Make = Callable[[], Work]
"""Builds the work inside the peer's own process; it must pickle: a function of a module, or a partial of one."""


@dataclass(frozen=True)
class Conditions:
    """What holds in a peer's process before any library is loaded.

    Args:
        memory_kept: See `tinyunet.runs.machine.keep_memory`.
        environment: Variables set over those of this process.
    """

    memory_kept: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


SHARED_CARD = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
"""Set for every peer: JAX leaves the memory of a graphics card to the others."""


@dataclass(frozen=True)
class Measured:
    """What was found out about one peer.

    Args:
        parameters: Trainable numbers.
        first_seconds: Of the first call of each kind, which compiles.
        seconds: Of the calls in turn.
        peak_bytes: Largest memory up to the end of each kind, as `Work` tells it.
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
        conditions: How the process begins.
    """

    name: str
    make: Make
    conditions: Conditions = Conditions()
    parameters: int = 0
    kinds: tuple[str, ...] = ()
    _process: multiprocessing.Process = field(init=False)
    _connection: Connection = field(init=False)

    def __enter__(self) -> "Peer":
        # Spawned, not forked: a fork would share threads that JAX or torch have started.
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        made = pickle.dumps(self.make)  # to be unpickled, which loads libraries, when the conditions hold
        self._process = context.Process(target=_serve, args=(made, self.conditions, theirs), daemon=True)
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
        """Seconds of one call, as the mean of `calls`, and the largest memory so far in bytes."""
        self._connection.send((kind, calls))
        return self._receive()

    def _receive(self) -> tuple:
        try:
            return self._connection.recv()
        except EOFError:
            raise RuntimeError(f"The process of {self.name} ended; its own message stands above.") from None


def _serve(made: bytes, conditions: Conditions, connection: Connection) -> None:
    """The peer's side."""
    os.environ.update(SHARED_CARD | conditions.environment)
    compiled: Callable[[], object] = nothing
    if conditions.memory_kept:
        from tinyunet.runs.machine import keep_memory, set_pieces_aside

        keep_memory()
        compiled = set_pieces_aside  # as a training does once its step is compiled
    make: Make = pickle.loads(made)
    work = make()
    connection.send((work.parameters, tuple(work.calls)))
    called: set[str] = set()
    for kind, calls in iter(connection.recv, None):
        seconds = time_call(work.calls[kind], calls=calls, wait=work.wait)
        if kind not in called:
            called.add(kind)
            compiled()
        connection.send((seconds, work.memory()))


def compare(
    peers: Mapping[str, Make],
    *,
    rounds: int,
    turn_seconds: float,
    conditions: Mapping[str, Conditions] | None = None,
) -> dict[str, Measured]:
    """Times every kind of work in turn, of every peer that offers it.

    The first calls, which compile and may take minutes, are told on stderr.

    Args:
        peers: How to make each one's work, by name.
        rounds: Measurements of each kind and peer.
        turn_seconds: How long a peer works in a turn; short calls are repeated to fill it.
        conditions: How a peer's process begins, by name; the ordinary way for those that are not named.

    Raises:
        RuntimeError: A peer's process died, or the peers' networks differ in the number of parameters.
    """
    begin = conditions or {}
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(Peer(name, make, begin.get(name, Conditions()))) for name, make in peers.items()
        }
        parameters = {name: peer.parameters for name, peer in running.items()}
        if len(set(parameters.values())) > 1:
            raise RuntimeError(f"Peers must have the same number of parameters, got {parameters}.")
        first: dict[str, dict[str, float]] = {name: {} for name in peers}
        seconds: dict[str, dict[str, Spread]] = {name: {} for name in peers}
        peak: dict[str, dict[str, int]] = {name: {} for name in peers}
        for kind in dict.fromkeys(kind for peer in running.values() for kind in peer.kinds):
            able = [name for name, peer in running.items() if kind in peer.kinds]
            counts, values = {}, {name: [] for name in able}
            for name in able:
                first[name][kind], _ = running[name].run(kind)
                print(f"{name}: first {kind} after {first[name][kind]:.1f} s", file=sys.stderr, flush=True)
                counts[name] = calls_per_turn(running[name].run(kind)[0], turn_seconds=turn_seconds)
            for name in turns(able, rounds=rounds):
                taken, peak[name][kind] = running[name].run(kind, calls=counts[name])
                values[name].append(taken)
                time.sleep(0.01)  # threads that spin for more work go to sleep before the next peer's turn
            for name in able:
                seconds[name][kind] = Spread(tuple(values[name]))
        return {name: Measured(parameters[name], first[name], seconds[name], peak[name]) for name in peers}
