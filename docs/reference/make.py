"""Writes the two reference pages that repeat the code: configuration.md and command-line.md.

    python docs/reference/make.py

Meanings are those of the docstrings, defaults those of the dataclasses, options those of the parser. A test compares
the pages with what this gives, so run it after changing any of them.
"""

import argparse
import dataclasses
import inspect
import re
import types
import typing
from pathlib import Path

from tinyunet.cli.main import COMMANDS, parser
from tinyunet.data.labelling import ClassInfo
from tinyunet.models.presets import PRESETS, ModelConfig
from tinyunet.models.unet import UNet
from tinyunet.runs.config import Config, config_to_dict

HERE = Path(__file__).parent

CONFIGURATION = """\
# Configuration

<!-- Written by docs/reference/make.py; change the docstrings, not this page. -->

Everything that decides what a training computes, as it stands in a run's `config.toml`. A value is given on the command
line as `--set table.key=value`, in a file as

```toml
[model]
features = 16
```

with `--config FILE`, or from Python as `tinyunet.train(..., settings=["model.features=16"])`. Values of `--set` are
written as in TOML (`true`, `[1.0, 2.0]`); a bare word is a text. `--set` goes over `--config`, and both over the
defaults. An unknown key or a value out of its range is an error that says what is allowed.
"""

LEARNT = """
This table is worked out from the files by `tinyunet check` and written down by the training; there is seldom a reason
to give it.
"""

PRESET = """
`model.preset` is no key of its own: `--set model.preset=seed` takes all values of a preset, over which the other keys
go. The presets; `tiny` is what is trained where nothing is said:
"""

COMMAND_LINE = """\
# Command line

<!-- Written by docs/reference/make.py; change the parser's texts, not this page. -->

Results go to stdout, progress and notes to stderr. `RUN` is a run folder or a single `model.safetensors`; `DATA` is a
[data-set folder](../how-to/prepare-a-folder.md).

| exit status | meaning |
| --- | --- |
| 0 | done |
| 1 | a fault of tinyunet; the message says how to report it |
| 2 | something in what it was given; one line for each thing, naming the file or option and the way out |
| 130 | interrupted twice, or before there was anything to keep |

`tinyunet --version` prints the version. Every command takes:
"""


def configuration() -> str:
    """The page of all keys."""
    meanings = _meanings(Config)
    top = _table([("seed", int, Config.seed, meanings["seed"])])
    return "\n".join([CONFIGURATION, top, *_sections(Config(), "")])


def _sections(config: typing.Any, at: str) -> list[str]:
    """A section for each table inside a dataclass, those inside it after it."""
    parts: list[str] = []
    for name, kind in typing.get_type_hints(type(config)).items():
        cls = _dataclass(kind)
        if cls is None:
            continue
        path, value = f"{at}{name}", getattr(config, name)
        inside = value if value is not None else cls
        parts += [f"\n## {path}\n", f"{_summary(cls)}", LEARNT * (value is None), _table(_rows(inside))]
        if cls is ModelConfig:
            parts += [PRESET, _presets()]
        if value is not None:
            parts += _sections(value, f"{path}.")
        elif "classes" in typing.get_type_hints(cls):
            parts += [f"\n### {path}.classes\n", _summary(ClassInfo) + "\n", _table(_rows(ClassInfo))]
    return parts


def _rows(config: typing.Any) -> list[tuple[str, typing.Any, typing.Any, str]]:
    """Key, type, default and meaning of each field that is no table itself."""
    cls = config if isinstance(config, type) else type(config)
    meanings = _meanings(UNet if cls is ModelConfig else cls)
    hints = typing.get_type_hints(cls)
    return [
        (field.name, hints[field.name], getattr(config, field.name, field.default), meanings[field.name])
        for field in dataclasses.fields(cls)
        if _dataclass(hints[field.name]) is None
    ]


def _table(rows: list[tuple[str, typing.Any, typing.Any, str]]) -> str:
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join(lines + [f"| `{key}` | {_kind(t)} | {_value(v)} | {_cell(m)} |" for key, t, v, m in rows])


def _presets() -> str:
    """The presets side by side, without the keys in which all agree."""
    trees = {name: config_to_dict(config) for name, config in PRESETS.items()}
    keys = [key for key in trees["seed"] if len({repr(tree[key]) for tree in trees.values()}) > 1]
    lines = ["| | " + " | ".join(f"`{name}`" for name in trees) + " |", "| --- |" + " --- |" * len(trees)]
    return "\n".join(
        lines + [f"| `{key}` | " + " | ".join(_value(t[key]) for t in trees.values()) + " |" for key in keys]
    )


def _meanings(cls: type) -> dict[str, str]:
    """What a docstring says under Attributes or Args, by name."""
    text = inspect.getdoc(cls) or ""
    section = re.search(r"^(?:Attributes|Args):\n((?:    .*\n?|\n)*)", text, re.MULTILINE)
    entries = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", section[1] if section else "", re.MULTILINE)
    return {name: re.sub(r"\s+", " ", meaning) for name, meaning in entries}


def _summary(cls: type) -> str:
    return (inspect.getdoc(cls) or "").splitlines()[0]


def _dataclass(kind: typing.Any) -> type | None:
    """The dataclass a hint stands for, optional or not; None for anything else."""
    options = [option for option in (kind, *typing.get_args(kind)) if dataclasses.is_dataclass(option)]
    return options[0] if options and typing.get_origin(kind) is not tuple else None


def _kind(kind: typing.Any) -> str:
    """A type in words."""
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return " or ".join(f"`{option}`" if option else "empty" for option in options)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(option) for option in options if option is not types.NoneType) + ", or left out"
    if origin is tuple:
        return "list of tables" if dataclasses.is_dataclass(options[0]) else f"list of {_kind(options[0])}s"
    names = {int: "whole number", float: "number", bool: "true or false", str: "text"}
    return names.get(kind, "number type")


def _value(value: typing.Any) -> str:
    if value is dataclasses.MISSING:
        return ""
    if value is None:
        return "left out"
    if isinstance(value, tuple):
        return "`[]`" if not value else f"`{list(value)}`"
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`" if value != "" else '`""`'


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def command_line() -> str:
    """The page of all commands."""
    (subparsers,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    shared = {"--debug", "--quiet", "--no-cache", "--help"}
    first = subparsers.choices[COMMANDS[0]]
    common = [a for a in first._actions if shared & set(a.option_strings)]
    parts = [COMMAND_LINE, _options(common)]
    for name in COMMANDS:
        command = subparsers.choices[name]
        own = [action for action in command._actions if not shared & set(action.option_strings)]
        parts += [f"\n## tinyunet {name}\n", f"{command.description}\n", _options(own)]
    return "\n".join(parts)


def _options(actions: list[argparse.Action]) -> str:
    lines = ["| option | meaning |", "| --- | --- |"]
    return "\n".join(lines + [f"| `{_cell(_usage(action))}` | {_cell(_sentence(action))} |" for action in actions])


def _usage(action: argparse.Action) -> str:
    """An option with what follows it, as one types it."""
    if not action.option_strings:
        dots = " …" if action.nargs == "+" else ""
        return f"[{action.metavar}]" if action.nargs == "?" else f"{action.metavar}{dots}"
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    if action.nargs == 0:
        value = ""
    return f"{', '.join(action.option_strings)} {value}{' …' if action.nargs == '+' else ''}".strip()


def _sentence(action: argparse.Action) -> str:
    again = " (may be given several times)" if isinstance(action, argparse._AppendAction) else ""
    must = " (required)" if action.required and action.option_strings else ""
    return f"{action.help}{again}{must}"


PAGES = {"configuration.md": configuration, "command-line.md": command_line}


def main() -> None:
    """Writes the pages."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page() + "\n", encoding="utf-8")
        print(HERE / name)


if __name__ == "__main__":
    main()
