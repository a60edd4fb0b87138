import json

import numpy as np
import pytest
from reference import pipelines

from tinyunet.data.normalise import ChannelRule, Normalisation


def test_what_is_written_down_says_what_goes_in_and_what_comes_out():
    about = json.loads(pipelines.pipeline_of(values=(0, 128, 255)).about())
    assert about["inputs"] == {"image": ["batch", "channels", "height", "width"]}
    assert about["outputs"] == {
        "probabilities": ["batch", "names", "height", "width"],
        "labels": ["batch", "height", "width"],
    }
    assert (about["names"], about["label_values"]) == (["ground", "cell", "wall"], [0, 128, 255])
    assert about["normalisation"] == {"kind": "image", "mean": [], "std": []}


def test_maps_stand_in_for_labels():
    pipeline = pipelines.pipeline_of(values=None, maps={"both": (1, 2)}, dimensions=3)
    assert pipeline.outputs == ("probabilities", "both")
    about = json.loads(pipeline.about())
    assert about["maps"] == {"both": ["cell", "wall"]}
    assert about["outputs"]["both"] == ["batch", "depth", "height", "width"]


def test_a_channel_without_contrast_is_multiplied_by_nothing():
    mean, factor = pipelines.pipeline_of(
        channels=2, normalisation=Normalisation("dataset", (3.0, 4.0), (2.0, 0.0))
    ).affine()
    np.testing.assert_array_equal(mean, [3, 4])
    np.testing.assert_array_equal(factor, [0.5, 0])


@pytest.mark.parametrize(("drop", "collapse"), [(False, False), (True, False), (False, True)])
def test_channels_that_hold_nothing_may_be_given(drop, collapse):
    rule = ChannelRule(drop_alpha=drop, collapse_grey=collapse, used=1)
    assert pipelines.pipeline_of(rule=rule).takes_more_channels == (drop or collapse)
