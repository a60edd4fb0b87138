"""The labelled images of a data set, read when they are wanted and kept as long as memory allows."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32, Int, Shaped

from tinyunet.data.header import Geometry, Header
from tinyunet.data.labelling import Labelling
from tinyunet.data.normalise import ChannelRule, Normalisation, normalise
from tinyunet.data.resample import resample_image, resample_labels, resampled_shape
from tinyunet.data.sample import Sample, sample_header, sample_image, sample_mask
from tinyunet.errors import DataError

Target = Callable[[Int[np.ndarray, "*space"], tuple[float, ...]], Int[np.ndarray, "*space"]]
"""From the labels of an image and the size of its pixels along each axis (() if unknown) to those that are learnt."""

Labelled = tuple[Float32[np.ndarray, "*space c"], Int[np.ndarray, "*space"]]


class ImageStore:
    """Gives normalised images with their labels by position; several threads may ask at once.

    The images used last are kept, up to `max_bytes` of pixels and labels; the others are read again.

    Args:
        samples: Images, each with a mask.
        labelling: What the mask values mean.
        channels: Which channels are used.
        normalisation: How values are brought to mean 0 and standard deviation 1.
        max_bytes: Bound of what is kept.
        target: What becomes of the labels of an image when it is read; None leaves them as they are.
        spacing: Size of a pixel along each axis to which images and labels are resampled; () leaves them as they are.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        labelling: Labelling,
        channels: ChannelRule,
        normalisation: Normalisation,
        max_bytes: int,
        target: Target | None = None,
        spacing: tuple[float, ...] = (),
    ):
        self.samples = tuple(samples)
        self.labelling = labelling
        self.channels = channels
        self.normalisation = normalisation
        self.max_bytes = max_bytes
        self.target = target
        self.spacing = spacing
        self._kept: OrderedDict[int, Labelled] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.samples)

    def shape(self, position: int) -> tuple[int, ...]:
        """Pixels along each axis of the image at a position, from its header alone."""
        return self._shape(sample_header(self.samples[position]))

    def geometry(self, position: int) -> Geometry | None:
        """Where the pixels of the image at a position lie; None where nothing says it."""
        return sample_header(self.samples[position]).geometry

    def __call__(self, position: int) -> Labelled:
        """The image at a position and its labels; neither may be written to.

        Raises:
            DataError: A file cannot be read, or does not fit the rest, named.
        """
        with self._lock:
            if position in self._kept:
                self._kept.move_to_end(position)
                return self._kept[position]
        item = self._read(self.samples[position])
        with self._lock:
            if position not in self._kept:
                self._kept[position] = item
                self._bytes += _size(item)
            while self._bytes > self.max_bytes and len(self._kept) > 1:
                self._bytes -= _size(self._kept.popitem(last=False)[1])
        return item

    def _read(self, sample: Sample) -> Labelled:
        image = self.channels.apply(sample_image(sample), where=str(sample.image))
        labels = self.labelling.encode(sample_mask(sample), where=str(sample.mask))
        if image.shape[:-1] != labels.shape:
            raise DataError(
                f"{sample.mask} is {' x '.join(map(str, labels.shape))} pixels and its image {sample.image} "
                f"{' x '.join(map(str, image.shape[:-1]))}; they must be equal."
            )
        image, labels = self._resampled(sample, image, labels)
        if self.target is not None:
            labels = self.target(labels, self._spacing(sample))
        fits = labels.max(initial=0) <= np.iinfo(np.int16).max
        return normalise(image, self.normalisation), labels.astype(np.int16) if fits else labels

    def _resampled(
        self, sample: Sample, image: Shaped[np.ndarray, "*space c"], labels: Int[np.ndarray, "*space"]
    ) -> tuple[Shaped[np.ndarray, "*out c"], Int[np.ndarray, "*out"]]:
        """Image and labels with pixels of the spacing that is wanted."""
        if not self.spacing or (shape := self._shape(sample_header(sample))) == labels.shape:
            return image, labels
        return resample_image(image, shape), resample_labels(labels, shape)

    def _spacing(self, sample: Sample) -> tuple[float, ...]:
        """Size of a pixel of what is read; () where nothing says it."""
        geometry = sample_header(sample).geometry
        return () if geometry is None else self.spacing or geometry.spacing

    def _shape(self, header: Header) -> tuple[int, ...]:
        if not self.spacing or header.geometry is None:
            return header.shape
        return resampled_shape(header.shape, header.geometry.spacing, self.spacing)


def _size(item: Labelled) -> int:
    return item[0].nbytes + item[1].nbytes
