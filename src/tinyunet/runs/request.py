"""What a user asks for: some values of a configuration, which leave the others open."""

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyunet.errors import ConfigError
from tinyunet.runs.config import FORMAT, Config, config_from_dict, config_to_dict


@dataclasses.dataclass(frozen=True)
class Request:
    """What a user asks for: some values of a configuration, which leave the others open.

    Attributes:
        tree: Tables by name.
        where: Who said so, for errors.
    """

    tree: Mapping[str, Any]
    where: str = "the options given"

    def over(self, base: Config) -> Config:
        """A configuration with the values asked for, the others as in `base`.

        Raises:
            ConfigError: An unknown key, a wrong type, or a value out of range.
        """
        return config_from_dict(self.tree, where=self.where, base=base)

    def holds(self, key: str) -> bool:
        """Whether a value such as `model.features` is asked for; a preset asks for all of the model's but `hold`.

        Example:
            >>> read_request(None, ["model.features=8"]).holds("model.features")
            True
        """
        node: Any = self.tree
        for part in key.split("."):
            if not isinstance(node, Mapping) or part not in node:
                model = self.tree.get("model")
                return key.startswith("model.") and isinstance(model, Mapping) and "preset" in model and part != "hold"
            node = node[part]
        return True

    def set(self, key: str, value: Any) -> "Request":
        """The same with one more value."""
        table, name = key.rpartition(".")[::2]
        tree = {**self.tree, table: {**self.tree.get(table, {}), name: value}} if table else {**self.tree, name: value}
        return dataclasses.replace(self, tree=tree)

    @classmethod
    def of(cls, config: Config) -> "Request":
        """One that leaves nothing open."""
        return cls(config_to_dict(config), where="the configuration")


def read_request(file: Path | None, settings: Sequence[str] = ()) -> Request:
    """What a TOML file and single settings ask for.

    Args:
        file: A `config.toml`, or None.
        settings: `key=value` with dots in the key, the value in TOML; a bare word is a string.

    Raises:
        ConfigError: The file is missing or not TOML; a key that does not exist, or a value of the wrong type.

    Example:
        >>> read_request(None, ["model.features=8", "data.task=foreground"]).over(Config()).model.features
        8
    """
    tree: dict[str, Any] = {}
    if file is not None:
        try:
            tree = tomllib.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"There is no configuration file {file}.") from None
        except (OSError, ValueError) as error:  # not text, not TOML, or a number of thousands of digits
            raise ConfigError(f"{file} cannot be read as TOML: {error}.") from None
    found = tree.pop("format", FORMAT)  # the `config.toml` of a run says it
    if not isinstance(found, int) or found > FORMAT:
        raise ConfigError(
            f"{file} was made by a newer version of tinyunet (format {found}, this one reads up to {FORMAT}): upgrade."
        )
    for setting in settings:
        _apply_setting(tree, setting)
    sources = [str(file)] * (file is not None) + ["--set"] * bool(settings)
    asked = Request(tree, where=" with ".join(sources) or Request.where)
    asked.over(Config())  # what is wrong in it is said before any data are read
    return asked


def _apply_setting(tree: dict[str, Any], setting: str) -> None:
    """Writes `a.b=value` into the tree."""
    key, equals, text = setting.partition("=")
    *path, last = key.strip().split(".")
    if not equals or not last:
        raise ConfigError(f"A setting must be key=value, got {setting!r}; for example model.features=16.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        value = text.strip()
    for part in path:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"`{key}`: {part!r} is a value, not a table.")
    tree[last] = value
