"""What a live training is like unless something else is asked for."""

import pytest

from tinyunet.errors import ConfigError
from tinyunet.models.presets import PRESETS
from tinyunet.runs.live.defaults import live_config


def test_the_network_is_that_of_any_training_and_the_loss_knows_no_shares(tmp_path):
    config = live_config(tmp_path)
    assert config.model == PRESETS["tiny"]
    assert (config.seed, config.loss.dice, config.loss.cross_entropy) == (0, 0.0, 1.0)
    assert config.data.folder == str(tmp_path.resolve())


def test_options_are_taken_over(tmp_path):
    config = live_config(tmp_path, preset="seed", features=5, seed=3)
    assert (config.model.depth, config.model.features, config.seed) == (PRESETS["seed"].depth, 5, 3)


def test_what_cannot_be_is_said(tmp_path):
    with pytest.raises(ConfigError, match="No preset is called 'tinny'"):
        live_config(tmp_path, preset="tinny")
    with pytest.raises(ConfigError, match=r"`model.features` must be from 1"):
        live_config(tmp_path, features=0)
