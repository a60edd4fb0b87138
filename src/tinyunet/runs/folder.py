"""The files of a run folder, and how one comes into being: whole or not at all."""

import json
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import tomli_w

from tinyunet.data.lock import Lock
from tinyunet.data.writers import explained_writing, replace_file
from tinyunet.errors import CheckpointError, ConfigError
from tinyunet.runs.config import FORMAT, Config, config_from_dict, config_to_dict

CONFIG = "config.toml"
FINGERPRINT = "fingerprint.json"
LOG = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
WEIGHTS = "model.safetensors"
EVALUATION = "evaluation.json"
PREVIEWS = "previews"
REPORT = "report.html"
LOCK = ".lock"
"""Held by who trains; gone once that is done."""
FOLDS = "folds.json"
"""What makes a folder of runs one: the folds of a cross-validation, whose networks predict together."""


def refuse_existing(out: Path, *, overwrite: bool) -> None:
    """Refuses a place where a run or anything else is.

    Raises:
        ConfigError: `out` exists and is not a run that may be overwritten, or is being trained, or lies around the
            working folder.
    """
    here = Path.cwd()
    if out.resolve() in (here, *here.parents):
        raise ConfigError(f"{out} is the folder this was started in, or around it; choose another --out.")
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / CONFIG).is_file():
        raise ConfigError(f"{out} exists and is not a run folder; choose another --out.")
    if not overwrite:
        raise ConfigError(
            f"{out} is a run already: go on with it by --resume {out}, replace it by --overwrite, "
            "or choose another --out."
        )
    _refuse_held(out)


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Holds a run folder for one training, until the block ends or the process does.

    Raises:
        ConfigError: Another process trains there.
    """
    refusal = f"{run} is being trained by another process: wait for it, stop it first, or choose another --out."
    with explained_writing(run):
        lock = Lock(run / LOCK, refusal=refusal)
    with lock:
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open file; one that stays is of no effect
                (run / LOCK).unlink()


def _refuse_held(out: Path) -> None:
    if (out / CONFIG).is_file():
        with held(out):
            pass


@contextmanager
def new_run(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place when the block ends well, and goes away when it does not.

    Raises:
        ConfigError: The folder cannot be made, or a run that is there is being trained.
    """
    out = out.resolve()  # what a link points to is replaced, not the link
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise ConfigError(f"The run folder {out} cannot be made: {error.strerror}; choose another --out.") from error
    try:
        temporary.chmod(0o777 & ~_umask())
        yield temporary
        if out.exists():
            _refuse_held(out)
            shutil.rmtree(out)
        temporary.rename(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def write_config(run: Path, config: Config) -> None:
    """Writes `config.toml`, with the format's version first."""
    with replace_file(run / CONFIG) as temporary:
        temporary.write_text(tomli_w.dumps({"format": FORMAT, **config_to_dict(config)}), encoding="utf-8")


def read_run_config(run: Path) -> Config:
    """The configuration of a run folder.

    Raises:
        CheckpointError: It is no run folder, or one of a newer version.
    """
    path = run / CONFIG
    if not path.is_file():
        raise CheckpointError(f"{run} is not a run folder: it has no {CONFIG}. Runs are made by `tinyunet train`.")
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}.") from None
    return checked_config(tree, where=str(path))


def read_folds(run: Path) -> dict[str, Any]:
    """What `folds.json` says: the names of the folds' folders, and the minutes that each may take, or None.

    Raises:
        CheckpointError: It is damaged, or names something else than a folder inside the run.
    """
    path = run / FOLDS
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        names, minutes = table["folds"], table["minutes"]
        if not names or not all(re.fullmatch(r"fold-\d+", name) for name in names):
            raise ValueError(f"its folds are {names!r}")
        return {"folds": names, "minutes": None if minutes is None else float(minutes)}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged: {error}. Train anew, or use one fold alone.") from None


def checked_config(tree: dict[str, Any], *, where: str) -> Config:
    """A configuration as a run or a weights file holds it, once its format has been looked at.

    Raises:
        CheckpointError: The format is newer than this version's, or missing.
        ConfigError: A key or a value that this version does not know.
    """
    found = tree.get("format")
    if not isinstance(found, int) or isinstance(found, bool):
        raise CheckpointError(f"{where} holds no format version; it was not made by tinyunet.")
    if found > FORMAT:
        raise CheckpointError(
            f"{where} was made by a newer version of tinyunet (format {found}, this one reads up to {FORMAT}): upgrade."
        )
    return config_from_dict({key: value for key, value in tree.items() if key != "format"}, where=where)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
