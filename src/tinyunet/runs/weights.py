"""`model.safetensors`: the chosen weights and all that is needed to use them, in one file of bytes that repeat."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
OTHERS = "others"


class Weights(NamedTuple):
    """What a weights file holds.

    Attributes:
        variables: Parameters and batch statistics.
        config: How they were trained.
        temperature: What their probabilities are to be scaled by; see `tinyunet.evaluation.temperature`.
        others: Those of further networks, whose probabilities are averaged with theirs.
    """

    variables: Variables
    config: Config
    temperature: float
    others: tuple[Variables, ...] = ()


def write_weights(
    path: Path,
    variables: Variables,
    config: Config,
    *,
    temperature: float = 1.0,
    others: Sequence[Variables] = (),
) -> None:
    """Writes variables, configuration and temperature as one file.

    A tensor's name is its path in the tree of variables, such as `params/unet/ConvBlock_0/Conv_0/kernel`; those of
    further networks stand below `others/0`, `others/1` and so on. The metadata has one key, `tinyunet`: JSON with
    sorted keys, holding no time, host or path, because safetensors writes several keys in an order that changes; so
    equal trainings give equal bytes.
    """
    tree = config_to_dict(config)
    tree["data"].pop("folder", None)
    facts = {"format": FORMAT, "version": __version__, "config": tree, "temperature": temperature}
    about = json.dumps(facts, sort_keys=True)
    more = {OTHERS: {str(number): member for number, member in enumerate(others)}} if others else {}
    members = flatten_dict(jax.device_get({**variables, **more}), sep="/")
    tensors = {name: np.asarray(value) for name, value in members.items()}
    with replace_file(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={KEY: about}))


def read_weights(path: Path) -> Weights:
    """The inverse of `write_weights`; a file of before there were temperatures has 1.

    Raises:
        CheckpointError: The file is missing, damaged, not one of ours, or of a newer version.
    """
    if not path.is_file():
        raise CheckpointError(f"There are no weights at {path}; a finished or stopped training writes them.")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata: dict[str, str] = file.metadata() or {}
            # The file is no mapping and cannot be gone through without `keys`.
            tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a safetensors file, or damaged: {error}.") from None
    if KEY not in metadata:
        raise CheckpointError(f"{path} holds weights, but not from tinyunet: the metadata key {KEY!r} is missing.")
    try:
        about = json.loads(metadata[KEY])
        tree = {"format": about["format"], **about["config"]}
        temperature = float(about.get("temperature", 1.0))
        if not 0 < temperature < math.inf:
            raise ValueError(f"its temperature is {temperature}")
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"The metadata of {path} is damaged: {error!r}.") from None
    variables = unflatten_dict(tensors, sep="/")
    more = variables.pop(OTHERS, {})
    numbers = [str(number) for number in range(len(more))] if isinstance(more, dict) else []
    if not isinstance(more, dict) or set(more) != set(numbers):
        raise CheckpointError(f"{path} is damaged: its further networks are not numbered from 0.")
    others = tuple(more[number] for number in numbers)
    return Weights(variables, checked_config(tree, where=str(path)), temperature, others)
