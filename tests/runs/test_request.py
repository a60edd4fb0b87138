import dataclasses
import functools
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tinyunet.errors import ConfigError
from tinyunet.models.presets import PRESETS
from tinyunet.runs.config import FORMAT, Config, TrainConfig, config_to_dict
from tinyunet.runs.request import Request, read_request
from tinyunet.training.losses import LossConfig

# Every value differs from its default, so that none can be lost unseen; another test checks that this stays so.


def read_config(file: Path | None, settings: Sequence[str] = ()) -> Config:
    """What is asked for, over the defaults."""
    return read_request(file, settings).over(Config())


def test_a_file_by_hand(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text('seed = 3\n[model]\nfeatures = 8\nnorm = "none"\n[loss]\ndice = 2\nclass_weights = [1, 2.5]\n')
    config = read_config(file)
    assert config.seed == 3
    assert config.model == dataclasses.replace(PRESETS["tiny"], features=8, norm="none")
    assert config.loss == LossConfig(dice=2.0, class_weights=(1.0, 2.5))
    assert isinstance(config.loss.dice, float)
    assert config.train == TrainConfig()


def test_without_anything_it_is_the_defaults():
    assert read_config(None) == Config()
    assert Config().model == PRESETS["tiny"]


def value_at(tree, path):
    return functools.reduce(lambda table, key: table[key], path, tree)


@pytest.mark.parametrize(
    ("settings", "path", "value"),
    [
        (["seed=3"], ("seed",), 3),
        (["model.features = 9"], ("model", "features"), 9),
        (["data.task=foreground"], ("data", "task"), "foreground"),
        (['data.task="foreground"'], ("data", "task"), "foreground"),
        (["data.folder=/a=b/c.d"], ("data", "folder"), "/a=b/c.d"),
        (["augment.flips=false"], ("augment", "flips"), False),
        (["optimiser.learning_rate=1e-4"], ("optimiser", "learning_rate"), 1e-4),
        (["loss.class_weights=[1, 2]"], ("loss", "class_weights"), [1.0, 2.0]),
        (["loss.class_weights=2"], ("loss", "class_weights"), [2.0]),
        (["batches.patch=128"], ("batches", "patch"), [128]),
        (["batches.patch=[16, 128, 128]"], ("batches", "patch"), [16, 128, 128]),
        (["seed=3", "seed=4"], ("seed",), 4),
        (["model.preset=unet2015", "model.features=4"], ("model", "convs_per_block"), 2),
        (["model.features=4", "model.preset=unet2015"], ("model", "features"), 4),
    ],
)
def test_single_settings(settings, path, value):
    assert value_at(config_to_dict(read_config(None, settings)), path) == value


def test_a_setting_goes_over_the_file(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text("[model]\nfeatures = 8\ndepth = 2\n")
    model = read_config(file, ["model.features=5"]).model
    assert (model.features, model.depth) == (5, 2)


@pytest.mark.parametrize("setting", ["seed", "=3", "", "model.=3", "."])
def test_a_setting_is_key_and_value(setting):
    message = f"A setting must be key=value, got {setting!r}; for example model.features=16."
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        read_config(None, [setting])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["augment.flips=yes"], "--set: `augment.flips` must be true or false, got 'yes'."),
        (["a..b=3"], "--set: unknown key `a`."),
        (["model=3", "model.features=2"], "`model.features`: 'model' is a value, not a table."),
        (["seed=1" + "0" * 5000], "--set: `seed` must be a whole number, got '1000"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        read_config(None, settings)


def test_where_a_file_and_settings_meet_both_are_named(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text("seed = 1")
    with pytest.raises(ConfigError, match=f"^{re.escape(str(file))} with --set: `seed` must be a whole number"):
        read_config(file, ["seed=x"])


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"^There is no configuration file no\.toml\.$"):
        read_config(Path("no.toml"))


@pytest.mark.parametrize(
    "content", [b"seed = ", b"\xff\xfe", b"seed = 1" + b"0" * 5000], ids=["toml", "text", "digits"]
)
def test_a_file_that_is_not_toml_is_named(tmp_path, content):
    file = tmp_path / "my.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"^{re.escape(str(file))} cannot be read as TOML: .+\.$"):
        read_config(file)


def test_the_configuration_file_of_a_run_can_be_read_unless_it_is_newer(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(f"format = {FORMAT}\nseed = 3\n")
    assert read_config(file).seed == 3
    file.write_text(f"format = {FORMAT + 1}\nseed = 3\n")
    message = f"{file} was made by a newer version of tinyunet (format {FORMAT + 1}, this one reads up to {FORMAT})"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        read_config(file)


def test_what_is_asked_for_goes_over_any_base():
    base = dataclasses.replace(Config(), seed=5, model=dataclasses.replace(PRESETS["tiny"], hold=(4, 0, 0)))
    asked = read_request(None, ["model.preset=seed", "train.steps=7"])
    config = asked.over(base)
    assert (config.seed, config.train.steps) == (5, 7)
    # A preset leaves open only what is held, which its depth may cut short.
    assert config.model == dataclasses.replace(PRESETS["seed"], hold=(2, 0, 0))
    assert [asked.holds(key) for key in ("model.features", "model.hold", "train.steps", "seed")] == [
        True,
        False,
        True,
        False,
    ]


def test_a_value_more():
    asked = Request({"train": {"steps": 3}}).set("seed", 4).set("train.stop_after", 2)
    assert asked.tree == {"train": {"steps": 3, "stop_after": 2}, "seed": 4}


def test_a_whole_configuration_holds_everything():
    config = dataclasses.replace(Config(), seed=9)
    assert Request.of(config).over(Config()) == config
    assert Request.of(config).holds("augment.flips")
