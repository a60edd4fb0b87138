"""What computes a network's probabilities: the fastest that is installed, once it has been seen to agree with XLA."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32

from tinyunet.errors import ConfigError, suggest
from tinyunet.layers.native import instruction_set
from tinyunet.models.segmenter import Segmenter
from tinyunet.runs.build import Probabilities, build_probabilities
from tinyunet.training.state import Variables

RUNTIMES = ("auto", "native", "jax")
"""`native`: the kernels of the package tinyunet-native; `jax`: XLA alone; `auto`: the first, if the two agree."""

LIMIT = 1e-4
"""How far probabilities of two engines may lie apart."""


@dataclass
class Engine:
    """A network, or the mean of several, ready to be called with tiles.

    What computes is chosen once, at the first call. With `auto` and the kernels at hand, the first tile is computed by
    both; if any probability differs by more than `LIMIT`, XLA goes on alone.

    Args:
        model: The network.
        members: Variables of each network whose mean is taken, at least one.
        runtime: What is asked for, one of `RUNTIMES`.

    Attributes:
        chosen: What computes; None before the first call.
        difference: The largest difference on the first tile; None where nothing was compared.

    Raises:
        ConfigError: `runtime` is not known, or asks for kernels that are not there.
    """

    model: Segmenter
    members: Sequence[Variables]
    runtime: str = "auto"
    chosen: Literal["native", "jax"] | None = None
    difference: float | None = None
    _compiled: Probabilities = field(init=False)

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise ConfigError(f"There is no runtime {self.runtime!r}. {suggest(self.runtime, RUNTIMES)}")
        if self.runtime == "native" and not self._has_kernels:
            raise ConfigError(
                "The runtime `native` needs the package tinyunet-native, a CPU and a network in float32; install it "
                "(`pip install ./native` in a checkout), or use `auto` or `jax`."
            )

    def __call__(
        self, tiles: Float32[np.ndarray, "n *tile c"], valid: Bool[np.ndarray, "n *tile 1"]
    ) -> Float[Array, "n *out k"]:
        """Probabilities of tiles, of which `valid` says which pixels exist."""
        if self.chosen is None:
            self._choose(tiles, valid)
        members = [self._compiled(variables, tiles, valid) for variables in self.members]
        return sum(members[1:], start=members[0]) / len(members)

    @property
    def words(self) -> str:
        """What computed, for people; empty before the first call."""
        kernels = f"kernels for {instruction_set()}"
        match self.chosen, self.difference:
            case None, _:
                return ""
            case "native", None:
                return f"by {kernels}"
            case "native", difference:
                return f"by {kernels}, within {difference:.0e} of XLA"
            case _, None:
                return "by XLA"
            case _, difference:
                return f"by XLA, since the {kernels} differ from it by {difference:.1g} on the first tile"

    @property
    def record(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "runtime": self.chosen,
            "kernels": instruction_set() if self.chosen == "native" else None,
            "difference": self.difference,
        }

    @property
    def _has_kernels(self) -> bool:
        on_cpu = jax.default_backend() == "cpu"
        return on_cpu and jnp.dtype(self.model.unet.dtype) == jnp.float32 and instruction_set() is not None

    def _choose(self, tiles: Float32[np.ndarray, "n *tile c"], valid: Bool[np.ndarray, "n *tile 1"]) -> None:
        native = self.runtime != "jax" and self._has_kernels
        compiled = build_probabilities(self.model, kernels=native)
        if native and self.runtime == "auto":
            stock = build_probabilities(self.model, kernels=False)
            found, expected = (np.asarray(f(self.members[0], tiles[:1], valid[:1])) for f in (compiled, stock))
            self.difference = float(np.max(np.abs(found - expected)))
            if not self.difference <= LIMIT:  # nor where it is no number
                native, compiled = False, stock
        self.chosen, self._compiled = "native" if native else "jax", compiled
