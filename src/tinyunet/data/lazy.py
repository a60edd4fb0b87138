"""Images on disk of which parts are read: what `read_image` gives, a region at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Shaped

from tinyunet.data.axes import channels_last
from tinyunet.data.header import MAX_REGION_PIXELS, Header, Unreadable
from tinyunet.data.readers import WHOLE_AGAIN, explained, finite_pixels, format_of, place_text
from tinyunet.data.regions import Box, Regions, box_text, overlap, within

OnError = Literal["stop", "fill"]
"""What is done about a part of an image that cannot be decoded: say where it is, or let zeros stand for it."""


class LazyImage:
    """An image on disk; `image[rows, columns]` reads that part of it, with a start and a stop along each axis of space.

    Args:
        path: The file, for messages.
        header: What it says.
        regions: How it is read.
        on_error: "stop" refuses damage, naming its place; "fill" puts zeros there (opaque, where there is an alpha
            channel) and remembers it.

    Attributes:
        header: What the file says.
        on_error: As given.
        damaged: Where zeros stand for what could not be decoded, in words, each place once.
    """

    def __init__(self, path: Path, header: Header, regions: Regions, *, on_error: OnError = "stop"):
        self.header = header
        self.damaged: list[str] = []
        self._path, self._regions, self.on_error = path, regions, on_error
        self._space = [letter for letter in "zyx" if letter in regions.letters]

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis of space, and channels."""
        return (*self.header.shape, self.header.channels)

    @property
    def dtype(self) -> np.dtype:
        """Of the values that are read."""
        return np.dtype(self.header.dtype)

    def __getitem__(self, key: Box) -> Shaped[np.ndarray, "*part c"]:
        """The pixels of a region.

        Raises:
            DataError: They cannot be read or decoded, or are not finite numbers.
        """
        with explained(self._path):
            return self._read(key)

    def _read(self, key: Box) -> Shaped[np.ndarray, "*part c"]:
        holes: list[Box] = []

        def damage(box: Box, reason: str) -> None:
            named = dict(zip(self._regions.letters, box, strict=True))
            place = tuple(named[letter] for letter in self._space)
            text = box_text(place)
            if self.on_error == "stop":
                raise Unreadable(
                    f"cannot be decoded in {text}: {reason.rstrip('.')}. {WHOLE_AGAIN} Or go on without that part by "
                    "--on-error fill."
                )
            holes.append(place)
            if text not in self.damaged:
                self.damaged.append(text)

        space = dict(zip(self._space, key, strict=True))
        stored = tuple(
            space.get(letter, slice(0, size))
            for letter, size in zip(self._regions.letters, self._regions.shape, strict=True)
        )
        values = self._regions.read(stored, damage)
        letters = self._regions.letters
        values = values.reshape([size for size, letter in zip(values.shape, letters, strict=True) if letter])
        if values.dtype == bool:
            values = values.astype(np.uint8) * np.uint8(255)
        pixels = channels_last(values, "".join(letters))
        if pixels.shape[-1] in (2, 4):
            alpha = pixels[..., -1]
            for hole in holes:
                alpha[within(overlap(hole, key), key)] = 1 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max
        self._check_finite(pixels, key)
        return pixels

    def _check_finite(self, pixels: Shaped[np.ndarray, "*part c"], key: Box) -> None:
        finite = finite_pixels(pixels)
        if finite is not None and not finite.all():
            inside = np.unravel_index(np.argmin(finite), finite.shape)
            place = place_text([int(i) + part.start for i, part in zip(inside, key, strict=True)])
            raise Unreadable(
                f"holds pixels that are NaN, infinite or beyond float32, such as that at {place}; give them a finite "
                "value."
            )


@contextmanager
def open_lazily(path: Path, *, axes: str = "", on_error: OnError = "stop") -> Iterator[LazyImage | None]:
    """An image of which parts are read: a TIFF, Zarr or NumPy file.

    Of a TIFF only the tiles or strips are decoded that a part meets, of Zarr the chunks, of the finest level if there
    are several.

    Args:
        path: A file with one of the suffixes that can be read.
        axes: Letters of the stored axes as `dataset.toml` declares them, for files that do not say them.
        on_error: What is done about damage; see `LazyImage`.

    Yields:
        The image; None where the file can be read as a whole only, by `read_image`.

    Raises:
        DataError: The file is missing, empty, no image, or holds several images.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "a.npy")
        >>> np.save(path, np.arange(24, dtype=np.uint16).reshape(4, 6))
        >>> with open_lazily(path) as image:
        ...     image.shape, image[slice(1, 3), slice(4, 6)][..., 0].tolist()
        ((4, 6, 1), [[10, 11], [16, 17]])
    """
    with explained(path):
        functions = format_of(path)
        header = functions.header(path, axes)
        regions = functions.regions(path, axes) if functions.regions is not None else None
    if regions is None:
        yield None
        return
    try:
        with explained(path):
            header.check(MAX_REGION_PIXELS)
        yield LazyImage(path, header, regions, on_error=on_error)
    finally:
        regions.close()
