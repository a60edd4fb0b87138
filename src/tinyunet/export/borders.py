"""Which pixel of an image stands at each place of the image that the network is given.

The image is continued by its edge at the far ends (`same` padding) or by mirroring at both (`valid`), as far as its
size and the network ask. Both are a list of positions along each axis, to be gathered: exact however far, and the one
operator works for a size that is a number as for one that is a symbol.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Int

from tinyunet.export.graph import Graph
from tinyunet.models.sizes import Topology


@dataclass(frozen=True)
class Border:
    """How an axis is continued: the size rounded up, and more on both sides.

    With n pixels the network is given  lost + m ceil((n - r) / m) + r + lost  of them, and gives back all but `lost` at
    each end, of which the first n are the image's.

    Attributes:
        multiple: m, the step in which the network takes sizes.
        remainder: r of the sizes of its results, in [0, m).
        lost: Pixels at each end that it does not give back; they are mirrored. 0: nothing is mirrored.

    Example:
        >>> from tinyunet.models.sizes import Topology
        >>> Border.of(Topology(depth=4)), Border.of(Topology(depth=4, padding="valid", convs_per_block=2))
        (Border(multiple=16, remainder=0, lost=0), Border(multiple=16, remainder=4, lost=92))
    """

    multiple: int
    remainder: int
    lost: int

    @classmethod
    def of(cls, topology: Topology) -> "Border":
        """The border that a network needs along an axis."""
        if topology.padding == "same":
            return cls(topology.multiple, 0, 0)
        size = topology.smallest_size(1)
        output = topology.output_size(size)
        assert output is not None
        return cls(topology.multiple, output % topology.multiple, (size - output) // 2)

    @property
    def nothing(self) -> bool:
        """Whether images of all sizes are taken as they are."""
        return self.multiple == 1 and self.lost == 0

    def whole(self, size: Any) -> Any:
        """Pixels that the network gives back for an image of `size`, a number or a symbol of `jax.export`."""
        return self.multiple * ((size - self.remainder + self.multiple - 1) // self.multiple) + self.remainder

    def positions(self, size: Any) -> Int[Array, " n"]:
        """The pixels of an axis that the network is given, for JAX.

        Args:
            size: Of the axis, a number or a symbol of `jax.export`.

        Example:
            >>> Border(multiple=4, remainder=0, lost=0).positions(5).tolist()
            [0, 1, 2, 3, 4, 4, 4, 4]
            >>> Border(multiple=2, remainder=0, lost=2).positions(3).tolist()
            [2, 1, 0, 1, 2, 1, 0, 1]
        """
        position = jnp.arange(self.whole(size) + 2 * self.lost)
        if not self.lost:
            return jnp.minimum(position, size - 1)
        period = jnp.maximum(jnp.array(2 * size - 2), 1)
        folded = abs(position - self.lost) % period
        return jnp.minimum(folded, period - folded)

    def add(self, graph: Graph, size: str) -> str:
        """The same in a graph.

        Args:
            graph: Where to.
            size: The name of the axis's size, one whole number.

        Returns:
            The name of the positions, all numbers on the way being at least 0.
        """
        one = graph.integer(1)
        # (r - size) mod m pixels are missing, which is (r + (m - 1) size) mod m.
        odd = graph.add("Add", graph.add("Mul", size, graph.integer(self.multiple - 1)), graph.integer(self.remainder))
        missing = graph.add("Mod", odd, graph.integer(self.multiple), name="missing")
        whole = graph.add("Add", graph.add("Add", size, missing), graph.integer(2 * self.lost), name="whole")
        position = graph.add("Range", graph.integer(0), whole, one, name="position")
        if not self.lost:
            return graph.add("Min", position, graph.add("Sub", size, one), name="edge")
        twice = graph.add("Mul", graph.add("Sub", size, one), graph.integer(2))
        period = graph.add("Max", twice, one, name="period")
        shifted = graph.add("Abs", graph.add("Sub", position, graph.integer(self.lost)))
        folded = graph.add("Mod", shifted, period, name="folded")
        return graph.add("Min", folded, graph.add("Sub", period, folded), name="mirrored")
