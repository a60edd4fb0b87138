import dataclasses
import json
import re

import jax
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load, save_file

from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.normalise import ChannelRule, Normalisation
from tinyunet.data.split import Split
from tinyunet.errors import CheckpointError, ConfigError
from tinyunet.models.presets import ModelConfig
from tinyunet.runs.config import Config, DataConfig
from tinyunet.runs.folder import FORMAT
from tinyunet.runs.weights import KEY, read_weights, write_weights

RNG = np.random.default_rng(0)
VARIABLES = {
    "params": {
        "head": {"bias": np.float32([1e-40, -0.0])},
        "unet": {"Conv_0": {"kernel": RNG.normal(size=(3, 3, 1, 2)).astype(np.float32)}},
    },
    "batch_stats": {"unet": {"mean": np.zeros(2, np.float32)}},
}
CLASSES = ClassInfo("background", 0, "#000000"), ClassInfo("cell", 255, "#ffffff")
CONFIG = Config(
    seed=3,
    model=ModelConfig(features=2, depth=1),
    data=DataConfig(
        folder="/home/somebody/cells",
        task="semantic",
        labelling=Labelling("semantic", CLASSES),
        channels=ChannelRule(drop_alpha=False, collapse_grey=False, used=1),
        normalisation=Normalisation("image"),
        split=Split(("a",), ("b",), ("c",)),
    ),
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def metadata(path):
    with safe_open(path, framework="numpy") as file:
        return file.metadata()


def test_what_was_written_comes_back_without_the_folder(path):
    write_weights(path, VARIABLES, CONFIG)
    variables, config, temperature, _ = read_weights(path)
    assert jax.tree.structure(variables) == jax.tree.structure(VARIABLES)
    assert jax.tree.all(jax.tree.map(lambda a, b: a.tobytes() == b.tobytes(), variables, VARIABLES))
    assert temperature == 1
    assert config == dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, folder=""))


def test_the_temperature_comes_back_and_was_one_before_there_was_any(path):
    write_weights(path, VARIABLES, CONFIG, temperature=1.234)
    assert read_weights(path).temperature == 1.234
    about = json.loads(metadata(path)[KEY])
    del about["temperature"]
    save_file({"w": np.zeros(1, np.float32)}, path, metadata={KEY: json.dumps(about)})
    assert read_weights(path).temperature == 1


@pytest.mark.parametrize("value", ["0", "-1", "NaN", "null", '"hot"', "1e999"])
def test_a_damaged_temperature_is_named(path, value):
    about = f'{{"format": {FORMAT}, "config": {{}}, "temperature": {value}}}'
    save_file({"w": np.zeros(1, np.float32)}, path, metadata={KEY: about})
    with pytest.raises(CheckpointError, match=rf"^The metadata of {re.escape(str(path))} is damaged: .+\.$"):
        read_weights(path)


def test_further_networks_come_back_in_their_order(path):
    others = [jax.tree.map(lambda x, number=number: x + np.float32(number), VARIABLES) for number in range(11)]
    write_weights(path, VARIABLES, CONFIG, others=others)
    found = read_weights(path)
    assert "others" not in found.variables
    assert [each["batch_stats"]["unet"]["mean"].tolist() for each in found.others] == [[n, n] for n in range(11)]
    with safe_open(path, framework="numpy") as file:
        assert "others/10/params/head/bias" in file.keys()  # noqa: SIM118


def test_further_networks_that_are_not_numbered_are_named(path):
    write_weights(path, VARIABLES, CONFIG)
    about = metadata(path)
    for name in ("others/1/w", "others"):
        save_file({name: np.zeros(1, np.float32)}, path, metadata=about)
        with pytest.raises(CheckpointError, match=r"is damaged: its further networks are not numbered from 0\.$"):
            read_weights(path)


def test_a_tensor_is_called_by_its_path(path):
    write_weights(path, VARIABLES, CONFIG)
    assert sorted(load(path.read_bytes())) == [
        "batch_stats/unet/mean",
        "params/head/bias",
        "params/unet/Conv_0/kernel",
    ]


def test_equal_trainings_give_equal_bytes(path, tmp_path):
    write_weights(path, VARIABLES, CONFIG)
    elsewhere = dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, folder="/mnt/other"))
    in_other_order = {"batch_stats": VARIABLES["batch_stats"], "params": dict(reversed(VARIABLES["params"].items()))}
    write_weights(tmp_path / "again", jax.tree.map(jax.numpy.asarray, in_other_order), elsewhere)
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def test_the_metadata_is_one_key_of_sorted_json_without_place_or_time(path):
    write_weights(path, VARIABLES, CONFIG)
    (key,) = metadata(path)
    assert key == KEY
    about = json.loads(metadata(path)[KEY])
    assert json.dumps(about, sort_keys=True) == metadata(path)[KEY]
    assert sorted(about) == ["config", "format", "temperature", "version"]
    assert "folder" not in about["config"]["data"]
    assert not re.search(rb"somebody|/home|" + str(path.parent).encode(), path.read_bytes())


def test_writing_leaves_its_arguments_as_they_were(path):
    write_weights(path, VARIABLES, CONFIG)
    assert CONFIG.data.folder == "/home/somebody/cells"
    assert sorted(VARIABLES) == ["batch_stats", "params"]


def test_missing_weights_are_named(path):
    message = f"There are no weights at {path}; a finished or stopped training writes them."
    with pytest.raises(CheckpointError, match=f"^{re.escape(message)}$"):
        read_weights(path)


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_a_damaged_file_is_named(path, length):
    write_weights(path, VARIABLES, CONFIG)
    path.write_bytes(path.read_bytes()[:length])
    message = rf"^{re.escape(str(path))} is not a safetensors file, or damaged: .+\.$"
    with pytest.raises(CheckpointError, match=message):
        read_weights(path)


@pytest.mark.parametrize("found", [None, {"format": "pt"}])
def test_weights_of_another_program_are_named(path, found):
    save_file({"w": np.zeros(1, np.float32)}, path, metadata=found)
    message = f"{path} holds weights, but not from tinyunet: the metadata key 'tinyunet' is missing."
    with pytest.raises(CheckpointError, match=f"^{re.escape(message)}$"):
        read_weights(path)


@pytest.mark.parametrize("about", ["{", "3", "[]", "{}", '{"format": 1}', '{"format": 1, "config": 3}'])
def test_damaged_metadata_are_named(path, about):
    save_file({"w": np.zeros(1, np.float32)}, path, metadata={KEY: about})
    with pytest.raises(CheckpointError, match=rf"^The metadata of {re.escape(str(path))} is damaged: .+\.$"):
        read_weights(path)


def test_weights_of_a_newer_version_are_refused(path):
    save_file({"w": np.zeros(1, np.float32)}, path, metadata={KEY: f'{{"format": {FORMAT + 1}, "config": {{}}}}'})
    with pytest.raises(CheckpointError, match=rf"^{re.escape(str(path))} was made by a newer version of tinyunet"):
        read_weights(path)


def test_a_configuration_that_cannot_be_used_names_the_file(path):
    save_file({"w": np.zeros(1, np.float32)}, path, metadata={KEY: f'{{"format": {FORMAT}, "config": {{"seed": -1}}}}'})
    with pytest.raises(ConfigError, match=rf"^{re.escape(str(path))}: `seed` must be in"):
        read_weights(path)
