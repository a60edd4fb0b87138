"""Where a training runs: its batches divided over devices, its state on each of them.

Every device computes its part of a batch, and the sums over all of it, those of the loss, of batch normalisation and of
the gradient, go through all devices. So a step is that of the whole batch on one device, to the rounding of sums; which
samples it sees does not depend on the devices at all.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, PyTree, Shaped

from tinyunet.arrays import PRNGKey
from tinyunet.errors import ConfigError
from tinyunet.layers.compiling import compiler_options
from tinyunet.layers.paths import divided_over, for_this_processor
from tinyunet.training.state import TrainState
from tinyunet.training.step import Batch, Step


class Placement:
    """The devices that share a training, of this process and of all others.

    Args:
        devices: At least one; each takes an equal part of a batch, in the order of their processes.

    Example:
        >>> Placement(jax.devices()[:1]).rows(4)
        range(0, 4)
    """

    def __init__(self, devices: Sequence[jax.Device]):
        self.devices = tuple(sorted(devices, key=lambda device: (device.process_index, device.id)))
        self._mesh = Mesh(np.array(self.devices), ("batch",))
        self._divided = NamedSharding(self._mesh, PartitionSpec("batch"))
        self._whole = NamedSharding(self._mesh, PartitionSpec())

    @property
    def alone(self) -> bool:
        """Whether it is one device, for which nothing is divided."""
        return len(self.devices) == 1

    def check(self, batch: int) -> None:
        """Refuses a batch that the devices cannot share equally.

        Raises:
            ConfigError: It does not divide; names the nearest that do.

        Example:
            >>> Placement(jax.devices()[:1]).check(3)
        """
        count = len(self.devices)
        if batch % count == 0:
            return
        below, above = batch // count * count, -(-batch // count) * count
        nearest = " or ".join(f"--set batches.batch={size}" for size in (below, above) if size)
        raise ConfigError(
            f"A batch of {batch} cannot be shared equally by {count} devices: take {nearest}, or fewer devices of each "
            "process by --devices."
        )

    def rows(self, batch: int) -> range:
        """Which samples of a batch this process makes."""
        share = batch // len(self.devices)
        mine = [place for place, device in enumerate(self.devices) if device.process_index == jax.process_index()]
        return range(mine[0] * share, (mine[-1] + 1) * share)

    def everywhere(self, tree: PyTree) -> PyTree:
        """The same arrays, equal in all processes, on every device."""
        if self.alone:
            return tree
        return jax.tree.map(lambda a: jax.make_array_from_process_local_data(self._whole, np.asarray(a)), tree)

    def here(self, tree: PyTree) -> PyTree:
        """Arrays that are on every device, as they are on the first of this process; nothing is copied."""
        return tree if self.alone else jax.tree.map(lambda a: a.addressable_data(0), tree)

    def divided(self, rows: Shaped[np.ndarray, "b *rest"]) -> Shaped[Array, "n *rest"]:
        """An array over all devices, of the rows that each process has of it."""
        return jax.make_array_from_process_local_data(self._divided, rows)

    def compile(self, step: Step) -> Step:
        """A step that takes its state and gives it back on every device, and this process's samples of a batch.

        The memory of the state it is given is taken over.
        """
        platform = self.devices[0].platform

        def traced(*arguments: Any) -> tuple[TrainState, Float[Array, ""]]:
            with ExitStack() as context:
                if platform == "cpu":
                    context.enter_context(for_this_processor())
                if not self.alone:
                    context.enter_context(divided_over(self._mesh))
                return step(*arguments)

        options: Any = {"donate_argnums": 0, "compiler_options": compiler_options(platform)}
        if self.alone:
            return jax.jit(traced, **options)
        compiled = jax.jit(traced, out_shardings=self._whole, **options)

        def shared(
            state: TrainState, batch: Batch, root: PRNGKey, rate: Float[Array, ""]
        ) -> tuple[TrainState, Float[Array, ""]]:
            return compiled(state, jax.tree.map(self.divided, batch), np.asarray(root), np.asarray(rate))

        return shared


def placement(devices: int | None = None) -> Placement:
    """On all devices, or on so many of each process.

    Raises:
        ConfigError: There are not so many.

    Example:
        >>> len(placement(1).devices)
        1
    """
    have = jax.local_device_count()
    if devices is not None and not 1 <= devices <= have:
        raise ConfigError(f"`devices` must be from 1 to the {have} that JAX finds here, got {devices}.")
    groups = (jax.local_devices(process_index=process) for process in range(jax.process_count()))
    return Placement([device for group in groups for device in group[:devices]])
