"""What computes a network's probabilities: the fastest that is installed, once it has been seen to agree with XLA."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float32, Shaped

from tinyunet.errors import ConfigError, suggest
from tinyunet.export.tiles import OnTiles, open_on_tiles
from tinyunet.layers.paths import instruction_set
from tinyunet.models.presets import ModelConfig
from tinyunet.models.segmenter import Segmenter
from tinyunet.runs.build import build_model, build_probabilities, is_told
from tinyunet.runs.machine import cores
from tinyunet.training.state import Variables

RUNTIMES = ("auto", "native", "onnx", "jax")
"""`native`: the kernels of the package tinyunet-native; `onnx`: ONNX Runtime; `jax`: XLA alone. `auto`: the first of
them that is installed, can hold the network, and agrees with XLA."""

LIMIT = 1e-4
"""How far probabilities of two engines may lie apart."""


@dataclass
class Engine:
    """A network, or the mean of several, ready to be called with tiles.

    What computes is chosen once, at the first call if not before. With `auto`, the first tile is computed by the
    fastest engine and by XLA; if any probability differs by more than `LIMIT`, XLA goes on alone.

    Args:
        config: Of the network.
        classes: What it tells apart.
        members: Variables of each network whose mean is taken, at least one.
        runtime: What is asked for, one of `RUNTIMES`.

    Attributes:
        chosen: What computes; None before that is chosen.
        tried: What was compared with XLA on the first tile; None where nothing was.
        difference: The largest difference there.

    Raises:
        ConfigError: `runtime` is not known, or not there.
    """

    config: ModelConfig
    classes: int
    members: Sequence[Variables]
    runtime: str = "auto"
    chosen: str | None = None
    tried: str | None = None
    difference: float | None = None
    _compute: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise ConfigError(f"There is no runtime {self.runtime!r}. {suggest(self.runtime, RUNTIMES)}")
        if self.runtime not in ("auto", *self._able):
            raise ConfigError(f"The runtime `{self.runtime}` needs {_NEEDS[self.runtime]}, or use `auto` or `jax`.")

    def __call__(
        self, tiles: Float32[np.ndarray, "n *tile c"], valid: Bool[np.ndarray, "n *tile 1"]
    ) -> Shaped[Any, "n *out k"]:
        """Probabilities of tiles, of which `valid` says which pixels exist; JAX may still be computing them."""
        self.choose(tiles, valid)
        return self._compute(tiles, valid)

    def choose(self, tiles: Float32[np.ndarray, "n *tile c"], valid: Bool[np.ndarray, "n *tile 1"]) -> None:
        """Chooses what computes by the first of some tiles, unless it has been chosen."""
        if self._compute is not None:
            return
        chosen = self._able[0] if self.runtime == "auto" else self.runtime
        compute = self._build(chosen, tiles.ndim - 2)
        if self.runtime == "auto" and chosen != "jax":
            stock = self._build("jax", tiles.ndim - 2)
            found, expected = (np.asarray(f(tiles[:1], valid[:1])) for f in (compute, stock))
            self.tried, self.difference = chosen, float(np.max(np.abs(found - expected)))
            if not self.difference <= LIMIT:  # nor where it is no number
                chosen, compute = "jax", stock
        self.chosen, self._compute = chosen, compute

    def take(self, chosen: str, *, dimensions: int) -> None:
        """Takes what another process has chosen, so that both compute the same bits; does nothing the second time.

        Args:
            chosen: One of `RUNTIMES` but `auto`, for which everything is here that was there.
            dimensions: Axes of space of the tiles.
        """
        if self.chosen != chosen:
            self._compute, self.chosen = self._build(chosen, dimensions), chosen  # in this order, for other threads

    @cached_property
    def model(self) -> Segmenter:
        """The network."""
        return build_model(self.config, classes=self.classes)

    @property
    def words(self) -> str:
        """What computed, for people; empty before the first call."""
        if self.chosen is None:
            return ""
        by = _words(self.chosen)
        if self.tried is None or self.difference is None:
            return f"by {by}"
        if self.tried == self.chosen:
            return f"by {by}, within {self.difference:.0e} of XLA"
        return f"by {by}, since {_words(self.tried)} differ from it by {self.difference:.1g} on the first tile"

    @property
    def record(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "runtime": self.chosen,
            "kernels": instruction_set() if self.chosen == "native" else None,
            "difference": self.difference,
        }

    @property
    def _able(self) -> list[str]:
        """What could compute this network here, the fastest first."""
        able = ["jax"]
        if jax.default_backend() == "cpu" and self.config.dtype == "float32":
            packages = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
            if packages and not (self.config.upsample == "bilinear" and is_told(self.model)):
                able.insert(0, "onnx")
            if instruction_set() is not None:
                able.insert(0, "native")
        return able

    def _build(self, runtime: str, dimensions: int) -> OnTiles:
        if runtime == "onnx":
            told = is_told(self.model)
            return open_on_tiles(self.config, self.members, dimensions=dimensions, told=told, threads=cores())
        compiled = build_probabilities(self.model, kernels=runtime == "native")

        def compute(tiles: Any, valid: Any) -> Any:
            members = [compiled(variables, tiles, valid) for variables in self.members]
            return sum(members[1:], start=members[0]) / len(members)

        return compute


_NEEDS = {
    "native": "the package tinyunet-native, a CPU and a network in float32; install it (`pip install ./native` in a "
    "checkout)",
    "onnx": "the packages onnx and onnxruntime, a CPU, and a network in float32 that does not upsample bilinearly; "
    "install them (`pip install 'tinyunet[onnx]'`)",
}


def _words(runtime: str) -> str:
    return {"native": f"kernels for {instruction_set()}", "onnx": "ONNX Runtime's operators", "jax": "XLA"}[runtime]
