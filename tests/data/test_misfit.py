from pathlib import Path

import pytest

from tinyunet.data.misfit import misfit
from tinyunet.data.sample import Sample


@pytest.mark.parametrize(
    ("image", "mask", "end"),
    [
        ((2, 3), (3, 2), " (height×width). It looks turned by 90°."),
        ((2, 3), (2, 4), " (height×width)."),
        ((2, 3, 4), (4, 3, 2), " (depth×height×width). Its axes seem to be in another order."),
        ((2, 3, 4), (2, 3, 5), " (depth×height×width)."),
        ((2, 3, 4), (3, 4), "."),
    ],
)
def test_sizes_are_compared_by_their_axes(image, mask, end):
    said = misfit(Sample("a", Path("a.npy"), Path("m.npy")), image, mask)
    sizes = ["×".join(map(str, size)) for size in (image, mask)]
    assert said == f"m.npy must have the size of its image, {sizes[0]}, got {sizes[1]}{end} Replace one of the two."
