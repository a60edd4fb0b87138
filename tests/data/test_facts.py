import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from reference import zarrs

from tinyunet.data.digest import file_digest
from tinyunet.data.facts import MAX_VALUES, image_facts, mask_facts, measure, tally
from tinyunet.data.masks import RawMask
from tinyunet.data.sample import Sample
from tinyunet.data.suspicion import looks_like_jpeg, looks_like_objects

SMEARED = st.sampled_from([0] * 20 + [255] * 10 + list(range(1, 30)))


@pytest.fixture
def sample(tmp_path):
    """Saves an image and a mask."""

    def save(image, mask):
        np.save(tmp_path / "image.npy", image)
        np.save(tmp_path / "mask.npy", mask)
        return Sample("a", tmp_path / "image.npy", tmp_path / "mask.npy")

    return save


def test_the_numbers_of_an_image():
    facts = image_facts(np.array([[[0, 5], [4, 5]]], np.uint16))
    assert facts.size == (1, 2)
    assert (facts.pixels, facts.channels, facts.dtype) == (2, 2, "uint16")
    assert (facts.low, facts.high, facts.mean, facts.variance) == ((0, 5), (4, 5), (2, 5), (4, 0))
    assert (facts.opaque, facts.grey) == (False, False)


def test_grey_and_opaque_are_seen():
    facts = image_facts(np.array([[[1, 1, 1, 255], [2, 2, 2, 255]]], np.uint8))
    assert (facts.opaque, facts.grey) == (True, True)
    assert facts.mean == (1.5, 1.5, 1.5, 255)


def test_a_volume_has_a_size_of_three():
    facts = image_facts(np.zeros((2, 3, 5, 1), np.uint8))
    assert (facts.size, facts.pixels, facts.channels) == ((2, 3, 5), 30, 1)


def test_a_constant_image_has_no_variance():
    assert image_facts(np.full((7, 7, 1), 0.1, np.float32)).variance == (0.0,)


@given(arrays.arrays(np.uint8, st.sampled_from([(3, 4, 3), (2, 3, 2, 3)])))
def test_the_numbers_are_those_of_numpy(image):
    facts = image_facts(image)
    values = image.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(facts.mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(facts.variance, values.var(0), rtol=1e-12, atol=1e-12)
    assert facts.low == tuple(values.min(0))
    assert facts.high == tuple(values.max(0))


def test_the_numbers_of_a_mask():
    facts = mask_facts(RawMask(np.array([[0, 7, 7], [255, 0, 7]]), "ids"))
    assert facts.size == (2, 3)
    assert facts.counts == {0: 2, 7: 3, 255: 1}
    assert (facts.rest, facts.rest_values, facts.objects, facts.by_slice, facts.smeared) == (0, 0, None, False, False)


def test_the_number_of_values_kept_is_bounded_but_holds_the_ignored_one():
    values = np.arange(40 * 50).reshape(40, 50)
    facts = mask_facts(RawMask(values, "ids"), ignore=1999)
    assert len(facts.counts) == MAX_VALUES + 1
    assert facts.counts[1999] == 1
    assert facts.rest == facts.rest_values == 40 * 50 - MAX_VALUES - 1


def test_objects_are_only_sought_where_wanted():
    mask = RawMask(np.arange(1, 21).reshape(4, 5).repeat(4, 0).repeat(4, 1), "ids")
    assert mask_facts(mask).objects
    assert not mask_facts(mask, seek_objects=False).objects


@given(arrays.arrays(np.int64, st.sampled_from([(6, 6), (3, 4, 5)]), elements=st.integers(-3, 12)))
def test_objects_are_what_the_slow_way_says(values):
    assert bool(mask_facts(RawMask(values, "ids")).objects) == looks_like_objects(values)


@given(arrays.arrays(np.int64, (4, 5), elements=st.integers(-3, 2**17)))
def test_tally_counts_as_numpy_does(values):
    found, counts = tally(values)
    expected = np.unique(values, return_counts=True)
    np.testing.assert_array_equal(found, expected[0])
    np.testing.assert_array_equal(counts, expected[1])


@pytest.mark.parametrize("quality", [30, 75, 95, None])
@pytest.mark.parametrize("step", [1, 5, 40])
def test_smeared_is_what_the_slow_way_says(tmp_path, quality, step):
    rows, columns = np.mgrid[:96, :96]
    disc = (np.hypot(rows - 48, columns - 50) < 30) * 200 + (np.hypot(rows % 24, columns % 24) < 6) * step
    image = Image.fromarray(disc.astype(np.uint8))
    if quality is not None:
        image.save(tmp_path / "a.jpg", quality=quality)
        image = Image.open(tmp_path / "a.jpg")
    values = np.asarray(image).astype(np.int64)
    image.close()
    assert mask_facts(RawMask(values, "ids")).smeared == looks_like_jpeg(values)


@given(arrays.arrays(np.int64, st.sampled_from([(12, 12), (4, 5, 9)]), elements=SMEARED))
def test_smeared_is_what_the_slow_way_says_of_any_mask(values):
    assert mask_facts(RawMask(values, "ids")).smeared == looks_like_jpeg(values)


@pytest.mark.parametrize(("length", "smeared"), [(1, True), (3, True), (4, False)])
def test_short_dashes_of_three_values_are_smeared(length, smeared):
    values = np.zeros((12, 12), np.int64)
    for row in range(0, 12, 2):
        values[row, :length] = 1 + row // 2 % 3
    assert mask_facts(RawMask(values, "ids")).smeared == smeared
    assert looks_like_jpeg(values) == smeared


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG"])
def test_a_jpeg_is_known_by_its_suffix(suffix):
    assert mask_facts(RawMask(np.zeros((3, 3), np.int64), "ids"), suffix=suffix).smeared


def test_a_sample_is_measured(sample):
    facts = measure(sample(np.zeros((2, 3), np.uint8), np.ones((2, 3), np.uint8)))
    assert facts.image is not None
    assert facts.mask is not None
    assert facts.mask.counts == {1: 6}
    assert facts.problems == ()
    assert facts.digests == (file_digest(facts.sample.image), file_digest(facts.sample.mask))


def test_a_sample_without_mask_has_no_mask_facts(sample):
    labelled = sample(np.zeros((2, 3), np.uint8), np.ones((2, 3), np.uint8))
    facts = measure(Sample("a", labelled.image, None))
    assert facts.mask is None
    assert facts.problems == ()
    assert facts.digests == (file_digest(labelled.image),)


@pytest.mark.parametrize(("shape", "turned"), [((4, 3), " It looks turned by 90°."), ((3, 5), "")])
def test_sizes_that_differ_are_a_problem(sample, shape, turned):
    pair = sample(np.zeros((3, 4), np.uint8), np.zeros(shape, np.uint8))
    assert measure(pair).problems == (
        f"{pair.mask} must have the size of its image, 3×4, got {shape[0]}×{shape[1]} (height×width)."
        f"{turned} Replace one of the two.",
    )


def test_files_that_cannot_be_read_are_problems_each(sample):
    pair = sample(np.array([[np.nan]]), np.array([[0.5]]))
    facts = measure(pair)
    assert (facts.image, facts.mask, facts.digests) == (None, None, ())
    assert len(facts.problems) == 2
    assert f"{pair.image} holds 1 pixels that are NaN" in facts.problems[0]
    assert f"{pair.mask} holds fractions" in facts.problems[1]


def test_the_numbers_of_a_volume_and_its_mask():
    volume = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1)
    image = image_facts(volume)
    assert (image.size, image.pixels, image.mean) == ((2, 3, 4), 24, (11.5,))
    mask = mask_facts(RawMask(volume[..., 0].astype(np.int64) // 12, "ids"))
    assert (mask.size, mask.counts) == ((2, 3, 4), {0: 12, 1: 12})


def test_numbered_objects_of_a_volume_are_seen():
    values = np.zeros((9, 9, 9), np.int64)
    for number, place in enumerate(np.ndindex(3, 3, 3)):
        z, y, x = (3 * i for i in place)
        values[z, y, x] = values[z + 1, y + 1, x + 1] = number + 1  # which touch by a corner alone
    assert mask_facts(RawMask(values, "ids")).objects
    assert mask_facts(RawMask(values % 3, "ids")).objects is None  # too few values to tell


@given(arrays.arrays(np.int64, (3, 6, 6), elements=st.sampled_from([0] * 20 + [255] * 10 + list(range(1, 30)))))
def test_smeared_is_what_the_slow_way_says_of_any_volume(values):
    assert mask_facts(RawMask(values, "ids")).smeared == looks_like_jpeg(values)


def test_sizes_of_volumes_that_differ_are_a_problem(tmp_path):
    np.save(tmp_path / "image.npy", np.zeros((2, 3, 4), np.uint8))
    for shape, turned in (((2, 4, 3), " Its axes seem to be in another order."), ((3, 3, 4), "")):
        np.save(tmp_path / "mask.npy", np.zeros(shape, np.uint8))
        facts = measure(Sample("a", tmp_path / "image.npy", tmp_path / "mask.npy", axes="zyx"))
        assert facts.problems == (
            f"{tmp_path}/mask.npy must have the size of its image, 2×3×4, got {'×'.join(map(str, shape))} "
            f"(depth×height×width).{turned} Replace one of the two.",
        )


def test_a_size_of_a_pixel_that_is_declared_is_not_held_against_a_mask_that_says_another(tmp_path):
    np.save(tmp_path / "image.npy", np.zeros((2, 3, 4), np.uint8))
    zarrs.write_image(tmp_path / "mask.zarr", np.ones((2, 3, 4), np.uint8), "zyx", [9, 9, 9], version=3)
    sample = Sample("a", tmp_path / "image.npy", tmp_path / "mask.zarr", axes="zyx", spacing=(3.0, 1.0, 1.0))
    facts = measure(sample)
    assert facts.problems == ()
    assert facts.image is not None
    assert facts.image.spacing == (3.0, 1.0, 1.0)
