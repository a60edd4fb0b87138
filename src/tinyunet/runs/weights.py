"""`model.safetensors`: the chosen weights and all that is needed to use them, in one file of bytes that repeat."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tinyunet import __version__
from tinyunet.data.writers import replace_file
from tinyunet.errors import CheckpointError
from tinyunet.runs.config import FORMAT, Config, config_to_dict
from tinyunet.runs.folder import checked_config
from tinyunet.training.state import Variables

KEY = "tinyunet"


def write_weights(path: Path, variables: Variables, config: Config) -> None:
    """Writes variables and configuration as one file.

    A tensor's name is its path in the tree of variables, such as `params/unet/ConvBlock_0/Conv_0/kernel`. The
    metadata has one key, `tinyunet`: JSON with sorted keys, holding no time, host or path, because safetensors writes
    several keys in an order that changes; so equal trainings give equal bytes.
    """
    tree = config_to_dict(config)
    tree["data"].pop("folder", None)
    about = json.dumps({"format": FORMAT, "version": __version__, "config": tree}, sort_keys=True)
    tensors = {name: np.asarray(value) for name, value in flatten_dict(jax.device_get(variables), sep="/").items()}
    with replace_file(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={KEY: about}))


def read_weights(path: Path) -> tuple[Variables, Config]:
    """The inverse of `write_weights`.

    Raises:
        CheckpointError: The file is missing, damaged, not one of ours, or of a newer version.
    """
    if not path.is_file():
        raise CheckpointError(f"There are no weights at {path}; a finished or stopped training writes them.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file, or damaged: {error}.") from None
    if KEY not in metadata:
        raise CheckpointError(f"{path} holds weights, but not from tinyunet: the metadata key {KEY!r} is missing.")
    try:
        about = json.loads(metadata[KEY])
        tree = {"format": about["format"], **about["config"]}
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"The metadata of {path} is damaged: {error!r}.") from None
    return unflatten_dict(tensors, sep="/"), checked_config(tree, where=str(path))
