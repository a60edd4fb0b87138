import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tinyunet.data import store as module
from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.normalise import ChannelRule, Normalisation, normalise
from tinyunet.data.sample import Sample
from tinyunet.data.store import ImageStore
from tinyunet.errors import DataError

CLASSES = ClassInfo("background", 0, "#000000"), ClassInfo("cell", 255, "#ffffff")
SIZE = 8
ITEM_BYTES = SIZE * SIZE * (4 + 2)  # float32 pixels of one channel, int16 labels


def write_pair(folder, name, *, size=SIZE, mask_size=None, seed=0):
    """An image and its mask, as files."""
    rng = np.random.default_rng((seed, size))
    image, mask = folder / f"{name}.png", folder / f"{name}_mask.png"
    Image.fromarray(rng.integers(0, 256, (size, size), np.uint8)).save(image)
    Image.fromarray(255 * rng.integers(0, 2, (mask_size or size, size), np.uint8)).save(mask)
    return Sample(name, image, mask)


BY_IMAGE = Normalisation("image")


def open_store(samples, *, max_bytes=10**9, normalisation=BY_IMAGE):
    return ImageStore(
        samples,
        labelling=Labelling("semantic", CLASSES),
        channels=ChannelRule(drop_alpha=False, collapse_grey=False, used=1),
        normalisation=normalisation,
        max_bytes=max_bytes,
    )


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    return [write_pair(folder, f"{i}", seed=i) for i in range(5)]


@pytest.fixture
def opened(monkeypatch):
    """The names of the image files that were read, in order."""
    names = []
    read = module.sample_image
    monkeypatch.setattr(module, "sample_image", lambda sample: names.append(sample.name) or read(sample))
    return names


def test_four_pixels_by_hand(tmp_path):
    Image.fromarray(np.array([[2, 4], [4, 2]], np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.array([[0, 255], [255, 255]], np.uint8)).save(tmp_path / "m.png")
    image, labels = open_store([Sample("a", tmp_path / "a.png", tmp_path / "m.png")])(0)
    assert image[..., 0].tolist() == [[-1, 1], [1, -1]]
    assert labels.tolist() == [[0, 1], [1, 1]]
    assert image.dtype == np.float32


def test_it_is_as_long_as_its_samples_and_keeps_their_order(samples):
    opened = open_store(samples)
    assert len(opened) == 5
    for position, sample in enumerate(samples):
        pixels = np.asarray(Image.open(sample.image))[..., None]
        np.testing.assert_array_equal(opened(position)[0], normalise(pixels, Normalisation("image")))


def test_the_normalisation_is_the_one_that_was_asked_for(samples):
    fixed = Normalisation("dataset", (100.0,), (50.0,))
    pixels = np.asarray(Image.open(samples[0].image))[..., None].astype(np.float32)
    np.testing.assert_allclose(open_store(samples, normalisation=fixed)(0)[0], (pixels - 100) / 50, rtol=1e-6)


def test_what_is_kept_is_not_read_again(samples, opened):
    store = open_store(samples)
    first = store(0)
    assert store(0) is first
    assert opened == ["0"]


@pytest.mark.parametrize(("room", "again"), [(0, ["0", "1"]), (1, ["0", "1"]), (2, ["1"]), (3, [])])
def test_what_was_used_last_is_kept_up_to_the_bound(samples, opened, room, again):
    store = open_store(samples, max_bytes=room * ITEM_BYTES)
    for position in (0, 1, 0, 2):  # 1 is the one that was not used for longest
        store(position)
    opened.clear()
    store(2)
    store(0)
    store(1)
    assert opened == again


@given(st.lists(st.integers(0, 4), max_size=30), st.integers(0, 6))
def test_the_bound_holds_whatever_is_asked_for(samples, asked, room):
    store = open_store(samples, max_bytes=room * ITEM_BYTES)
    for position in asked:
        store(position)
        held = sum(image.nbytes + labels.nbytes for image, labels in store._kept.values())
        assert held == store._bytes
        assert held <= max(1, room) * ITEM_BYTES


def test_many_threads_get_the_right_images(samples):
    store, alone = open_store(samples, max_bytes=2 * ITEM_BYTES), open_store(samples)
    asked = np.random.default_rng(0).integers(0, 5, 200).tolist()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(store, asked))
    for position, (image, labels) in zip(asked, found, strict=True):
        np.testing.assert_array_equal(image, alone(position)[0])
        np.testing.assert_array_equal(labels, alone(position)[1])
    assert store._bytes == sum(image.nbytes + labels.nbytes for image, labels in store._kept.values())


def test_an_image_that_two_threads_read_at_once_is_counted_once(samples, monkeypatch):
    both = threading.Barrier(2)
    read = module.sample_image
    monkeypatch.setattr(module, "sample_image", lambda sample: both.wait(timeout=30) is None or read(sample))
    store = open_store(samples)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(store, [0, 0]))
    assert store._bytes == ITEM_BYTES


def test_an_image_without_a_mask_is_named(samples):
    store = open_store([Sample("a", samples[0].image, None)])
    message = f"{samples[0].image} has no mask; it cannot be trained on or scored."
    with pytest.raises(DataError, match=re.escape(message)):
        store(0)


def test_an_image_and_a_mask_of_different_sizes_are_named(tmp_path):
    sample = write_pair(tmp_path, "a", mask_size=5)
    message = f"{sample.mask} is 5 x 8 pixels and its image {sample.image} 8 x 8; they must be equal."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        open_store([sample])(0)


def test_other_channels_and_unknown_values_name_the_file(tmp_path):
    sample = write_pair(tmp_path, "a")
    Image.fromarray(np.full((SIZE, SIZE), 7, np.uint8)).save(sample.mask)
    with pytest.raises(DataError, match=f"^{re.escape(str(sample.mask))} holds values that no class has: 7"):
        open_store([sample])(0)
    Image.new("RGB", (SIZE, SIZE), "red").save(sample.image)
    with pytest.raises(DataError, match=f"^{re.escape(str(sample.image))} has 3 channels where 1 are wanted"):
        open_store([sample])(0)


def test_a_file_that_went_away_is_named_and_nothing_is_kept(tmp_path):
    sample = write_pair(tmp_path, "a")
    store = open_store([sample])
    sample.image.unlink()
    with pytest.raises(DataError, match=re.escape(str(sample.image))):
        store(0)
    assert store._bytes == 0
