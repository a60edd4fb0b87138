import dataclasses
import re

import numpy as np
import pytest
from reference import tiny

from tinyunet.errors import ConfigError, DataError
from tinyunet.runs.divided import predict_over_devices, probabilities_over_devices
from tinyunet.runs.run import load


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("divided")
    return load(tiny.train_tiny(tiny.write_pairs(root / "cells"), root / "run"))


def test_it_is_what_tiles_give(run):
    image = tiny.picture(3)[0][:29, :17]
    warm = dataclasses.replace(run, temperature=1.5, others=(run.variables,))
    expected = warm.probabilities(image)
    np.testing.assert_allclose(probabilities_over_devices(warm, image), expected, atol=1e-5)
    np.testing.assert_array_equal(predict_over_devices(warm, image, devices=1), expected.argmax(-1))


def test_devices_that_are_not_there_are_refused(run):
    with pytest.raises(ConfigError, match=r"^`devices` must be from 1 to the 1 that JAX finds here, got 3\.$"):
        predict_over_devices(run, tiny.picture(3)[0], devices=3)


@pytest.mark.parametrize("options", [{"norm": "instance"}, {"padding": "valid"}])
def test_networks_that_only_work_by_tiles_are_refused(run, options):
    model = dataclasses.replace(run.config.model, **options)
    other = dataclasses.replace(run, config=dataclasses.replace(run.config, model=model))
    text = f"A network of padding {model.padding!r} and norm {model.norm!r} cannot be divided over devices: predict by"
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}"):
        predict_over_devices(other, tiny.picture(3)[0])


def test_other_channels_are_refused_as_by_tiles(run):
    with pytest.raises(DataError):
        predict_over_devices(run, np.zeros((8, 8, 7), np.uint8))
