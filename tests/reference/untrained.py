"""A run folder with random weights, made without a training, for tests of what is done with runs."""

import dataclasses

import jax
import numpy as np
from reference import tiny
from reference.variables import random_variables

from tinyunet.data.augment.compose import AugmentConfig
from tinyunet.data.batches import BatchConfig
from tinyunet.data.labelling import ClassInfo, Labelling
from tinyunet.data.normalise import ChannelRule, Normalisation
from tinyunet.data.split import Split
from tinyunet.models.presets import ModelConfig
from tinyunet.runs.build import build_model, network_classes
from tinyunet.runs.config import Config, DataConfig
from tinyunet.runs.folder import write_config
from tinyunet.runs.run import load
from tinyunet.runs.weights import write_weights

CLASSES = ClassInfo("background", 0, "#000000"), ClassInfo("foreground", 255, "#e69f00")
MODEL = ModelConfig(features=2, depth=1)
PLAIN = AugmentConfig()


def untrained_run(folder, *, seed=0, members=1, temperature=1.0, model=MODEL, augment=PLAIN, patch=(16,), **changed):
    """A run of the images of `tiny.write_pairs`, in a folder that is made; `members` networks instead of one.

    `model` is its network and `augment` its augmentation; what else is `changed` are fields of the `DataConfig`.
    """
    data = DataConfig(
        labelling=Labelling("semantic", CLASSES),
        channels=ChannelRule(drop_alpha=False, collapse_grey=False, used=1),
        normalisation=Normalisation("image"),
        split=Split(train=("0", "1", "2", "3"), val=("4",), test=("5",)),
    )
    data = dataclasses.replace(data, **changed)
    config = Config(data=data, model=model, batches=BatchConfig(patch=patch), augment=augment)
    network = build_model(config.model, classes=len(network_classes(data.labelling)))
    sides = [topology.smallest_size(tiny.SIDE) for topology in network.unet.topologies(len(config.patch))]
    image = jax.ShapeDtypeStruct((1, *sides, data.channels.used), np.float32)
    first, *others = (random_variables(network, image, seed=seed + member) for member in range(members))
    folder.mkdir()
    write_config(folder, config)
    write_weights(folder / "model.safetensors", first, config, temperature=temperature)
    return dataclasses.replace(load(folder), others=tuple(others))
