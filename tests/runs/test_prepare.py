import dataclasses
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from tinyunet.data.check import examine
from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.normalise import ChannelRule, Normalisation
from tinyunet.data.split import Split
from tinyunet.errors import ConfigError, DataError
from tinyunet.runs.config import Config, DataConfig, config_from_dict, config_to_dict
from tinyunet.runs.machine import installed_memory
from tinyunet.runs.prepare import CACHE_SHARE, open_store, resolve
from tinyunet.training.losses import LossConfig


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data set of six grey images and their masks."""
    folder, rng = tmp_path_factory.mktemp("cells"), np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for name in "abcdef":
        Image.fromarray(rng.integers(0, 200, (20, 24), np.uint8)).save(folder / "images" / f"{name}.png")
        Image.fromarray(255 * rng.integers(0, 2, (20, 24), np.uint8)).save(folder / "masks" / f"{name}.png")
    return folder


def test_weights_of_objects_are_those_of_their_parts(root):
    weights = LossConfig(class_weights=(1.0, 2.0, 3.0))
    config, _ = resolve(Config(loss=weights, data=DataConfig(task="instances")), root)
    assert config.loss == weights
    with pytest.raises(ConfigError, match=r"\(background, rim, core\), got 2"):
        resolve(Config(loss=LossConfig(class_weights=(1.0, 2.0)), data=DataConfig(task="instances")), root)


def test_nothing_is_left_open(root):
    config, examination = resolve(Config(seed=3), root)
    found = examine(root, seed=3)
    assert config.data == DataConfig(
        folder=str(root.resolve()),
        task="semantic",
        normalise="image",
        labelling=found.labelling,
        channels=found.channels,
        normalisation=Normalisation("image"),
        split=found.split,
    )
    assert dataclasses.replace(examination, notes=found.notes) == found
    batches = dataclasses.replace(Config().batches, patch=(256, 256), margin=(32, 32))
    assert dataclasses.replace(config, data=DataConfig()) == Config(seed=3, batches=batches)


def test_the_split_is_drawn_from_the_seed(root):
    splits = {resolve(Config(seed=seed), root)[0].data.split for seed in range(5)}
    assert len(splits) > 1


def test_resolving_again_changes_nothing(root):
    config, _ = resolve(Config(), root)
    read = config_from_dict(config_to_dict(config), where="config.toml")
    assert resolve(read, root)[0] == config


def test_normalising_by_the_data_set_takes_the_numbers_of_its_training_images(root):
    config, examination = resolve(Config(data=DataConfig(normalise="dataset")), root)
    pixels = np.stack([np.asarray(Image.open(root / "images" / f"{name}.png")) for name in config.data.split.train])
    assert config.data.normalisation.mean == pytest.approx((pixels.mean(),))
    assert config.data.normalisation.std == pytest.approx((pixels.std(),))
    assert config.data.normalisation.mean == examination.fingerprint.channel_mean


def test_what_an_earlier_run_decided_is_kept(root):
    split = Split(("f", "a"), ("b",), ("c",))
    kept = DataConfig(split=split, normalisation=Normalisation("dataset", (1.0,), (2.0,)))
    data = resolve(Config(data=kept), root)[0].data
    assert data.split == split
    assert data.normalisation == kept.normalisation
    assert data.normalise == "dataset"


def test_a_task_that_is_given_wins(root):
    config, _ = resolve(Config(data=DataConfig(task="foreground")), root)
    assert (config.data.task, config.data.labelling.task) == ("foreground", "foreground")


def test_names_the_data_set_does_not_have_are_counted(root):
    split = Split(("y", "a", "x"), ("b",), ())
    message = (
        f"The configuration trains on 'x' (2 such names), which {root} does not have; "
        "remove data.split from the configuration to draw a new one."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        resolve(Config(data=DataConfig(split=split)), root)


def test_class_weights_are_one_for_each_class(root):
    message = r"^`loss\.class_weights` must have one entry for each class \(.+, .+\), got 3\.$"
    with pytest.raises(ConfigError, match=message):
        resolve(Config(loss=LossConfig(class_weights=(1.0, 2.0, 3.0))), root)


def test_the_channels_of_another_data_set_are_refused(root):
    message = (
        f"The configuration is for images of 3 channels, but {root} has images of 1; "
        "remove data.channels and data.normalisation from the configuration."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        resolve(Config(data=DataConfig(channels=ChannelRule(False, False, 3))), root)


def test_the_classes_of_another_data_set_are_refused(root):
    labelling = Labelling("semantic", (ClassInfo("a", 0, "#000000"), ClassInfo("b", 1, "#ffffff")))
    with pytest.raises(DataError, match=f"^{re.escape(str(root / 'masks'))} holds values that no class has: 255"):
        resolve(Config(data=DataConfig(labelling=labelling)), root)


def test_problems_of_the_data_end_it(root, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(root, broken)
    (broken / "masks" / "c.png").unlink()
    (broken / "images" / "d.png").write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        resolve(Config(), broken)
    assert len(caught.value.problems) == 2


def test_a_store_reads_as_the_configuration_says(root):
    config, examination = resolve(Config(data=DataConfig(normalise="dataset")), root)
    store = open_store(config, examination.folder, ("d", "a"))
    assert [sample.name for sample in store.samples] == ["d", "a"]
    image, labels = store(1)
    pixels = np.asarray(Image.open(root / "images" / "a.png")).astype(np.float64)
    mean, std = config.data.normalisation.mean[0], config.data.normalisation.std[0]
    np.testing.assert_allclose(image[..., 0], (pixels - mean) / std, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(labels, np.asarray(Image.open(root / "masks" / "a.png")) > 0)
    assert store.max_bytes == int(CACHE_SHARE * installed_memory())


def test_a_store_of_unknown_names_is_refused(root):
    config, examination = resolve(Config(), root)
    message = f"{root} has no image 'x' (2 of 3 are missing)."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        open_store(config, examination.folder, ("x", "a", "y"))
