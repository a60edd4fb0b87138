import numpy as np
import pytest

from tinyunet.data.lazy import open_lazily
from tinyunet.data.window import RowWindow

ARRAY = np.arange(60, dtype=np.uint8).reshape(20, 3)


@pytest.fixture
def opened(tmp_path):
    np.save(tmp_path / "a.npy", ARRAY)
    with open_lazily(tmp_path / "a.npy") as image:
        yield image


def test_rows_that_overlap_are_read_once(opened, monkeypatch):
    read = []
    whole = type(opened).__getitem__
    monkeypatch.setattr(
        type(opened), "__getitem__", lambda self, key: read.append((key[0].start, key[0].stop)) or whole(self, key)
    )
    window = RowWindow(opened)
    assert window.shape == (20, 3, 1)
    for key in (
        (slice(0, 8), slice(0, 2)),
        (slice(0, 8), slice(1, 3)),
        (slice(4, 12), slice(0, 3)),
        (slice(6, 10), slice(0, 3)),
        (slice(15, 20), slice(2, 3)),
        (slice(0, 3), slice(0, 3)),
    ):
        np.testing.assert_array_equal(window[key][..., 0], ARRAY[key])
    assert read == [(0, 8), (8, 12), (15, 20), (0, 3)]
