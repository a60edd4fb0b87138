"""What an export holds: all that lies between the pixels of a file and the answer, in plain parts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64

from tinyunet.data.normalise import ChannelRule, Normalisation
from tinyunet.export.network import Variables
from tinyunet.models.presets import ModelConfig
from tinyunet.models.sizes import Topology

LARGEST_LABEL = 2**31 - 1
"""What a label may be; they are 32-bit integers, as every runtime has them."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """From raw pixels to probabilities and labels.

        channels -> normalisation -> edge or mirror padding -> network -> cropping -> softmax -> mean over the members
        -> temperature

    Args:
        model: The network.
        members: Variables of each network; probabilities are the mean over them.
        dimensions: Axes of space, 2 or 3.
        channels: Which channels of an image are used.
        normalisation: How values are normalised.
        names: What the network tells apart, in the order of its probabilities.
        temperature: What probabilities are scaled by.
        values: The value of a label for each of `names`; None where `maps` are given instead of labels.
        maps: Names of results that are one probability or several added up, with their places among `names`.
        facts: What else is known, to be written into the file: plain values.

    Example:
        >>> from tinyunet.data.normalise import ChannelRule, Normalisation
        >>> pipeline = Pipeline(
        ...     model=ModelConfig(depth=2), members=({},), dimensions=2, channels=ChannelRule(False, False, 1),
        ...     normalisation=Normalisation("image"), names=("ground", "cell"), values=(0, 255),
        ... )
        >>> pipeline.outputs, [axis.multiple for axis in pipeline.topologies]
        (('probabilities', 'labels'), [4, 4])
    """

    model: ModelConfig
    members: tuple[Variables, ...]
    dimensions: int
    channels: ChannelRule
    normalisation: Normalisation
    names: tuple[str, ...]
    temperature: float = 1.0
    values: tuple[int, ...] | None = None
    maps: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def topologies(self) -> tuple[Topology, ...]:
        """What decides the sizes along each axis of space."""
        return self.model.unet().topologies(self.dimensions)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the results."""
        return ("probabilities", "labels") if self.values is not None else ("probabilities", *self.maps)

    @property
    def takes_more_channels(self) -> bool:
        """Whether files have channels that hold nothing: they may be given, or left out."""
        return self.channels.drop_alpha or self.channels.collapse_grey

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes of space."""
        return ("depth", "height", "width")[-self.dimensions :]

    def affine(self) -> tuple[Float64[np.ndarray, " c"], Float64[np.ndarray, " c"]]:
        """Mean of each channel and what is multiplied by, for a normalisation by the data set: 0 for std 0."""
        mean, std = (np.asarray(numbers, np.float64) for numbers in (self.normalisation.mean, self.normalisation.std))
        return mean, np.divide(1, std, out=np.zeros_like(std), where=std > 0)

    def about(self) -> str:
        """All that a program or a person wants to know of the file, as JSON."""
        facts = {
            "inputs": {"image": ["batch", "channels", *self.axes]},
            "outputs": {name: ["batch", *["names"] * (name == "probabilities"), *self.axes] for name in self.outputs},
            "names": list(self.names),
            "label_values": None if self.values is None else list(self.values),
            "maps": {name: [self.names[place] for place in places] for name, places in self.maps.items()},
            "temperature": self.temperature,
            "channels": {
                "used": self.channels.used,
                "drop_alpha": self.channels.drop_alpha,
                "collapse_grey": self.channels.collapse_grey,
            },
            "normalisation": {
                "kind": self.normalisation.kind,
                "mean": list(self.normalisation.mean),
                "std": list(self.normalisation.std),
            },
            **self.facts,
        }
        return json.dumps(facts, sort_keys=True, ensure_ascii=False)
