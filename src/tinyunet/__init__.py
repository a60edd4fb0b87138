"""tinyunet: from a folder of images and masks to a working segmenter.

The public names are loaded when they are first used, so `import tinyunet` costs nothing: neither JAX nor NumPy is
imported by it.

Example:
    >>> import tinyunet
    >>> tinyunet.UNet.__module__
    'tinyunet.models.unet'
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tinyunet.errors import CheckpointError, ConfigError, DataError, TinyUNetError, TrainingError
    from tinyunet.models.segmenter import Segmenter
    from tinyunet.models.unet import UNet
    from tinyunet.runs.evaluate import evaluate
    from tinyunet.runs.export import export_run
    from tinyunet.runs.folds import train_folds
    from tinyunet.runs.run import Run, load
    from tinyunet.runs.train import train
    from tinyunet.seed import unet_forward

__all__ = [
    "train",
    "train_folds",
    "load",
    "evaluate",
    "export_run",
    "Run",
    "UNet",
    "Segmenter",
    "unet_forward",
    "TinyUNetError",
    "DataError",
    "ConfigError",
    "CheckpointError",
    "TrainingError",
]

# Where each public name lives; the imports above say the same to type checkers and editors, and a test compares them.
_HOME = {
    "train": "tinyunet.runs.train",
    "train_folds": "tinyunet.runs.folds",
    "load": "tinyunet.runs.run",
    "evaluate": "tinyunet.runs.evaluate",
    "export_run": "tinyunet.runs.export",
    "Run": "tinyunet.runs.run",
    "UNet": "tinyunet.models.unet",
    "Segmenter": "tinyunet.models.segmenter",
    "unet_forward": "tinyunet.seed",
    "TinyUNetError": "tinyunet.errors",
    "DataError": "tinyunet.errors",
    "ConfigError": "tinyunet.errors",
    "CheckpointError": "tinyunet.errors",
    "TrainingError": "tinyunet.errors",
}


def __getattr__(name: str) -> object:
    """A public name, imported from its home when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'tinyunet' has no attribute {name!r}.")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value  # the next use finds it without coming here
    return value


def __dir__() -> list[str]:
    """The names of the module, those not loaded yet included."""
    return sorted({*globals(), *__all__})
