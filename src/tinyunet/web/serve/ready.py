"""Making a network ready before the first request comes."""

import numpy as np

from tinyunet.runs.run import Run


def warm_up(run: Run) -> None:
    """Predicts an image of noise: what computes is chosen, compared with XLA and compiled, and misfits are found.

    Args:
        run: The trained network.

    Raises:
        CheckpointError: The weights are not those of the run's own configuration.
    """
    noise = np.random.default_rng(0).integers(0, 256, (*run.config.patch, run.channels.used), np.uint8)
    run.predict(noise)
