"""The run folder as plain data: everything a report is made of, read once and checked to be readable."""

import json
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyunet.data.fingerprint import Fingerprint
from tinyunet.data.labelling import Labelling
from tinyunet.data.readers import shown
from tinyunet.data.split import Split
from tinyunet.errors import CheckpointError, ConfigError
from tinyunet.evaluation.result import Evaluation

_PARTS = ("config.toml", "fingerprint.json", "metrics.jsonl", "evaluation.json")


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What lies in a run folder. A part that is not there is None or empty.

    Attributes:
        run: The run folder.
        config_text: `config.toml` as written.
        labelling: What the masks mean, from `config.toml`.
        split: Which image served which purpose, from `config.toml`.
        fingerprint: What was measured of the data.
        evaluation: The scores.
        evaluated: What was scored: "test", "val" or "train"; None without scores.
        events: The lines of `metrics.jsonl`, oldest first.
        cut_short: Whether the last line of `metrics.jsonl` was only half written, and left out.
        pictures: The panels of `previews/`, by name.
    """

    run: Path
    config_text: str | None
    labelling: Labelling | None
    split: Split | None
    fingerprint: Fingerprint | None
    evaluation: Evaluation | None
    evaluated: str | None
    events: tuple[dict[str, Any], ...]
    cut_short: bool
    pictures: tuple[Path, ...]

    def of(self, event: str) -> tuple[dict[str, Any], ...]:
        """The events of one kind, each step once, in the order of their steps.

        A resumed training does some steps again and records them again: the last record of a step counts. Notes are
        all kept, since several may belong to one step.
        """
        found = [line for line in self.events if line.get("event") == event]
        if event in ("train", "validate"):
            found = list({line["step"]: line for line in found}.values())
            found.sort(key=lambda line: line["step"])
        return tuple(found)

    def last(self, event: str) -> dict[str, Any] | None:
        """The newest event of one kind, or None."""
        return next((line for line in reversed(self.events) if line.get("event") == event), None)


def read_record(run: Path) -> RunRecord:
    """Read what lies in a run folder.

    Args:
        run: The folder. Each of its parts may be missing, but not all of them.

    Returns:
        Its content; nothing in the folder is changed.

    Raises:
        CheckpointError: There is no such folder, nothing of a run is in it, or a file in it is damaged; the message
            names the file and the line.

    Example:
        >>> read_record(Path("no such folder"))
        Traceback (most recent call last):
        tinyunet.errors.CheckpointError: no such folder is no folder. Name a run, as `tinyunet train --out RUN` made it.
    """
    if not run.is_dir():
        raise CheckpointError(f"{shown(run)} is no folder. Name a run, as `tinyunet train --out RUN` made it.")
    if not any((run / part).is_file() for part in _PARTS):
        raise CheckpointError(
            f"{shown(run)} is no run: it holds none of {', '.join(_PARTS)}. "
            "Name a folder that `tinyunet train --out RUN` made."
        )
    config_text = _text(run / "config.toml")
    events, cut_short = _events(run / "metrics.jsonl")
    fingerprint, evaluation = (_json(run / name) for name in ("fingerprint.json", "evaluation.json"))
    with reading(run / "fingerprint.json"):
        measured = None if fingerprint is None else Fingerprint.from_dict(fingerprint)
    with reading(run / "evaluation.json"):
        scores = None if evaluation is None else Evaluation.from_dict(evaluation)
        evaluated = None if evaluation is None else str(evaluation["split"])
        if scores is not None and not scores.images:
            raise ValueError("it scores no image")
    data = _toml(run / "config.toml", config_text).get("data", {})
    with reading(run / "config.toml"):
        labelling = Labelling.from_dict(data["labelling"]) if "labelling" in data else None
        split = Split.from_dict(data["split"]) if "split" in data else None
    return RunRecord(
        run=run,
        config_text=config_text,
        labelling=labelling,
        split=split,
        fingerprint=measured,
        evaluation=scores,
        evaluated=evaluated,
        events=events,
        cut_short=cut_short,
        pictures=tuple(sorted((run / "previews").glob("*.png"))),
    )


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn a key that is missing, or a value of the wrong kind, into an error about the file it came from.

    Args:
        path: The file whose content the block goes through.

    Raises:
        CheckpointError: The block met something that a whole file does not hold.

    Example:
        >>> with reading(Path("run/evaluation.json")):
        ...     {}["classes"]
        Traceback (most recent call last):
        tinyunet.errors.CheckpointError: run/evaluation.json is not what this version writes (KeyError: 'classes'). ...
    """
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ConfigError) as error:
        raise CheckpointError(
            f"{shown(path)} is not what this version writes ({type(error).__name__}: {error}). "
            "Move it away to have the report without it, or make it again."
        ) from error


def _text(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(path, path.read_bytes()[: error.start].count(b"\n") + 1, "not UTF-8 text") from error


def _toml(path: Path, text: str | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text or "")
    except tomllib.TOMLDecodeError as error:
        raise CheckpointError(
            f"{shown(path)} is damaged: {error}. Mend it, or take it from a copy of the run."
        ) from error


def _json(path: Path) -> dict[str, Any] | None:
    text = _text(path)
    return None if text is None else _object(path, text, line=1)


def _events(path: Path) -> tuple[tuple[dict[str, Any], ...], bool]:
    """The lines of the log, and whether the last one had to be left out: a killed training leaves half a line."""
    lines = (_text(path) or "").split("\n")
    unfinished = lines.pop()
    events = [_object(path, line, line=number) for number, line in enumerate(lines, 1) if line.strip()]
    if not unfinished.strip():
        return tuple(events), False
    try:
        events.append(_object(path, unfinished, line=len(lines) + 1))
    except CheckpointError:
        return tuple(events), True
    return tuple(events), False


def _object(path: Path, text: str, *, line: int) -> dict[str, Any]:
    """The JSON object that begins at a line of a file."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise _damaged(path, line + error.lineno - 1, f"{error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise _damaged(path, line, "nested too deeply") from error
    if not isinstance(value, dict):
        raise _damaged(path, line, f"an object in braces is wanted, got {type(value).__name__}")
    return value


def _damaged(path: Path, line: int, what: str) -> CheckpointError:
    return CheckpointError(
        f"{shown(path)}, line {line} is damaged: {what}. "
        "Move the file away to have the report without it, or make it again."
    )
