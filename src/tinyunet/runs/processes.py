"""Several processes that train one network: how they find each other, and what one tells the others.

All do the same in the same order. Process 0 alone decides what depends on time or on the machine, and alone writes.
"""

import dataclasses
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree

from tinyunet.data.examination import Examination
from tinyunet.errors import ConfigError, DataError
from tinyunet.runs.abort import on_abort
from tinyunet.runs.config import Config, config_from_dict, config_to_dict

HEARTBEAT_SECONDS = 50
"""After so long without a sign of life JAX itself ends all processes; `tinyunet.runs.companions` is to come before."""

START_SECONDS = 300
"""How long processes wait for each other at the start."""

AUTO = "auto"
"""In place of an address: as JAX finds out."""

_LAUNCHERS = (("SLURM_STEP_NODELIST", "SLURM_NTASKS"), ("OMPI_MCA_orte_hnp_uri", "OMPI_COMM_WORLD_SIZE"))
"""What the environment holds in a process that was started as one of several: a sign of it, and how many they are."""


def launched_together() -> bool:
    """Whether SLURM's `srun` or Open MPI's `mpirun` started this process as one of several."""
    return any(sign in os.environ and int(os.environ.get(count, "1")) > 1 for sign, count in _LAUNCHERS)


def join(coordinator: str | None, process: str | None) -> None:
    """Makes this process one of several, if it is to be; before anything asks JAX for devices.

    Args:
        coordinator: `HOST:PORT` of process 0; `auto`: as JAX finds out, from SLURM, Open MPI, Kubernetes or a TPU;
            None: alone, unless `launched_together`.
        process: `I/N`: this is process I of N; only with an address.

    Raises:
        ConfigError: Values that cannot be used, or the others do not answer.

    Example:
        >>> join("node1:1234", "2/2")
        Traceback (most recent call last):
        ...
        tinyunet.errors.ConfigError: `--process` must be I/N with I from 0 to N - 1, such as 0/2, got '2/2'.
    """
    if coordinator is None and process is None and not launched_together():
        return
    place: dict[str, Any] = {}
    if coordinator not in (None, AUTO) or process is not None:
        place = _place(coordinator, process)
    # Else a signal to stop, which is ours to answer, would be JAX's.
    jax.config.update("jax_enable_preemption_service", False)
    who = f"Process {process} cannot join the others at {coordinator}" if place else "The processes cannot join"
    advice = (
        f"Start all within {START_SECONDS} s, each with the address of process 0, whose port must be free and open."
    )
    # Where the others do not answer, JAX aborts with pages of its own, which say less.
    with _silenced(1, *([2] if place else [])) as kept:
        restore = on_abort(partial(_give_up, kept[-1] if place else 2, f"{who}: they do not answer. {advice}"))
        try:
            jax.distributed.initialize(
                **place, heartbeat_timeout_seconds=HEARTBEAT_SECONDS, initialization_timeout=START_SECONDS
            )
            multihost_utils.sync_global_devices("joined")  # when it first connects, gloo writes to stdout
        except (RuntimeError, ValueError, OSError) as error:
            reason = str(error).partition("\n")[0].rstrip(" .:") or type(error).__name__
            raise ConfigError(f"{who}: {reason}. {advice}") from error
        finally:
            restore()


@contextmanager
def _silenced(*descriptors: int) -> Iterator[list[int]]:
    """Sends what libraries write to these descriptors to nowhere; gives copies that still lead where they did."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in descriptors]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    try:
        yield kept
    finally:
        for descriptor, copy in zip(descriptors, kept, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(nowhere)


def _give_up(descriptor: int, text: str) -> None:
    os.write(descriptor, f"error: {text}\n".encode())
    os._exit(2)


def _place(coordinator: str | None, process: str | None) -> dict[str, Any]:
    """The arguments of JAX for an address and a place."""
    if coordinator in (None, AUTO) or process is None:
        raise ConfigError(
            "`--coordinator HOST:PORT` and `--process I/N` belong together: give both, or `--coordinator auto` alone."
        )
    assert coordinator is not None
    if not re.fullmatch(r"\S+:\d{1,5}", coordinator):
        raise ConfigError(f"`--coordinator` must be HOST:PORT, such as node1:12345, got {coordinator!r}.")
    match = re.fullmatch(r"(\d+)/(\d+)", process)
    if match is None or not int(match[1]) < int(match[2]):
        raise ConfigError(f"`--process` must be I/N with I from 0 to N - 1, such as 0/2, got {process!r}.")
    return {"coordinator_address": coordinator, "process_id": int(match[1]), "num_processes": int(match[2])}


def is_main() -> bool:
    """Whether this is process 0, which alone writes and speaks.

    Example:
        >>> is_main()
        True
    """
    return jax.process_index() == 0


def tell(value: Any) -> Any:
    """What process 0 has, in all of them.

    Args:
        value: Anything JSON holds; that of the other processes is not looked at.

    Example:
        >>> tell({"steps": 7})
        {'steps': 7}
    """
    if jax.process_count() == 1:
        return value
    text = np.frombuffer(json.dumps(value).encode() if is_main() else b"", np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(text.size)))
    told = multihost_utils.broadcast_one_to_all(text if is_main() else np.zeros(size, np.uint8))
    return json.loads(np.asarray(told).tobytes())


def tell_arrays(tree: PyTree) -> PyTree:
    """The arrays that process 0 has, in all of them, whose own have the same structure, shapes and types."""
    return tree if jax.process_count() == 1 else multihost_utils.broadcast_one_to_all(tree)


def agreed(resolved: Config, examination: Examination) -> tuple[Config, Examination]:
    """What process 0 has planned, for all processes, which must have the same data before them.

    Raises:
        DataError: They have not.
    """
    told = tell({"config": config_to_dict(resolved), "digest": examination.fingerprint.digest})
    if is_main():
        return resolved, examination
    if told["digest"] != examination.fingerprint.digest:
        raise DataError(
            f"{resolved.data.folder} holds other data for process {jax.process_index()} than for process 0: every "
            "process must see the same images and masks."
        )
    config = config_from_dict(told["config"], where="The configuration of process 0")
    data = dataclasses.replace(config.data, folder=resolved.data.folder)
    return dataclasses.replace(config, data=data), examination


class Wishes:
    """What any of the processes wants, known to all of them when all have been asked once more.

    So they agree after which step to stop, although a signal reaches each at another moment; and none waits for an
    answer. A single process has its wish at once.

    Example:
        >>> Wishes()(False, True)
        (False, True)
    """

    def __init__(self) -> None:
        self._asked: Array | None = None
        mesh = Mesh(np.array(jax.devices()), ("all",))
        self._each = NamedSharding(mesh, PartitionSpec("all"))
        self._any = jax.jit(lambda wishes: wishes.max(0), out_shardings=NamedSharding(mesh, PartitionSpec()))

    def __call__(self, *wishes: bool) -> tuple[bool, ...]:
        """Takes part with wishes of this process; all must, equally often, with equally many."""
        if jax.process_count() == 1:
            return wishes
        mine = np.tile(np.array(wishes, np.int32), (jax.local_device_count(), 1))
        before, self._asked = self._asked, self._any(jax.make_array_from_process_local_data(self._each, mine))
        return (False,) * len(wishes) if before is None else tuple(bool(any_) for any_ in np.asarray(before))
