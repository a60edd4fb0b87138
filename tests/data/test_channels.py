from pathlib import Path

import numpy as np
import pytest

from tinyunet.data.channels import decide_channels
from tinyunet.data.facts import image_facts
from tinyunet.data.normalise import ChannelRule


def images(*arrays):
    return [(Path(f"{i}.png"), image_facts(np.array(array, np.uint8))) for i, array in enumerate(arrays)]


def pixel(*values):
    return [[list(values)]]


@pytest.mark.parametrize(
    ("pixels", "rule", "notes"),
    [
        ([pixel(1), pixel(2)], (False, False, 1), 0),
        ([pixel(1, 2, 3), pixel(4, 4, 4)], (False, False, 3), 0),
        ([pixel(1, 1, 1), pixel(4, 4, 4)], (False, True, 1), 1),
        ([pixel(1, 2, 3, 255), pixel(1, 2, 4)], (True, False, 3), 1),
        ([pixel(1, 1, 1, 255), pixel(2), pixel(3, 255), pixel(5, 5, 5)], (True, True, 1), 2),
        ([pixel(1, 1, 1, 255), pixel(1, 1, 1, 254)], (False, False, 4), 0),
        ([pixel(1, 255), pixel(1, 0)], (False, False, 2), 0),
        ([pixel(1, 2, 3, 4, 5)], (False, False, 5), 0),
        ([], (False, False, 1), 0),
    ],
)
def test_channels_are_decided_over_all_images(pixels, rule, notes):
    found, findings = decide_channels(images(*pixels))
    assert found == ChannelRule(*rule)
    assert findings.problems == ()
    assert len(findings.notes) == notes


def test_an_image_with_other_channels_is_a_problem():
    _, findings = decide_channels(images(pixel(1), pixel(1, 2, 3), pixel(2)))
    assert findings.problems == ("1.png must have 1 channel as most images have, got 3. Convert it or remove it.",)


def test_a_grey_image_among_coloured_ones_is_a_problem():
    _, findings = decide_channels(images(pixel(1, 2, 3), pixel(1), pixel(2, 3, 4)))
    assert findings.problems == ("1.png must have 3 channels as most images have, got 1. Convert it or remove it.",)
