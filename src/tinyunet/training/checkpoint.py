"""Checkpoints in a run folder: the last state, and the best weights."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jaxtyping import PyTree

from tinyunet.errors import CheckpointError


class Checkpoints:
    """Two places below `folder`: `last` holds the newest state to go on from, `best` the best weights so far.

    A checkpoint is complete or absent: orbax writes it under a temporary name and renames it. The one before is
    removed only then. Of several processes, process 0 alone has checkpoints.

    Args:
        folder: The run's `checkpoints` folder; made if it is not there.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        options = ocp.CheckpointManagerOptions(max_to_keep=1, create=True, enable_async_checkpointing=False)
        self._several = jax.process_count() > 1
        if self._several:  # orbax would wait for the others, and does not make folders for itself alone
            for kind in ("last", "best"):
                (folder / kind).mkdir(parents=True, exist_ok=True)
            alone = ocp.options.MultiprocessingOptions(
                primary_host=0, active_processes={0}, barrier_sync_key_prefix="0"
            )
            options = dataclasses.replace(options, create=False, multiprocessing_options=alone)
        self._managers = {
            kind: ocp.CheckpointManager(epath.Path((folder / kind).absolute()), options=options)
            for kind in ("last", "best")
        }

    def save(self, kind: str, step: int, tree: PyTree, facts: Mapping[str, Any]) -> None:
        """Saves a tree of arrays and a few plain facts as the checkpoint of a step.

        Args:
            kind: `last` or `best`.
            step: Number of steps done.
            tree: Arrays.
            facts: Anything JSON holds.

        Raises:
            CheckpointError: It cannot be written; the one before is still there.
        """
        manager = self._managers[kind]
        if manager.latest_step() == step:  # a resumed training comes by again
            return
        arguments = ocp.args.Composite(
            state=ocp.args.StandardSave(self._plain(tree)), facts=ocp.args.JsonSave(dict(facts))
        )
        try:
            manager.save(step, args=arguments, force=True)
            manager.wait_until_finished()
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"The checkpoint of step {step} cannot be written to {self.folder / kind}: {_reason(error)}. "
                "The one before is kept; make room and resume."
            ) from error

    def restore(self, kind: str, like: PyTree) -> tuple[PyTree, dict[str, Any]] | None:
        """The newest checkpoint of a kind, or None where there is none.

        Args:
            kind: `last` or `best`.
            like: A tree of arrays of the same structure, shapes and types.

        Raises:
            CheckpointError: It is damaged, or of another network.
        """
        manager = self._managers[kind]
        step = manager.latest_step()
        if step is None:
            return None
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, self._plain(like))
        arguments = ocp.args.Composite(state=ocp.args.StandardRestore(abstract), facts=ocp.args.JsonRestore())
        try:
            found = manager.restore(step, args=arguments)
        except Exception as error:  # orbax and tensorstore raise many kinds on damaged files
            raise CheckpointError(
                f"The checkpoint {self.folder / kind / str(step)} cannot be read: {_reason(error)}. "
                "Remove that folder to start again from the beginning."
            ) from error
        return found["state"], found["facts"]

    def _plain(self, tree: PyTree) -> PyTree:
        """Arrays as orbax takes them: those of one device among several processes it does not."""
        return jax.tree.map(np.asarray, tree) if self._several else tree

    def close(self) -> None:
        """Ends orbax's threads."""
        for manager in self._managers.values():
            manager.close()


def _reason(error: Exception) -> str:
    """The first line of an error, which may have many or none."""
    return str(error).partition("\n")[0].rstrip(" .:") or type(error).__name__
