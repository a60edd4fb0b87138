"""The configuration of a run: the parts' dataclasses put together, to and from TOML.

A table of `config.toml` is the dataclass of the part it configures, so the documentation of a key is that of the
attribute. The only special key is `model.preset`, which starts from a preset and is replaced by its values.
"""

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from tinyunet.data.augment.compose import AugmentConfig
from tinyunet.data.batches import BatchConfig
from tinyunet.data.labelling import Labelling
from tinyunet.data.normalise import ChannelRule, Normalisation
from tinyunet.data.split import Split
from tinyunet.errors import ConfigError, suggest
from tinyunet.models.presets import PRESETS, ModelConfig, preset
from tinyunet.objects.target import ObjectConfig
from tinyunet.training.losses import LossConfig
from tinyunet.training.optimiser import OptimiserConfig

T = TypeVar("T")

FORMAT = 1
"""Version of the run folder and of the metadata of `model.safetensors`; raised when an older reader must refuse."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which data, and how they were understood. What is not given is worked out by `check` and written down.

    Attributes:
        folder: The data set's folder.
        task: `semantic`, `foreground` or `instances`; empty: as `dataset.toml` says, else `instances` where the masks
            look like numbered objects, and `semantic` where they do not.
        normalise: `image`: each image by its own mean and standard deviation; `dataset`: all by the training set's.
        labelling: What the mask values mean.
        channels: Which channels of the files are used.
        normalisation: The numbers of the normalisation.
        split: The names of the images for training, validation and test.
        axes: Letters of the axes that files are stored in, as `dataset.toml` declares them for files that do not say.
        spacing: Size of a pixel along each axis of space at which the network works, to which volumes of other spacings
            are resampled; empty: each image keeps its own pixels.
    """

    folder: str = ""
    task: Literal["", "semantic", "foreground", "instances"] = ""
    normalise: Literal["image", "dataset"] = "image"
    labelling: Labelling | None = None
    channels: ChannelRule | None = None
    normalisation: Normalisation | None = None
    split: Split | None = None
    axes: str = ""
    spacing: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """How long, and how often to look.

    Attributes:
        steps: Number of steps, which also fixes the schedule of the learning rate; at least 1.
        stop_after: Stop after this step, though the schedule is longer; 0: never.
        validations: How many times the validation images are predicted and scored; the last is after the last step.
        checkpoint_seconds: The longest time between two checkpoints, hence the most work a kill can cost.

    Raises:
        ConfigError: A value out of its range.
    """

    steps: int = 2000
    stop_after: int = 0
    validations: int = 10
    checkpoint_seconds: float = 45.0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("stop_after", 0), ("validations", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"`train.{name}` must be at least {least}, got {getattr(self, name)}.")
        if not self.checkpoint_seconds > 0:  # so written, it catches nan too
            raise ConfigError(f"`train.checkpoint_seconds` must be positive, got {self.checkpoint_seconds}.")


@dataclasses.dataclass(frozen=True)
class Config:
    """All that decides what a training computes.

    Attributes:
        seed: Of everything random: initial weights, order, patches, augmentation, split.
        data: See `DataConfig`.
        model: See `tinyunet.models.presets.ModelConfig`.
        batches: See `tinyunet.data.batches.BatchConfig`.
        augment: See `tinyunet.data.augment.compose.AugmentConfig`.
        loss: See `tinyunet.training.losses.LossConfig`.
        objects: See `tinyunet.objects.target.ObjectConfig`; only for the task `instances`.
        optimiser: See `tinyunet.training.optimiser.OptimiserConfig`.
        train: See `TrainConfig`.

    Raises:
        ConfigError: The seed is not in [0, 2^32), or a part's value is out of its range.
    """

    seed: int = 0
    data: DataConfig = DataConfig()
    model: ModelConfig = PRESETS["tiny"]
    batches: BatchConfig = BatchConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    objects: ObjectConfig = ObjectConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    train: TrainConfig = TrainConfig()

    @property
    def patch(self) -> tuple[int, ...]:
        """What the network is trained on: height and width, or depth, height and width."""
        return self.batches.patch_shape(max(2, len(self.batches.patch)))

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"`seed` must be in [0, 2^32), got {self.seed}.")


def config_from_dict(tree: Mapping[str, Any], *, where: str, base: Config | None = None) -> Config:
    """The configuration a tree of tables describes; the values it does not hold are those of `base`, or the defaults.

    Raises:
        ConfigError: An unknown key, a wrong type, or a value out of range, naming `where`.

    Example:
        >>> config_from_dict({"model": {"fetures": 8}}, where="my.toml")
        Traceback (most recent call last):
        ...
        tinyunet.errors.ConfigError: my.toml: unknown key `model.fetures`. Did you mean 'features'? Known: ...
    """
    tree = dict(tree)
    model = tree.get("model")
    base = base or Config()
    if isinstance(model, Mapping) and "preset" in model:
        try:
            network = preset(str(model["preset"]))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
        hold = tuple(min(stages, network.depth) for stages in base.model.hold)
        base = dataclasses.replace(base, model=dataclasses.replace(network, hold=hold))
        tree["model"] = {key: value for key, value in model.items() if key != "preset"}
    return _from_tree(Config, tree, base, where=where, at="")


def config_to_dict(config: Any) -> dict[str, Any]:
    """The tree of tables of a configuration, without what is None; the inverse of `config_from_dict`."""
    tree = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value is not None:
            tree[field.name] = _to_plain(value)
    return tree


def _to_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return config_to_dict(value)
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    return value


def _from_tree(cls: type[T], tree: Any, base: T | None, *, where: str, at: str) -> T:
    """A dataclass from a table, its missing values from `base` or else from the defaults of the class."""
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{where}: `{at}` must be a table, got {tree!r}.")
    # That `cls` is a dataclass, a type variable can only say by a class that Python itself does not have.
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    values = {} if base is None else {name: getattr(base, name) for name in fields}
    for key, value in tree.items():
        path = f"{at}.{key}" if at else key
        if key not in fields:
            known = [*fields, "preset"] if cls is ModelConfig else fields
            raise ConfigError(f"{where}: unknown key `{path}`. {suggest(key, known)}")
        values[key] = _convert(hints[key], value, values.get(key), where=where, at=path)
    required = (name for name, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING)
    for name in required:
        if name not in values:
            raise ConfigError(f"{where}: `{at}.{name}` is missing.")
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _convert(kind: Any, value: Any, base: Any, *, where: str, at: str) -> Any:
    """A TOML value as the annotated type, or an error that names both."""
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        kind = next(option for option in options if option is not types.NoneType)
        return _convert(kind, value, base, where=where, at=at)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _from_tree(kind, value, base, where=where, at=at)
    if origin is Literal:
        if value not in options:
            raise ConfigError(f"{where}: `{at}` must be one of {', '.join(map(repr, options))}, got {value!r}.")
        return value
    if origin is tuple:
        if options[0] in (int, float) and isinstance(value, int | float):
            return (_convert(options[0], value, None, where=where, at=at),)  # one number needs no brackets
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ConfigError(f"{where}: `{at}` must be a list, got {value!r}.")
        return tuple(_convert(options[0], item, None, where=where, at=f"{at}[{i}]") for i, item in enumerate(value))
    accepted = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{where}: `{at}` must be {_KINDS[kind]}, got {value!r}.")
    # JSON, and so the weights' metadata, knows neither nan nor infinity; huge whole numbers fit into no float.
    if kind is float and not abs(value) <= sys.float_info.max:
        raise ConfigError(f"{where}: `{at}` must be a finite number, got {value!r}.")
    return kind(value)


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
