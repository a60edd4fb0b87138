import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from objects.test_target import instance_images
from scipy import ndimage

from tinyunet.objects.decode import decode_objects, renumber
from tinyunet.objects.target import CORE, ObjectConfig, object_labels

CONFIG = ObjectConfig(smallest_px=1, smallest_seed_px=1)


def certain(labels, classes=3):
    """Probabilities of one at the labels."""
    return np.eye(classes)[labels]


def test_two_seeds_share_what_lies_between_them():
    core = np.array([[0.6, 0.4, 0.2, 0.4, 0.9, 0.0]])
    background = np.array([[0.1, 0.1, 0.1, 0.1, 0.1, 0.9]])
    found = decode_objects(np.stack([background, 1 - background - core, core], axis=-1), CONFIG)
    assert found[0, [0, 1]].tolist() == [1, 1]
    assert found[0, [3, 4]].tolist() == [2, 2]
    assert found[0, 5] == 0
    assert found[0, 2] in (1, 2)


def test_foreground_without_a_core_is_no_object():
    labels = np.array([[1, 1, 0, 1, 2, 1, 0, 1]])
    assert decode_objects(certain(labels), CONFIG).tolist() == [[0, 0, 0, 1, 1, 1, 0, 0]]


def test_a_seed_of_too_few_pixels_is_none():
    labels = np.array([[2, 1, 1, 2, 2, 0, 2]])
    found = decode_objects(certain(labels), ObjectConfig(smallest_px=1, smallest_seed_px=2))
    assert found.tolist() == [[1, 1, 1, 1, 1, 0, 0]]


def test_a_seed_that_falls_apart_is_several():
    core = np.array([[0.9, 0.6, 0.9, 0.0, 0.9, 0.6, 0.7, 0.0, 0.9, 0.6, 0.8]])
    probabilities = np.stack([1 - core, 0 * core, core], axis=-1)
    assert decode_objects(probabilities, CONFIG)[0, [0, 2, 4, 6, 8, 10]].tolist() == [1, 2, 3, 3, 4, 5]
    whole = ObjectConfig(smallest_px=1, smallest_seed_px=1, split_probability=0.5)
    assert decode_objects(probabilities, whole)[0, [0, 2, 4, 6, 8, 10]].tolist() == [1, 1, 2, 2, 3, 3]


def test_small_objects_are_left_out():
    labels = np.array([[2, 2, 0, 2, 0, 2, 2, 2]])
    assert decode_objects(certain(labels), ObjectConfig(smallest_px=2, smallest_seed_px=1)).tolist() == [
        [1, 1, 0, 0, 0, 2, 2, 2]
    ]


@pytest.mark.parametrize("ndim", [1, 2, 3])
@given(data=st.data())
def test_every_core_becomes_one_object_and_no_object_has_two(ndim, data):
    instances = data.draw(instance_images(ndim=ndim))
    labels = object_labels(instances, ObjectConfig(rim_px=1))
    found = decode_objects(certain(labels), CONFIG)
    places, _ = ndimage.label(instances > 0)  # of an object in several pieces one may be all rim
    cored = np.isin(places, places[labels == CORE])
    np.testing.assert_array_equal(found > 0, cored)
    pieces, count = ndimage.label(labels == CORE)
    owners = [np.unique(found[pieces == number]) for number in range(1, count + 1)]
    assert all(len(owner) == 1 for owner in owners)
    assert len(np.unique(owners)) == count


def ellipsoids(ndim, *, touching):
    """A row of ellipsoids of one size, 16 pixels long and 14 wide, with or without a gap between them."""
    step = 15 if touching else 20
    shape = (18,) * (ndim - 1) + (3 * step + 6,)
    place = np.indices(shape)
    instances = np.zeros(shape, np.int32)
    for number in range(1, 4):
        centre = [8.5] * (ndim - 1) + [step * number - step / 2 + 2.5]
        radii = [7] * (ndim - 1) + [8]
        far = sum(((p - c) / r) ** 2 for p, c, r in zip(place, centre, radii, strict=True))
        instances[(far <= 1) & (instances == 0)] = number
    return instances


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("touching", [False, True])
@pytest.mark.parametrize("deep", [1.0, 4.0])
def test_what_ideal_probabilities_speak_of_is_the_objects_themselves(ndim, touching, deep):
    instances = ellipsoids(ndim, touching=touching)
    assert (
        np.abs(np.diff(instances, axis=-1))[(instances[..., 1:] > 0) & (instances[..., :-1] > 0)] > 0
    ).any() == touching
    labels = object_labels(instances, ObjectConfig(), spacing=(deep,) + (1.0,) * (ndim - 1))
    found = decode_objects(certain(labels), ObjectConfig())
    assert found.max() == 3
    np.testing.assert_array_equal(found > 0, instances > 0)
    for number in range(1, 4):
        true = instances == number
        one = found == np.bincount(found[true]).argmax()
        shared = (one & true).sum() / (one | true).sum()
        assert shared == 1 or (touching and shared > 0.97)


def test_squares_of_a_checkerboard_without_gaps_come_back_as_they_were():
    instances = np.kron(np.arange(1, 10).reshape(3, 3), np.ones((12, 12), int)).astype(np.int32)
    np.testing.assert_array_equal(decode_objects(certain(object_labels(instances, ObjectConfig())), CONFIG), instances)


@given(instance_images(), st.integers(0, 2**32 - 1))
def test_every_object_is_in_one_piece_and_numbered_in_the_order_of_rows(instances, seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet([1, 1, 1], instances.shape)
    found = decode_objects(probabilities, CONFIG)
    assert found.dtype == np.int32
    for number in range(1, found.max() + 1):
        assert ndimage.label(found == number)[1] == 1
    firsts = [np.flatnonzero(found.ravel() == number)[0] for number in range(1, found.max() + 1)]
    assert firsts == sorted(firsts)


def test_thresholds_are_those_of_the_configuration():
    probabilities = np.array([[[0.6, 0.1, 0.3], [0.3, 0.1, 0.6]]])
    assert decode_objects(probabilities, CONFIG).tolist() == [[0, 1]]
    generous = ObjectConfig(smallest_px=1, smallest_seed_px=1, foreground_probability=0.35)
    assert decode_objects(probabilities, generous).tolist() == [[1, 1]]
    strict = ObjectConfig(smallest_px=1, smallest_seed_px=1, core_probability=0.65)
    assert decode_objects(probabilities, strict).tolist() == [[0, 0]]


def test_nothing_is_found_in_nothing():
    assert (decode_objects(certain(np.zeros((3, 4), int)), CONFIG) == 0).all()
    assert (renumber(np.zeros((3, 4), int)) == 0).all()


@given(instance_images())
def test_renumbering_keeps_objects_apart_and_leaves_no_gap(instances):
    found = renumber(instances)
    ids = np.unique(instances[instances > 0])
    assert np.unique(found[found > 0]).tolist() == list(range(1, len(ids) + 1))
    assert len({(int(a), int(b)) for a, b in zip(instances.ravel(), found.ravel(), strict=True)}) == len(
        np.unique(instances)
    )
