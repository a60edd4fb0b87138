"""What was found in a data set, and how it is said."""

from dataclasses import asdict, dataclass
from typing import Any

from tinyunet.data.fingerprint import Fingerprint
from tinyunet.data.folder import DataFolder
from tinyunet.data.labelling import Labelling
from tinyunet.data.normalise import ChannelRule
from tinyunet.data.readers import shown
from tinyunet.data.split import Split
from tinyunet.errors import DataError


@dataclass(frozen=True)
class Examination:
    """What was found in a data set.

    Where there are problems, split, labelling, channels and fingerprint are as good as the readable files allow, for
    display only: call `raise_for_problems` before working with them.

    Args:
        folder: The data set, without the files that have a problem of name or place.
        split: Which image serves which purpose.
        labelling: What the masks mean.
        channels: Which channels of the images are used.
        fingerprint: Facts about sizes, values and classes.
        problems: What is wrong, one line each: file, rule, value, way out.
        notes: What was understood and decided, one line each.
    """

    folder: DataFolder
    split: Split
    labelling: Labelling
    channels: ChannelRule
    fingerprint: Fingerprint
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    def raise_for_problems(self) -> None:
        """Stop here if anything is wrong.

        Raises:
            DataError: All problems, one line each.
        """
        if self.problems:
            raise DataError(*self.problems)

    def lines(self) -> list[str]:
        """The findings as plain text, one line each, problems last."""
        found = self.fingerprint
        sizes = sorted(found.sizes.items(), key=lambda item: (-item[1], item[0]))
        shown_sizes = [f"{'×'.join(map(str, size))} ({count})" for size, count in sizes[:6]]
        if len(sizes) > 6:
            columns = list(zip(*found.sizes, strict=True))
            ends = ("×".join(str(end(column)) for column in columns) for end in (min, max))
            median = "×".join(f"{x:g}" for x in found.median_size)
            shown_sizes = [f"{' to '.join(ends)}, median {median}; {len(sizes)} different"]
        stored = ", ".join(f"{channels}" for channels in found.stored_channels)
        low, high = min(found.channel_min, default=0.0), max(found.channel_max, default=0.0)
        parts = {name: len(getattr(self.split, name)) for name in ("train", "val", "test", "unlabelled")}
        width = max(len(name) for name in self.labelling.names)
        return [
            f"{shown(self.folder.root)}: {found.images} images, {found.labelled} of them with a mask",
            f"sizes     {', '.join(shown_sizes) or 'none'} ({'depth×' * (found.dimensions == 3)}height×width)",
            *self._spacings(),
            f"values    {self._dtypes()}, {low:.8g} to {high:.8g} in training",
            *self._marked(),
            f"channels  {stored or 'none'} stored, {self.channels.used} used",
            f"split     {', '.join(f'{count} {name}' for name, count in parts.items() if count)}",
            f"task      {self.labelling.task}",
            *(
                f"class {k}   {one.name:<{width}}  {share:7.2%} of the pixels, in {found.labelled - len(absent)} masks"
                for k, (one, share, absent) in enumerate(
                    zip(self.labelling.classes, found.class_shares, found.absent, strict=True)
                )
            ),
            *self._objects(),
            *(f"note      {note}" for note in self.notes),
            *(f"problem   {problem}" for problem in self.problems),
        ]

    def _dtypes(self) -> str:
        """The types of the values; of several, with the number of images of each."""
        dtypes = self.fingerprint.dtypes
        return ", ".join(f"{name} ({count})" if len(dtypes) > 1 else name for name, count in dtypes.items()) or "none"

    def _marked(self) -> list[str]:
        """The line of the values of what is marked."""
        found = self.fingerprint.foreground
        if found is None:
            return []
        counts = self.fingerprint.train_class_pixels
        commonest = self.labelling.names[counts.index(max(counts))]
        rows = list(zip(found.mean, found.std, found.low, found.high, strict=True))
        texts = [f"{mean:.4g} ± {std:.3g}, 99 % in {low:.4g} to {high:.4g}" for mean, std, low, high in rows[:4]]
        more = f"; and {len(rows) - 4} other channels" if len(rows) > 4 else ""
        return [f"marked    {'; '.join(texts)}{more} (all but {commonest}, in training)"]

    def _objects(self) -> list[str]:
        """The line of the objects, where masks number them."""
        found = self.fingerprint.objects
        if found is None:
            return []
        least, middle, most = found.per_image
        small, usual, large = (f"{x:.0f}" for x in found.pixels)
        across = " to ".join(f"{x:.1f}" for x in (found.diameter[0], found.diameter[2]))
        kind = "ball" if self.fingerprint.dimensions == 3 else "disc"
        return [
            f"objects   {found.count}; {least} to {most} an image, median {middle:g}; 90 % have {small} to {large} "
            f"pixels, median {usual}: a {kind} {across} pixels across, median {found.diameter[1]:.1f}"
        ]

    def _spacings(self) -> list[str]:
        """The line of the sizes of pixels, where files say any."""
        known = sorted(((count, size) for size, count in self.fingerprint.spacings.items() if size), reverse=True)
        if not known:
            return []
        texts = [f"{' × '.join(f'{x:g}' for x in size)} ({count})" for count, size in known[:6]]
        return [f"spacing   {', '.join(texts)}{' and others' if len(known) > 6 else ''}"]

    def to_dict(self) -> dict[str, Any]:
        """The findings for JSON."""
        return {
            "root": str(self.folder.root),
            "split": self.split.to_dict(),
            "labelling": self.labelling.to_dict(),
            "channels": asdict(self.channels),
            "fingerprint": self.fingerprint.to_dict(),
            "problems": list(self.problems),
            "notes": list(self.notes),
        }
