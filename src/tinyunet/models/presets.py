"""Networks by name. A preset is data: it holds values, not code."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from tinyunet.errors import ConfigError, suggest
from tinyunet.layers.correlate import Padding
from tinyunet.layers.norm import Norm
from tinyunet.layers.upsample import Upsampling
from tinyunet.models.unet import Skip, UNet


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The options of `UNet`, as a configuration file holds them; their meaning is documented there.

    Raises:
        ConfigError: A value out of its range or not among the known ones.
    """

    features: int = 16
    depth: int = 3
    padding: Padding = "same"
    convs_per_block: int = 1
    norm: Norm = "batch"
    upsample: Upsampling = "transpose"
    skip: Skip = "concat"
    residual: bool = False
    max_features: int | None = None
    dropout: float = 0.0
    momentum: float = 0.99
    dtype: Literal["float32", "bfloat16"] = "float32"
    hold: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        bounds = {"features": (1, 4096), "depth": (0, 8), "convs_per_block": (1, 8)}
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"`model.{name}` must be from {low} to {high}, got {getattr(self, name)}.")
        for name in ("dropout", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"`model.{name}` must be in [0, 1), got {getattr(self, name)}.")
        if self.max_features is not None and self.max_features < 1:
            raise ConfigError(f"`model.max_features` must be at least 1, got {self.max_features}.")
        if not all(0 <= stages <= self.depth for stages in self.hold):
            raise ConfigError(f"`model.hold` must hold numbers from 0 to `model.depth` {self.depth}, got {self.hold}.")

    def unet(self) -> UNet:
        """The linen module this describes."""
        return UNet(**dataclasses.asdict(self))


PRESETS: Mapping[str, ModelConfig] = MappingProxyType(
    {
        # The founding page's network.
        "seed": ModelConfig(features=16, depth=2),
        # The product's default, chosen by measurement: see benchmarks/RESULTS.md.
        "tiny": ModelConfig(features=8, depth=4, convs_per_block=2, momentum=0.9),
        # Ronneberger et al. (2015), figure 1: no padding, no normalisation, 31,030,658 parameters with two classes.
        "unet2015": ModelConfig(features=64, depth=4, padding="valid", convs_per_block=2, norm="none"),
    }
)


def preset(name: str) -> ModelConfig:
    """The configuration of that name.

    Raises:
        ConfigError: No preset has that name; those that exist are listed.

    Example:
        >>> preset("seed").depth
        2
    """
    if name not in PRESETS:
        raise ConfigError(f"No preset is called {name!r}. {suggest(name, PRESETS)}")
    return PRESETS[name]
