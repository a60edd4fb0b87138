import dataclasses
import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyunet.data.batches import BatchConfig, Sampler, batches, mirrored, visits_of
from tinyunet.data.labelling import IGNORE
from tinyunet.errors import ConfigError, DataError

CONFIG = BatchConfig(patch=(8,), margin=(0,), batch=2, rare_share=0.0)


def place_read(sizes):
    """Images that say of every pixel which image it is of, and where it lies."""

    def read(position):
        height, width = sizes[position]
        rows, columns = np.mgrid[:height, :width]
        image = np.stack([np.full((height, width), position), rows, columns], axis=-1)
        return image.astype(np.float32), np.zeros((height, width), np.int16)

    return read


def a_sampler(*, sizes=((20, 30), (9, 40), (16, 16)), config=CONFIG, seed=0):
    return Sampler(visits=(1,) * len(sizes), read=place_read(sizes), config=config, seed=seed)


def block_read(size):
    """One volume whose channels are each voxel's position along each axis."""
    volume = np.stack(np.indices(size), axis=-1).astype(np.float32)
    return lambda position: (volume, np.zeros(size, np.int16))


def rare_read(labels):
    """One image whose pixels are its labels."""
    return lambda position: (labels[..., None].astype(np.float32), labels)


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_a_large_image_is_visited_as_often_as_its_geometric_mean_holds_patches():
    sizes = [(16, 16), (64, 64), (8, 128), (40, 40)]
    assert [visits_of(size, patch=(16, 16)) for size in sizes] == [1, 4, 2, 2]


def test_a_volume_is_visited_by_the_geometric_mean_over_three_axes():
    assert visits_of((16, 16, 16), patch=(16, 16, 16)) == 1
    assert visits_of((16, 64, 64), patch=(16, 16, 16)) == round(16 ** (1 / 3)) == 3
    assert visits_of((20, 256, 256), patch=(20, 64, 128)) == 2
    assert visits_of((1, 64, 64), patch=(16, 64, 64)) == 1


@given(st.integers(1, 9000), st.integers(1, 9000), st.integers(8, 512))
def test_visits_with_a_square_patch_are_the_root_of_the_area_in_patches(height, width, patch):
    assert visits_of((height, width), patch=(patch, patch)) == max(1, round(math.sqrt(height * width) / patch))


def test_an_epoch_visits_every_image_its_number_of_times():
    seen = []

    def read(position):
        seen.append(position)
        return np.zeros((16, 16, 1), np.float32), np.zeros((16, 16), np.int16)

    sampler = Sampler((1, 3, 2), read, CONFIG, seed=5)
    epochs = {int(sampler(n)["epoch"]) for n in range(6)}
    assert epochs == {0}
    assert sorted(seen) == [0, 1, 1, 1, 2, 2]


def test_mirrored_by_hand():
    assert mirrored(-2, 7, 4).tolist() == [2, 1, 0, 1, 2, 3, 2]
    assert mirrored(0, 5, 1).tolist() == [0] * 5


@given(st.integers(-50, 50), st.integers(1, 60), st.integers(1, 20))
def test_mirroring_is_that_of_numpy(start, count, size):
    wide = np.pad(np.arange(size), 200, mode="reflect" if size > 1 else "edge")
    np.testing.assert_array_equal(mirrored(start, count, size), wide[200 + start :][:count])


def test_a_window_is_a_piece_of_its_image():
    sizes = ((20, 30), (9, 40), (16, 16))
    sampler = a_sampler(sizes=sizes)
    for n in range(30):
        sample = sampler(n)
        image = sample["images"]
        assert image.shape == (8, 8, 3)
        assert image.dtype == np.float32
        assert sample["labels"].dtype == np.int32
        position, row, column = image[0, 0].astype(int)
        whole = place_read(sizes)(position)[0]
        np.testing.assert_array_equal(image, whole[row : row + 8, column : column + 8])


@given(st.integers(1, 7), st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_an_epoch_visits_every_image_once(images, seed, epoch):
    sampler = a_sampler(sizes=((8, 8),) * images, seed=seed)
    samples = [sampler(n) for n in range(epoch * images, (epoch + 1) * images)]
    assert sorted(int(sample["images"][0, 0, 0]) for sample in samples) == list(range(images))
    assert [int(sample["number"]) for sample in samples] == list(range(images))
    assert {int(sample["epoch"]) for sample in samples} == {epoch}


def test_orders_and_places_differ_between_epochs_and_seeds():
    sizes = ((40, 40),) * 8

    def first_pixels(seed, epoch):
        sampler = a_sampler(sizes=sizes, seed=seed)
        return tuple(tuple(sampler(8 * epoch + i)["images"][0, 0].astype(int)) for i in range(8))

    seen = {first_pixels(seed, epoch) for seed, epoch in itertools.product(range(3), range(3))}
    assert len(seen) == 9


@given(st.integers(0, 1000), st.integers(0, 2**32 - 1))
def test_a_sample_depends_on_its_number_and_the_seed_alone(n, seed):
    config = dataclasses.replace(CONFIG, margin=(3,))
    used = a_sampler(config=config, seed=seed)
    for other in (n + 1, 0, 7):
        used(other)
    assert equal(used(n), a_sampler(config=config, seed=seed)(n))


def test_every_place_is_reached():
    sampler = a_sampler(sizes=((10, 9),))
    corners = {tuple(sampler(n)["images"][0, 0, 1:].astype(int)) for n in range(200)}
    assert corners == set(itertools.product(range(3), range(2)))


def test_the_margin_is_context_mirrored_beyond_the_image():
    config = dataclasses.replace(CONFIG, margin=(3,))
    assert config.window_shape(2) == (14, 14)
    image = a_sampler(sizes=((8, 8),), config=config)(0)["images"]
    whole = place_read(((8, 8),))(0)[0]
    np.testing.assert_array_equal(image, np.pad(whole, ((3, 3), (3, 3), (0, 0)), mode="reflect"))


@pytest.mark.parametrize("size", [(1, 1), (1, 20), (5, 3), (7, 8)])
def test_an_image_smaller_than_the_patch_lies_in_its_middle(size):
    config = dataclasses.replace(CONFIG, margin=(2,))
    image = a_sampler(sizes=(size,), config=config)(0)["images"]
    assert image.shape == (12, 12, 3)
    for axis, length in enumerate(size):
        if length <= 8:
            before = 2 + (8 - length) // 2
            places = np.moveaxis(image[..., axis + 1], axis, 0)[:, 0]
            np.testing.assert_array_equal(places[before : before + length], np.arange(length))


def test_a_window_of_a_volume_is_a_piece_of_it_with_its_margins():
    size, patch, margin, window = (5, 14, 15), (2, 8, 9), (0, 1, 2), (2, 10, 13)
    sampler = Sampler((1,), block_read(size), dataclasses.replace(CONFIG, patch=patch, margin=margin), seed=3)
    starts = set()
    for n in range(200):
        sample = sampler(n)
        assert sample["labels"].shape == window
        start = sample["images"][margin].astype(int)
        positions = map(mirrored, (start - margin).tolist(), window, size)
        np.testing.assert_array_equal(sample["images"], np.stack(np.meshgrid(*positions, indexing="ij"), axis=-1))
        starts.add(tuple(start))
    for axis in range(3):
        assert {start[axis] for start in starts} == set(range(size[axis] - patch[axis] + 1))


def test_a_flat_volume_lies_in_the_middle_of_its_patch():
    config = dataclasses.replace(CONFIG, patch=(4, 8, 8))
    sample = Sampler((1,), block_read((2, 8, 8)), config, seed=0)(0)
    assert sample["images"][:, 0, 0, 0].tolist() == [1, 0, 1, 0]


def test_a_forced_patch_of_a_volume_holds_the_rarer_class():
    labels = np.zeros((6, 20, 30), np.int16)
    labels[4, 17, 5] = 1
    config = dataclasses.replace(CONFIG, patch=(3, 8, 10), rare_share=1.0)
    sampler = Sampler((1,), rare_read(labels), config, seed=0)
    assert all((sampler(n)["labels"] == 1).sum() == 1 for n in range(10))


@pytest.mark.parametrize("place", [(0, 0), (31, 39), (17, 5)])
def test_a_forced_patch_holds_the_rarer_class(place):
    labels = np.zeros((32, 40), np.int16)
    labels[place] = 1
    always = Sampler((1,), rare_read(labels), dataclasses.replace(CONFIG, rare_share=1.0), seed=0)
    for n in range(20):
        sample = always(n)
        assert (sample["labels"] == 1).sum() == 1
        np.testing.assert_array_equal(sample["images"][..., 0], sample["labels"])
    if place == (17, 5):
        assert always(0)["labels"][4, 4] == 1


def test_rare_share_is_the_share_of_forced_patches():
    labels = np.zeros((400, 400), np.int16)
    labels[200, 200] = 1
    sampler = Sampler((1,), rare_read(labels), dataclasses.replace(CONFIG, rare_share=0.33), seed=0)
    hits = np.mean([(sampler(n)["labels"] == 1).any() for n in range(1000)])
    assert abs(hits - 0.33) < 0.05


def test_every_rarer_class_has_its_turn_but_neither_the_commonest_nor_the_ignored():
    labels = np.full((40, 40), 2, np.int16)
    labels[0, 0], labels[39, 39], labels[0, 39] = 0, 1, IGNORE
    sampler = Sampler((1,), rare_read(labels), dataclasses.replace(CONFIG, rare_share=1.0), seed=0, common=2)
    seen = [set(np.unique(sampler(n)["labels"])) for n in range(40)]
    assert {frozenset(s) for s in seen} == {frozenset({0, 2}), frozenset({1, 2})}


@pytest.mark.parametrize("only", [0, IGNORE])
def test_where_there_is_no_rarer_class_nothing_is_forced(only):
    labels = np.full((20, 20), only, np.int16)
    forced, free = (
        Sampler((1,), rare_read(labels), dataclasses.replace(CONFIG, rare_share=share), seed=0) for share in (1.0, 0.0)
    )
    assert all(equal(forced(n), free(n)) for n in range(5))


def test_a_batch_is_its_samples_in_order():
    sampler = a_sampler()
    for step, batch in enumerate(batches(sampler, first=0, last=4)):
        for i in range(2):
            assert equal({name: value[i] for name, value in batch.items()}, sampler(2 * step + i))
    assert step == 3


@pytest.mark.parametrize("first", [0, 1, 4, 6])
def test_a_resumed_training_sees_the_same_batches(first):
    whole = list(batches(a_sampler(), first=0, last=6))
    rest = list(batches(a_sampler(), first=first, last=6))
    assert len(rest) == 6 - first
    assert all(equal(a, b) for a, b in zip(rest, whole[first:], strict=True))


def test_the_number_of_threads_changes_nothing():
    one, four = (list(batches(a_sampler(), first=0, last=10, threads=threads)) for threads in (1, 4))
    assert all(equal(a, b) for a, b in zip(one, four, strict=True))


def test_what_cannot_be_read_is_the_file_s_own_error():
    def read(position):
        raise DataError(f"masks/{position}.png is 3 x 3 pixels.")

    with pytest.raises(DataError, match=r"^masks/0\.png is 3 x 3 pixels\.") as caught:
        next(batches(Sampler((1,), read, CONFIG, seed=0), first=0, last=1))
    assert str(caught.value) == "masks/0.png is 3 x 3 pixels."  # grain adds a note, which the user does not see


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("patch", (7,), "must be at least 8 along its longest axis, got 7."),
        ("patch", (1, 7, 2), "must be at least 8 along its longest axis, got [1, 7, 2]."),
        ("patch", (0, 64, 64), "must be at least 1, got [0, 64, 64]."),
        ("patch", (), "must have 1 to 3 entries, got []."),
        ("patch", (8, 8, 8, 8), "must have 1 to 3 entries, got [8, 8, 8, 8]."),
        ("margin", (-1,), "must be at least 0, got -1."),
        ("margin", (4, -1), "must be at least 0, got [4, -1]."),
        ("margin", (), "must have 1 to 3 entries, got []."),
        ("batch", 0, "must be at least 1, got 0."),
    ],
)
def test_sizes_have_a_least_value(name, value, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(f'`batches.{name}` {message}')}$"):
        BatchConfig(**{name: value})


def test_a_patch_may_be_one_slice():
    assert BatchConfig(patch=(1, 64, 64)).patch_shape(3) == (1, 64, 64)


def test_one_number_stands_for_all_axes():
    config = BatchConfig(patch=(64,), margin=(8, 4, 2))
    assert config.patch_shape(2) == (64, 64)
    assert config.window_shape(3) == (80, 72, 68)
    assert config.margin_shape(3) == (8, 4, 2)


@pytest.mark.parametrize(("name", "entries", "axes"), [("patch", (16, 64, 64), 2), ("margin", (4, 8), 3)])
def test_sizes_for_other_axes_than_the_images_have_are_refused(name, entries, axes):
    message = (
        f"`batches.{name}` has {len(entries)} entries, {list(entries)}, but the images have {axes} axes: "
        f"give 1 entry or {axes}."
    )
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        BatchConfig(**{name: entries}).window_shape(axes)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_the_share_is_a_share(share):
    with pytest.raises(ConfigError, match=re.escape(f"`batches.rare_share` must be in [0, 1], got {share}.")):
        BatchConfig(rare_share=share)


def test_rows_are_those_of_the_whole_batch():
    sampler = a_sampler(config=dataclasses.replace(CONFIG, batch=5))
    whole = list(batches(sampler, first=3, last=6))
    parts = [list(batches(sampler, first=3, last=6, rows=rows)) for rows in (range(2), range(2, 5))]
    assert len(whole) == 3
    for batch, *shares in zip(whole, *parts, strict=True):
        joined = {name: np.concatenate([share[name] for share in shares]) for name in batch}
        assert equal(joined, batch)
