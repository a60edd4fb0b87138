"""The fingerprint of a data set: plain facts about all its files, from which a training is planned."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tinyunet.data.foreground import Intensities
from tinyunet.data.normalise import ChannelRule
from tinyunet.data.objectsizes import ObjectSizes


@dataclass(frozen=True)
class Fingerprint:
    """Facts about a data set, in pixels and in the values the files hold.

    Args:
        images: Number of images that could be read.
        labelled: Number of those that have a mask.
        sizes: Number of images of each (height, width), or (depth, height, width), ascending.
        dtypes: Number of images of each stored type.
        stored_channels: Number of images of each number of stored channels.
        channels: How stored channels become the ones that are used.
        channel_min: Smallest value of each used channel over the labelled training images.
        channel_max: Largest value, likewise.
        channel_mean: Mean, likewise, every pixel counting the same.
        channel_std: Standard deviation, likewise (divided by n).
        mask_values: Pixels of each value found in the masks, ascending.
        class_pixels: Pixels of each class in all masks.
        train_class_pixels: Pixels of each class in the masks of the training images.
        ignored_pixels: Pixels in all masks that take no part.
        absent: For each class, the names of the labelled images in which it does not occur.
        digest: SHA-256, in hexadecimal, over the names of all samples and the bytes of all images and masks: two data
            sets with the same digest hold the same pixels, in whatever order and whenever their files were written.
        spacings: Number of images of each size of a pixel along these axes, four digits of it; () where none is said.
        oriented: Number of images whose files say where head, front and right are.
        median_size: Median of the sizes, axis by axis.
        median_spacing: Median of the spacings, axis by axis, of the images that have one; () where none has.
        finest_spacing: Their tenth percentile, likewise.
        median_extent: Median of size times spacing, likewise.
        foreground: Values of the pixels of all classes but the commonest, in the labelled training images, from a
            sample of them; None where there are none.
        objects: Of masks that number objects; None of others.
    """

    images: int
    labelled: int
    sizes: dict[tuple[int, ...], int]
    dtypes: dict[str, int]
    stored_channels: dict[int, int]
    channels: ChannelRule
    channel_min: tuple[float, ...]
    channel_max: tuple[float, ...]
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]
    mask_values: dict[int, int]
    class_pixels: tuple[int, ...]
    train_class_pixels: tuple[int, ...]
    ignored_pixels: int
    absent: tuple[tuple[str, ...], ...]
    digest: str
    spacings: dict[tuple[float, ...], int] = field(default_factory=dict)
    oriented: int = 0
    median_size: tuple[float, ...] = ()
    median_spacing: tuple[float, ...] = ()
    finest_spacing: tuple[float, ...] = ()
    median_extent: tuple[float, ...] = ()
    foreground: Intensities | None = None
    objects: ObjectSizes | None = None

    @property
    def dimensions(self) -> int:
        """Axes of space: 2 of images, 3 of volumes."""
        return max((len(size) for size in self.sizes), default=2)

    @property
    def class_shares(self) -> tuple[float, ...]:
        """Share of each class in the pixels that take part, in [0, 1]; zeros where none does."""
        total = max(1, sum(self.class_pixels))
        return tuple(pixels / total for pixels in self.class_pixels)

    def to_dict(self) -> dict[str, Any]:
        """The facts for JSON: mappings become lists of [*size, count] and [key, count]."""
        table = asdict(self)
        for name in ("sizes", "spacings"):
            table[name] = [[*size, count] for size, count in getattr(self, name).items()]
        for name in ("dtypes", "stored_channels", "mask_values"):
            table[name] = [[key, count] for key, count in getattr(self, name).items()]
        table["absent"] = [list(names) for names in self.absent]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in table.items()}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> "Fingerprint":
        """The inverse of `to_dict`, also after a way through JSON; what older versions did not write is left empty."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in table.items()
        }
        for name in ("sizes", "spacings"):
            fields[name] = {tuple(size): count for *size, count in table.get(name, [])}
        for name in ("dtypes", "stored_channels", "mask_values"):
            fields[name] = dict(table[name])
        fields["channels"] = ChannelRule(**table["channels"])
        fields["absent"] = tuple(tuple(names) for names in table["absent"])
        kinds: dict[str, Callable[..., Any]] = {"foreground": Intensities, "objects": ObjectSizes}
        for name, kind in kinds.items():
            if (numbers := table.get(name)) is not None:
                fields[name] = kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in numbers.items()})
        return cls(**fields)
