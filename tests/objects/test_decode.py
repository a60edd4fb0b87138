import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from objects.test_target import instance_images
from scipy import ndimage

from tinyunet.objects.decode import decode_objects, renumber
from tinyunet.objects.target import CORE, ObjectConfig, object_labels

CONFIG = ObjectConfig(smallest_px=1)


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


def test_foreground_without_a_core_is_an_object_of_its_own():
    labels = np.array([[1, 1, 0, 1, 2, 1, 0, 1]])
    assert decode_objects(certain(labels), CONFIG).tolist() == [[1, 1, 0, 2, 2, 2, 0, 3]]


def test_small_objects_are_left_out():
    labels = np.array([[2, 2, 0, 2, 0, 2, 2, 2]])
    assert decode_objects(certain(labels), ObjectConfig(smallest_px=2)).tolist() == [[1, 1, 0, 0, 0, 2, 2, 2]]


@pytest.mark.parametrize("ndim", [1, 2, 3])
@given(data=st.data())
def test_every_core_becomes_one_object_and_no_object_has_two(ndim, data):
    instances = data.draw(instance_images(ndim=ndim))
    labels = object_labels(instances, ObjectConfig(rim_px=1))
    found = decode_objects(certain(labels), CONFIG)
    np.testing.assert_array_equal(found > 0, instances > 0)
    pieces, count = ndimage.label(labels == CORE)
    owners = [np.unique(found[pieces == number]) for number in range(1, count + 1)]
    assert all(len(owner) == 1 for owner in owners)
    assert len(np.unique(owners)) == count


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
    probabilities = np.array([[[0.6, 0.1, 0.3], [0.3, 0.3, 0.4]]])
    assert decode_objects(probabilities, CONFIG).tolist() == [[0, 1]]
    generous = ObjectConfig(smallest_px=1, foreground_probability=0.35)
    assert decode_objects(probabilities, generous).tolist() == [[1, 1]]


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
