import json
from dataclasses import replace

import pytest

from tinyunet.data.fingerprint import Fingerprint
from tinyunet.data.foreground import Intensities
from tinyunet.data.normalise import ChannelRule
from tinyunet.data.objectsizes import ObjectSizes

PRINT = Fingerprint(
    images=5,
    labelled=4,
    sizes={(64, 80): 5},
    spacings={(): 3, (0.5, 0.5): 2},
    oriented=0,
    median_size=(64.0, 80.0),
    median_spacing=(0.5, 0.5),
    finest_spacing=(0.5, 0.5),
    median_extent=(32.0, 40.0),
    dtypes={"uint16": 5},
    stored_channels={1: 5},
    channels=ChannelRule(drop_alpha=False, collapse_grey=False, used=1),
    channel_min=(3.0,),
    channel_max=(65535.0,),
    channel_mean=(1234.5,),
    channel_std=(0.25,),
    mask_values={0: 3, 7: 1},
    class_pixels=(3000, 1000),
    train_class_pixels=(3, 1),
    ignored_pixels=0,
    absent=((), ("a",)),
    digest="9f" * 32,
)
FULL = replace(
    PRINT,
    foreground=Intensities(mean=(5.0,), std=(1.0,), low=(2.0,), high=(9.0,)),
    objects=ObjectSizes(count=9, per_image=(1, 2.5, 4), pixels=(10.0, 20.0, 40.0), diameter=(3.6, 5.0, 7.1)),
)


@pytest.mark.parametrize("fingerprint", [PRINT, FULL])
def test_it_survives_json(fingerprint):
    assert Fingerprint.from_dict(json.loads(json.dumps(fingerprint.to_dict()))) == fingerprint


def test_one_without_the_newer_numbers_can_be_read():
    table = PRINT.to_dict()
    del table["foreground"], table["objects"]
    assert Fingerprint.from_dict(table) == PRINT
    for name in ("spacings", "oriented", "median_size", "median_spacing", "finest_spacing", "median_extent"):
        del table[name]
    assert Fingerprint.from_dict(table).sizes == PRINT.sizes


def test_shares_and_dimensions():
    assert PRINT.class_shares == (0.75, 0.25)
    assert PRINT.dimensions == 2
    assert replace(PRINT, sizes={(3, 4, 5): 1}).dimensions == 3
    assert replace(PRINT, sizes={}, class_pixels=(0, 0)).class_shares == (0.0, 0.0)
