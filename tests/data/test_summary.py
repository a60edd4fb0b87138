import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tinyunet.data.facts import SampleFacts, image_facts, mask_facts
from tinyunet.data.fingerprint import Fingerprint
from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.masks import RawMask
from tinyunet.data.normalise import ChannelRule
from tinyunet.data.sample import Sample
from tinyunet.data.summary import class_counts, summarise, used_channels

GREY = ChannelRule(drop_alpha=False, collapse_grey=False, used=1)
CLASSES = (ClassInfo("background", 0, "#000000"), ClassInfo("cell", 255, "#ffffff"))
CELLS = Labelling("semantic", CLASSES, ignore=9)


def facts(name, image, mask=None):
    """The facts of a sample that lies in memory."""
    raw = None if mask is None else mask_facts(RawMask(np.array(mask, np.int64), "ids"))
    sample = Sample(name, Path(name), None if mask is None else Path(name))
    return SampleFacts(sample, image_facts(image), raw, (), ("1f",) if mask is None else ("1f", "2e"))


def grey(*rows):
    return np.array(rows, np.uint8)[..., None]


@pytest.fixture
def three():
    """Two labelled images, a for training and b not, and one without a mask."""
    samples = [
        facts("a", grey([0, 2]), [[0, 255]]),
        facts("b", grey([9, 9], [9, 9]), [[0, 0], [9, 0]]),
        facts("c", grey([100, 100])),
    ]
    return summarise(samples, channels=GREY, labelling=CELLS, train=["a"])


def test_what_is_counted(three):
    assert three == Fingerprint(
        images=3,
        labelled=2,
        sizes={(1, 2): 2, (2, 2): 1},
        spacings={(): 3},
        oriented=0,
        median_size=(1.0, 2.0),
        median_spacing=(),
        finest_spacing=(),
        median_extent=(),
        dtypes={"uint8": 3},
        stored_channels={1: 3},
        channels=GREY,
        channel_min=(0.0,),
        channel_max=(2.0,),
        channel_mean=(1.0,),
        channel_std=(1.0,),
        mask_values={0: 4, 9: 1, 255: 1},
        class_pixels=(4, 1),
        train_class_pixels=(1, 1),
        ignored_pixels=1,
        absent=((), ("b",)),
        digest=hashlib.sha256(b'[["a", "1f", "2e"], ["b", "1f", "2e"], ["c", "1f"]]').hexdigest(),
    )


def test_shares_leave_out_what_is_ignored(three):
    assert three.class_shares == (0.8, 0.2)


def test_it_survives_json(three):
    assert Fingerprint.from_dict(json.loads(json.dumps(three.to_dict()))) == three


def test_nothing_at_all_has_a_fingerprint_too():
    empty = summarise([], channels=GREY, labelling=CELLS, train=[])
    assert (empty.images, empty.sizes, empty.channel_mean, empty.class_shares) == (0, {}, (), (0.0, 0.0))
    assert Fingerprint.from_dict(json.loads(json.dumps(empty.to_dict()))) == empty


@given(st.lists(arrays.arrays(np.uint16, st.tuples(*[st.integers(1, 5)] * 2, st.just(2))), min_size=1, max_size=5))
def test_mean_and_deviation_are_those_of_all_pixels_together(images):
    samples = [facts(f"{i}", image, np.zeros(image.shape[:2])) for i, image in enumerate(images)]
    rule = ChannelRule(drop_alpha=False, collapse_grey=False, used=2)
    found = summarise(samples, channels=rule, labelling=CELLS, train=[f"{i}" for i in range(len(images))])
    pixels = np.concatenate([image.reshape(-1, 2) for image in images]).astype(np.float64)
    np.testing.assert_allclose(found.channel_mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.channel_std, pixels.std(0), rtol=1e-9, atol=1e-9)


def test_a_small_contrast_on_a_large_offset_keeps_its_deviation():
    image = np.array([[[1e9], [1e9 + 1]]])
    found = summarise([facts("a", image, [[0, 0]])] * 3, channels=GREY, labelling=CELLS, train=["a"])
    assert found.channel_std == (0.5,)


def test_dropped_and_collapsed_channels_have_no_numbers():
    rgba = np.array([[[5, 5, 5, 255]]], np.uint8)
    rule = ChannelRule(drop_alpha=True, collapse_grey=True, used=1)
    found = summarise([facts("a", rgba, [[0]])], channels=rule, labelling=CELLS, train=["a"])
    assert found.channel_mean == (5.0,)
    assert found.stored_channels == {4: 1}


@pytest.mark.parametrize("stored", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("drop_alpha", [False, True])
@pytest.mark.parametrize("collapse_grey", [False, True])
def test_used_channels_are_those_the_rule_leaves(stored, drop_alpha, collapse_grey):
    count = used_channels(stored, ChannelRule(drop_alpha=drop_alpha, collapse_grey=collapse_grey, used=1))
    rule = ChannelRule(drop_alpha=drop_alpha, collapse_grey=collapse_grey and count == 1, used=count)
    assert rule.apply(np.full((1, 1, stored), 255, np.uint8), where="a").shape[-1] == count


@given(arrays.arrays(np.int64, (4, 4), elements=st.sampled_from([0, 9, 255])))
@pytest.mark.parametrize("ignore", [None, 9])
def test_foreground_counts_are_those_of_the_encoded_mask(ignore, values):
    labelling = Labelling("foreground", CLASSES, ignore=ignore)
    labels = labelling.encode(RawMask(values, "ids"), where="a")
    expected = ((labels == 0).sum(), (labels == 1).sum())
    assert class_counts(mask_facts(RawMask(values, "ids"), ignore=ignore), labelling) == expected


def test_foreground_counts_hold_more_values_than_are_kept():
    values = np.arange(60 * 60).reshape(60, 60)
    assert class_counts(mask_facts(RawMask(values, "ids")), Labelling("foreground", CLASSES)) == (1, 3599)


@given(st.permutations("abcd"))
def test_the_digest_is_the_same_in_any_order(names):
    def digest(order):
        samples = [facts(name, grey([0, 2]), [[0, 255]]) for name in order]
        return summarise(samples, channels=GREY, labelling=CELLS, train=["a"]).digest

    assert digest(names) == digest("abcd")


@pytest.mark.parametrize(
    "changed",
    [
        {"sample": Sample("b", Path("a"), Path("a"))},
        {"digests": ("1f", "2f")},
        {"digests": ("2e", "1f")},
        {"digests": ("1f",)},
        {"digests": ("1", "f2e")},
    ],
)
def test_another_name_or_another_byte_is_another_digest(changed):
    before = facts("a", grey([0, 2]), [[0, 255]])
    digests = {
        summarise([one], channels=GREY, labelling=CELLS, train=["a"]).digest
        for one in (before, replace(before, **changed))
    }
    assert len(digests) == 2
