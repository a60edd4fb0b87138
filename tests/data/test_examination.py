import numpy as np
import pytest
from reference import tiny

from tinyunet.data.check import examine
from tinyunet.data.synthetic import cells
from tinyunet.errors import DataError


@pytest.fixture
def numbered(tmp_path):
    """Micrographs of seven sizes, whose masks number the nuclei."""
    for k in range(8):
        image, instances = cells(k, shape=(128, 96 + 8 * min(k, 6)))
        tiny.save(tmp_path / f"images/{k}.png", image[..., 0])
        tiny.save(tmp_path / f"masks/{k}.npy", instances)
    return tmp_path


def line(found, word):
    (only,) = [text for text in found.lines() if text.startswith(word)]
    return only


def test_many_sizes_are_said_as_their_range(numbered):
    said = line(examine(numbered), "sizes")
    assert said == "sizes     128×96 to 128×144, median 128×128; 7 different (height×width)"


def test_objects_and_what_is_marked_have_a_line_each(numbered):
    found = examine(numbered)
    masks = [np.load(path) for path in sorted((numbered / "masks").iterdir())]
    counts = [int(mask.max()) for mask in masks]
    sizes = np.concatenate([np.bincount(mask.ravel())[1:] for mask in masks])
    objects = found.fingerprint.objects
    assert (objects.count, objects.per_image) == (sum(counts), (min(counts), np.median(counts), max(counts)))
    assert objects.pixels == tuple(np.percentile(sizes, (5, 50, 95), method="nearest"))
    assert line(found, "objects").startswith(
        f"objects   {sum(counts)}; {min(counts)} to {max(counts)} an image, median "
    )
    train = [k for k in range(8) if f"{k}" in found.split.train]
    marked = np.concatenate([tiny.pixels(numbered / f"images/{k}.png")[masks[k] > 0] for k in train])
    assert found.fingerprint.foreground.mean == pytest.approx((marked.mean(),), rel=0.02)
    assert found.fingerprint.foreground.high == pytest.approx((np.percentile(marked, 99.5),), rel=0.05)
    assert line(found, "marked").endswith("(all but background, in training)")


def test_classes_have_no_line_of_objects(tmp_path):
    found = examine(tiny.write_pairs(tmp_path))
    assert found.fingerprint.objects is None
    assert not any(text.startswith("objects") for text in found.lines())


def test_problems_are_raised_together(tmp_path):
    tiny.write_pairs(tmp_path)
    for k in range(2):
        (tmp_path / f"images/{k}.png").write_text("")
    with pytest.raises(DataError) as caught:
        examine(tmp_path).raise_for_problems()
    assert len(caught.value.problems) == 2
