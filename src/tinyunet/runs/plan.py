"""From facts about a data set to the values of a configuration that nobody has set, each with its reason."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from tinyunet.data.fingerprint import Fingerprint
from tinyunet.runs.config import Config
from tinyunet.runs.request import Request

PIXELS = 256**2
"""Pixels of a patch of images."""

VOXELS = 2**17
"""The most voxels in a patch of volumes."""

BATCH_PIXELS = 2 * PIXELS
"""About so many pixels go into a step, in patches of images."""

SMALLEST_MAP = 4
"""A map is pooled along an axis as long as this many pixels are left."""

SMALLEST_PATCH = 8
"""A patch has at least so many pixels along its longest side."""

THICK = 2.0
"""A voxel this many times as long as it is wide is not yet pooled along that side."""


@dataclass(frozen=True)
class Decision:
    """One planned value.

    Args:
        key: Which one, such as `batches.patch`.
        value: The value.
        reason: Why, in plain words; of a value that was asked for, that it was.
        given: It was asked for.
    """

    key: str
    value: Any
    reason: str
    given: bool = False

    def line(self) -> str:
        """The decision as one line of text."""
        return f"{self.key} = {_text(self.value)}: {self.reason}"


@dataclass(frozen=True)
class Plan:
    """A configuration and how it came about.

    Args:
        config: With every planned value in it.
        decisions: Why each is as it is.
    """

    config: Config
    decisions: tuple[Decision, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for each planned value that is not the default."""
        default = Config()
        return tuple(
            f"Planned {one.line()}" for one in self.decisions if not one.given and one.value != _value(default, one.key)
        )


def make_plan(facts: Fingerprint, request: Request) -> Plan:
    """Plans what a request leaves open.

    The plan follows from the data and the request alone; whether it fits into memory is `tinyunet.runs.memory`'s
    question.

    Args:
        facts: What the data are.
        request: What the user asks for, which wins over everything.

    References:
        Isensee et al. (2021), nnU-Net, supplementary note 4, for the rules of spacing, pooling and patch; their numbers
        are for a graphics card, ours for two cores.
    """
    planner = _Planner(request)
    if facts.dimensions == 3:
        _plan_volumes(facts, planner)
    else:
        _plan_images(facts, planner)
    _plan_rest(facts, planner)
    config = planner.config
    n = facts.dimensions
    batches = dataclasses.replace(
        config.batches, patch=config.batches.patch_shape(n), margin=config.batches.margin_shape(n)
    )
    return Plan(dataclasses.replace(config, batches=batches), tuple(planner.decisions))


class _Planner:
    """Collects decisions; what the request holds is kept."""

    def __init__(self, request: Request):
        self.request = request
        self.config = request.over(Config())
        self.decisions: list[Decision] = []

    def decide(self, key: str, value: Any, reason: str) -> Any:
        """Decides a value, unless it is asked for; the value that holds."""
        if given := self.request.holds(key):
            value, reason = _value(self.config, key), "as asked for"
        table, name = key.split(".")
        part = dataclasses.replace(getattr(self.config, table), **{name: value})
        self.config = dataclasses.replace(self.config, **{table: part})
        self.decisions.append(Decision(key, value, reason, given))
        return value


def _plan_images(facts: Fingerprint, planner: _Planner) -> None:
    """Patch and batch of images of two axes."""
    depth = planner.decide("model.depth", planner.config.model.depth, "the default network, chosen by measurement")
    most = [max(axis) for axis in zip(*facts.sizes, strict=True)] or [1, 1]
    side = round(math.sqrt(PIXELS))
    patch = tuple(min(side, max(2 * 2**depth, _up(size, 2**depth))) for size in most)
    small = math.prod(patch) < PIXELS
    reason = f"no image is larger than {_text(tuple(most))}" if small else "large enough to see around any pixel"
    patch = planner.decide("batches.patch", patch, reason)
    area = math.prod(planner.config.batches.patch_shape(2))
    batch = min(16, max(2, round(BATCH_PIXELS / area)))
    planner.decide("batches.batch", batch, f"about {BATCH_PIXELS} pixels in a step")


def _plan_volumes(facts: Fingerprint, planner: _Planner) -> None:
    """Spacing, depth, held axes, patch, batch and augmentation of volumes."""
    spacing = planner.decide("data.spacing", *_spacing(facts))
    sides = spacing or (1.0, 1.0, 1.0)
    extents = facts.median_extent if spacing else facts.median_size
    sizes = [max(1, round(extent / side)) for extent, side in zip(extents, sides, strict=True)]
    coarse = [side / min(sides) for side in sides]
    poolings = [max(0, math.floor(math.log2(size / SMALLEST_MAP))) if size >= SMALLEST_MAP else 0 for size in sizes]
    depth = planner.decide(
        "model.depth",
        max(1, min(planner.config.model.depth, *[max(poolings)])),
        f"volumes of {_text(tuple(sizes))} voxels keep {SMALLEST_MAP} along an axis after so many poolings",
    )
    thick = [max(0, math.ceil(math.log2(ratio / THICK))) for ratio in coarse]
    hold = tuple(min(depth, max(t, depth - p)) for t, p in zip(thick, poolings, strict=True))
    why = "voxels are about as long as wide" if not any(hold) else "where voxels are long or slices few, they are kept"
    hold = planner.decide("model.hold", hold if any(hold) else (), why) or (0, 0, 0)
    multiples = [2 ** (depth - h) for h in hold]
    patch = _volume_patch(sizes, sides, multiples)
    voxels = math.prod(patch)
    whole = all(p >= size for p, size in zip(patch, sizes, strict=True))
    planner.decide(
        "batches.patch", patch, "the median volume" if whole else f"as much of a volume as {VOXELS} voxels hold"
    )
    patch = planner.config.batches.patch_shape(3)
    planner.decide("batches.margin", tuple(round(p / 8) for p in patch), "an eighth of the patch, for warps")
    voxels = math.prod(patch)
    planner.decide(
        "batches.batch", min(8, max(2, round(VOXELS / voxels))), f"about {VOXELS} voxels in a step, 2 at least"
    )
    if facts.oriented:
        said = "the files say where head, front and right are, so directions mean something"
        planner.decide("augment.flips", False, said)
        planner.decide("augment.quarter_turns", False, said)


def _spacing(facts: Fingerprint) -> tuple[tuple[float, ...], str]:
    """The spacing at which the network works."""
    median, finest = facts.median_spacing, facts.finest_spacing
    if not median:
        return (), "no file says how large a voxel is, so each is taken for a cube; declare spacing in dataset.toml"
    if len(facts.spacings) == 1:
        return median, "that of all volumes, so nothing is resampled"
    worst = max(range(3), key=lambda axis: median[axis])
    if median[worst] > 3 * min(median):
        chosen = tuple(finest[a] if a == worst else median[a] for a in range(3))
        return chosen, "the median of all volumes, along the long side of the voxels their tenth percentile"
    return median, "the median of all volumes; the others are resampled to it, and their predictions back"


def _volume_patch(sizes: list[int], sides: tuple[float, ...], multiples: list[int]) -> tuple[int, ...]:
    """The median volume, made smaller along its longest side until it holds at most `VOXELS`."""
    patch = [_up(size, multiple) for size, multiple in zip(sizes, multiples, strict=True)]
    if max(patch) < SMALLEST_PATCH:
        patch = [_up(SMALLEST_PATCH, multiple) for multiple in multiples]
    while math.prod(patch) > VOXELS:
        able = [a for a in range(3) if patch[a] > 2 * multiples[a]]
        if not able:
            break
        longest = max(able, key=lambda a: patch[a] * sides[a])
        patch[longest] -= multiples[longest]
    return tuple(patch)


def _plan_rest(facts: Fingerprint, planner: _Planner) -> None:
    """What is the same for images and volumes, said so that it can be overridden."""
    config = planner.config
    planner.decide("model.features", config.model.features, "the default network, chosen by measurement")
    planner.decide("data.normalise", config.data.normalise, "each image by its own mean and standard deviation")
    rarest = min((share for share in facts.class_shares if share > 0), default=0.0)
    planner.decide(
        "batches.rare_share",
        config.batches.rare_share,
        f"share of the patches centred on a rarer class; the rarest has {rarest:.2%} of the pixels",
    )
    planner.decide("train.steps", config.train.steps, "unless --minutes says how long a training may take")


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _value(config: Config, key: str) -> Any:
    table, name = key.split(".")
    return getattr(getattr(config, table), name)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " × ".join(f"{x:g}" for x in value) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
