"""What a worker of Dask does: it is sent the network once, and computes bands of images that it opens itself."""

import dataclasses
import pickle
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distributed import Worker, WorkerPlugin, get_worker

# Dask's scheduler imports this module too, and has no use for JAX: what is heavy is imported where it is used, and what
# is sent is held as bytes until then.
if TYPE_CHECKING:
    from tinyunet.runs.bandwork import BandWork, Computed
    from tinyunet.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class Order:
    """An image's work, as it is sent.

    Attributes:
        work: What is computed; its image has an absolute path.
        size: Bytes of the image's file, by which a worker knows that it sees the same; None of a folder.
        computed_by: What the bits depend on, where the command was given; see `tinyunet.runs.bandwork.computed_by`.
        runtime: What computes, as it was chosen there.
    """

    work: "BandWork"
    size: int | None
    computed_by: list[str]
    runtime: str


class Network(WorkerPlugin):
    """A trained network, which Dask sends to every worker that there is or that comes, once.

    Args:
        run: The trained network.
        cache: Whether compiled programs are kept in the user's cache folder.
    """

    def __init__(self, run: "Run", *, cache: bool):
        import jax

        # in NumPy arrays, and a copy, which holds nothing that has been compiled
        sent = dataclasses.replace(run, variables=jax.device_get(run.variables), others=jax.device_get(run.others))
        self._content = pickle.dumps(sent)
        self._cache = cache

    def setup(self, worker: Worker) -> None:
        """Prepares for tasks, which may come several at once; called by Dask."""
        self._lock = threading.Lock()
        self._run: Run | None = None

    def run(self) -> "Run":
        """The network, which keeps what has been compiled of it."""
        with self._lock:
            if self._run is None:
                from tinyunet.runs.cache import use_compilation_cache

                if self._cache:
                    use_compilation_cache()
                run: Run = pickle.loads(self._content)
                _ = run.forward  # built by one task, for all
                self._run = run
            return self._run


def compute(network: str, order: bytes, bands: bytes) -> Any:
    """A task: computes some bands, with all tiles that reach into them.

    Args:
        network: The name under which Dask holds the `Network`.
        order: An `Order`, pickled.
        bands: Bands that follow one another, pickled.

    Returns:
        A list of `Computed`; what is wrong with the image, the file system or the worker as a `TinyUNetError`, since an
        exception would be written into the log of the worker too.
    """
    from tinyunet.errors import TinyUNetError

    worker = get_worker()
    plugin = worker.plugins[network]
    assert isinstance(plugin, Network)
    try:
        return carry_out(plugin.run(), pickle.loads(order), pickle.loads(bands), where=worker.address)
    except TinyUNetError as error:
        return error


def carry_out(run: "Run", order: Order, bands: list[Any], *, where: str) -> "list[Computed]":
    """Computes bands.

    Args:
        run: The trained network.
        order: The work.
        bands: Bands that follow one another.
        where: The worker, for messages.

    Raises:
        ConfigError: The worker would compute other bits.
        DataError: The worker does not see the image, or the image cannot be read.
    """
    from tinyunet.data.lazy import open_lazily
    from tinyunet.data.readers import shown
    from tinyunet.errors import ConfigError, DataError
    from tinyunet.runs.bandwork import compute_bands, computed_by

    here = computed_by(run)
    if here != order.computed_by:
        raise ConfigError(
            f"The worker {where} computes by {', '.join(here)}, and this process by {', '.join(order.computed_by)}, "
            "whose bits may differ: install the same on both, or take machines of one kind."
        )
    source = order.work.source
    if not source.exists():
        raise DataError(
            f"The worker {where} does not see {shown(source)}: workers read images themselves, so put it where all of "
            "them see it under that path."
        )
    if order.size is not None and source.stat().st_size != order.size:
        raise DataError(
            f"The worker {where} sees another file at {shown(source)}: put the image where all workers see the same."
        )
    with open_lazily(source, axes=run.config.data.axes, on_error=order.work.on_error) as image:
        assert image is not None  # as the client has opened it
        run.engine.take(order.runtime, dimensions=run.dimensions)
        return list(compute_bands(run, image, order.work, bands))
