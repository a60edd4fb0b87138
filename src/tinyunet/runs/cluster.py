"""Predicting by many processes and machines: bands of an image as tasks of Dask."""

import asyncio
import contextlib
import dataclasses
import logging
import math
import pickle
import re
import sys
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from distributed import Client, Future, KilledWorker, LocalCluster, as_completed, rpc

from tinyunet.data.readers import shown
from tinyunet.errors import ConfigError, DataError, TinyUNetError
from tinyunet.prediction.bands import Band, Stitcher
from tinyunet.prediction.predict import Progress
from tinyunet.runs import worker
from tinyunet.runs.bandwork import BandWork, Computed, choose_engine, computed_by, without_gaps
from tinyunet.runs.machine import cores, installed_memory
from tinyunet.runs.run import Run

LOCAL = "local"
"""Asks for workers on this machine."""

ANSWER_SECONDS = 10
"""So long a scheduler may take to answer."""

WORKER_BYTES = 2**31
"""On this machine there is one worker for each core, and no more than one for so many bytes of memory."""

TASKS_PER_THREAD = 2
"""So many tasks are out at a time: a worker has its next one while the result of the last waits to be fetched."""

MOST_BANDS = 8
"""Bands of a task at most: so many are computed again where a worker is lost."""

MOST_AGAIN = 1 / 4
"""Of the tiles of a task, about so many at most are computed for another task too, where `MOST_BANDS` allow it."""

TASK_BYTES = 2**26
"""The result of a task of several bands takes no more."""


class Cluster:
    """Workers of Dask that have a network; see `open_cluster`.

    Args:
        client: Connected to their scheduler.
        run: The trained network.
        where: The scheduler, for messages.
        network: The name under which the workers hold the network.
    """

    def __init__(self, client: Client, run: Run, *, where: str, network: str):
        self.client, self._run, self._where, self._network = client, run, where, network

    def compute(
        self, work: BandWork, bands: Sequence[Band], progress: Progress | None = None
    ) -> Generator[Computed, None, None]:
        """Computes bands on the workers: a `tinyunet.runs.bandwork.Compute`.

        No task waits for another: each computes all tiles that reach into its bands. One whose worker is lost is given
        to another worker. Memory here holds the result of one task.

        Args:
            work: What is computed of the image.
            bands: Any of `plan_bands`, in ascending order.
            progress: Called with the tiles done and the tiles in all.

        Raises:
            ConfigError: The scheduler is lost, or a worker would compute other bits.
            DataError: The image cannot be read here or by a worker, or workers die of it again and again.
        """
        order = pickle.dumps(_order(work, self._run))
        waiting = deque(cut_tasks(work, bands, threads=self._threads()))
        tiles = {task[0].number: Stitcher(work.grid, task, work.region).tiles for task in waiting}
        done, total = 0, sum(tiles.values())
        running: dict[Future, list[Band]] = {}
        finished = as_completed(loop=self.client.loop)
        try:
            while waiting or running:
                with self._lost_in_words(work):
                    while waiting and len(running) < max(1, TASKS_PER_THREAD * self._threads()):
                        task = waiting.popleft()
                        future = self.client.submit(
                            worker.compute, self._network, order, pickle.dumps(task), pure=False
                        )
                        running[future] = task
                        finished.add(future)
                    future = next(finished)
                task = running.pop(future)
                yield from self._result(future, work, task)
                done += tiles[task[0].number]
                if progress is not None:
                    progress(done, total)
        finally:
            with contextlib.suppress(Exception):  # of a scheduler that is lost
                self.client.cancel(list(running))

    def _threads(self) -> int:
        """Tasks that the workers can compute at a time, of those that are there now."""
        return sum(self.client.nthreads().values())

    def _result(self, future: Future, work: BandWork, task: list[Band]) -> list[Computed]:
        """What a task has given."""
        source = shown(work.source)
        with self._lost_in_words(work, future):
            try:
                result: Any = future.result()
            except KilledWorker as error:
                raise DataError(
                    f"{source} cannot be predicted by {self._where}: {error.allowed_failures + 1} workers died of rows "
                    f"{task[0].start} to {task[-1].stop - 1}, the last at {error.last_worker.address}, most likely for "
                    "want of memory; give each more of it, or fewer threads."
                ) from error
        if isinstance(result, TinyUNetError):  # of the same text as without workers
            text = str(result).replace(shown(work.source.absolute()), source)
            raise type(result)(text) from None
        return result

    @contextlib.contextmanager
    def _lost_in_words(self, work: BandWork, future: Future | None = None) -> Iterator[None]:
        """Says in one line that the scheduler is lost; what fails in a task itself is raised as it is."""
        try:
            yield
        except Exception as error:
            if isinstance(error, TinyUNetError) or (future is not None and future.status == "error"):
                raise
            raise ConfigError(
                f"The scheduler {self._where} was lost while {shown(work.source)} was predicted; what is done of it is "
                f"kept: give the same command again. ({_line(error)})"
            ) from error


@contextlib.contextmanager
def open_cluster(
    where: str, run: Run, *, workers: int | None = None, cache: bool = False, quiet: bool = False
) -> Iterator[Cluster]:
    """Workers that are sent a network, those that come later too.

    The address of their dashboard goes to stderr.

    Args:
        where: `local` starts workers on this machine, which end with the context; `tcp://HOST:PORT` is the scheduler of
            workers that exist.
        run: The trained network.
        workers: How many workers `local` starts; None for as many as there are cores, and memory for.
        cache: Let workers keep compiled programs in the user's cache folder.
        quiet: Say nothing.

    Raises:
        ConfigError: The scheduler does not answer, or has another tinyunet or none.
    """
    if where != LOCAL and not re.fullmatch(r"tcp://([\w.-]+|\[[\da-fA-F:]+\]):\d{1,5}", where):
        raise ConfigError(f"`--dask` must be local or tcp://HOST:PORT, got {where!r}.")
    with contextlib.ExitStack() as stack:
        stack.enter_context(_only_errors_logged())
        address = where
        if where == LOCAL:
            local = LocalCluster(
                n_workers=workers or max(1, min(cores(), installed_memory() // WORKER_BYTES)),
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                memory_limit=None,  # Dask would count what is mapped of a file
                silence_logs=logging.ERROR,
            )
            address = stack.enter_context(local).scheduler_address
        try:
            asyncio.run(_ask(address))
            client = stack.enter_context(Client(address, timeout=ANSWER_SECONDS, set_as_default=False))
        except (OSError, ValueError) as error:  # a TimeoutError is an OSError
            raise ConfigError(
                f"No scheduler of Dask answers at {address}: start one by `dask scheduler`, or correct the address. "
                f"({_line(error)})"
            ) from error
        network = f"tinyunet-{client.id}"
        plugin = worker.Network(run, cache=cache)
        try:
            client.run_on_scheduler(callable, worker.compute)  # which loads what tasks are made of
            client.register_plugin(plugin, name=network)
        except Exception as error:  # Dask raises what was raised there, or its text as an Exception
            raise ConfigError(
                f"{where} cannot load tinyunet: install tinyunet[dask], in the version of this command, for the "
                f"scheduler and for every worker. ({_line(error)})"
            ) from error
        if not quiet:
            print(f"Dask: {client.dashboard_link}", file=sys.stderr, flush=True)
            if not client.nthreads():
                print(f"{where} has no workers yet; waiting for them.", file=sys.stderr, flush=True)
        try:
            yield Cluster(client, run, where=where, network=network)
        finally:
            with contextlib.suppress(Exception):  # of a scheduler that is lost
                client.unregister_worker_plugin(network)


async def _ask(address: str) -> None:
    """Waits for a sign of life, which `Client` would do without end where something else has the port."""
    async with asyncio.timeout(ANSWER_SECONDS), rpc(address, timeout=ANSWER_SECONDS) as scheduler:
        await scheduler.identity()


def cut_tasks(work: BandWork, bands: Sequence[Band], *, threads: int) -> Iterator[list[Band]]:
    """The bands of each task.

    A batch of tiles that two tasks meet is computed by both, and so is a row of tiles that blends into both. So a task
    has several bands where they are narrow or blend, but not so many that a worker would have nothing to do.

    Args:
        work: What is computed.
        bands: Any of `plan_bands`, in ascending order.
        threads: Tasks that can be computed at a time; 0 if that is not known.
    """
    grid = work.grid
    row = Stitcher(grid, bands[:1], work.region).tiles / (bands[0].last - bands[0].first + 1)
    again = (grid.batch - 1) / row + grid.blend
    enough = math.ceil(again / MOST_AGAIN)
    fair = math.ceil(len(bands) / (TASKS_PER_THREAD * threads)) if threads else MOST_BANDS
    across = math.prod(part.stop - part.start for part in work.region[1:])
    light = TASK_BYTES // (4 * across * max(band.stop - band.start for band in bands))
    size = max(1, min(enough, fair, light, MOST_BANDS))
    for group in without_gaps(bands):
        for start in range(0, len(group), size):
            yield group[start : start + size]


def _order(work: BandWork, run: Run) -> worker.Order:
    """Work as it is sent: by a path that does not depend on where a worker was started."""
    source = work.source
    return worker.Order(
        work=dataclasses.replace(work, source=source.absolute()),
        size=source.stat().st_size if source.is_file() else None,
        computed_by=computed_by(run),
        runtime=choose_engine(run, work),
    )


@contextlib.contextmanager
def _only_errors_logged() -> Iterator[None]:
    """Keeps off stderr what Dask tells of workers that come and go, and what the client raises as an error besides."""
    levels = {"distributed": logging.ERROR, "distributed.client": logging.CRITICAL + 1}
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _line(error: BaseException) -> str:
    """An error of Dask in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
