"""What a live training is like unless something else is asked for; the numbers are from benchmarks/studio.py."""

import dataclasses
from pathlib import Path

from tinyunet.models.presets import preset as model_of
from tinyunet.runs.config import Config
from tinyunet.training.losses import LossConfig

LEARNING_RATE = 1e-3


def live_config(
    folder: Path, *, preset: str | None = None, features: int | None = None, seed: int | None = None
) -> Config:
    """The configuration of a live training.

    The loss is the cross-entropy alone: a Dice loss wants the share of each class in the image, which strokes do not
    have. The learning rate is a third of that of a training whose end is known and which decays it.

    Args:
        folder: The data set.
        preset: Of the network; None for the default.
        features: Channels of its first stage; None for the preset's.
        seed: Of everything random; None for 0.

    Raises:
        ConfigError: A value that cannot be.
    """
    base = Config() if seed is None else Config(seed=seed)
    model = base.model if preset is None else model_of(preset)
    if features is not None:
        model = dataclasses.replace(model, features=features)
    descent = dataclasses.replace(base.optimiser, learning_rate=LEARNING_RATE)
    data = dataclasses.replace(base.data, folder=str(folder.resolve()))
    return dataclasses.replace(base, data=data, model=model, loss=LossConfig(dice=0.0), optimiser=descent)
