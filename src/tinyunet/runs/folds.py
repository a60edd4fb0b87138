"""Cross-validation: a training for each part of the images, held out in turn, whose networks then predict together."""

import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tinyunet.data.split import Split, draw_order
from tinyunet.data.writers import write_text
from tinyunet.errors import ConfigError
from tinyunet.evaluation.result import Evaluation
from tinyunet.runs.config import Config
from tinyunet.runs.display import Display
from tinyunet.runs.evaluate import evaluate
from tinyunet.runs.folder import (
    CONFIG,
    EVALUATION,
    FOLDS,
    LOG,
    held,
    new_run,
    read_folds,
    read_run_config,
    refuse_existing,
    write_config,
)
from tinyunet.runs.page.scores import focal_dice
from tinyunet.runs.prepare import resolve
from tinyunet.runs.report import write_report
from tinyunet.runs.request import read_request
from tinyunet.runs.run import Run, load
from tinyunet.runs.train import begin, resume, with_length, write_fingerprint
from tinyunet.training.log import Log, read_log


def train_folds(
    data: str | Path,
    out: str | Path,
    *,
    folds: int,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    config: str | Path | None = None,
    settings: Sequence[str] = (),
    overwrite: bool = False,
    devices: int | None = None,
    quiet: bool = False,
) -> Run:
    """Trains one network for each fold, scores each on the images it has not seen, and gives them together.

    The images for training and validation are divided into `folds` parts. Network k is trained on all parts but the
    k-th, which validates it and scores it. Its seed is `seed` + k. Test images are left alone.

    Args:
        data: The data set.
        out: The folder to make: `fold-0`, `fold-1` … are run folders like any other.
        folds: Number of parts, at least 2.
        minutes: How long all trainings together may take; each has an equal share.
        steps: Number of steps of each training instead.
        seed: Of everything random; overrides the configuration's.
        config: A `config.toml` to start from instead of the defaults.
        settings: Single values over it, as `key=value`.
        overwrite: Replace a run that is there.
        devices: On how many devices; all, if None.
        quiet: Show no progress.

    Returns:
        All networks as one run, whose probabilities are the mean of theirs.

    Raises:
        ConfigError: Fewer than 2 folds, more than there are images, or options that cannot be used.
        DataError: What is wrong with the data; no folder is left behind.

    References:
        Isensee et al. (2021), nnU-Net, section "Ensemble selection and empirical post-processing", for predicting with
        the networks of a cross-validation.
    """
    _refuse_processes()
    data, out = Path(data), Path(out)
    refuse_existing(out, overwrite=overwrite)
    wanted = with_length(read_request(Path(config) if config else None, settings), minutes, steps, seed)
    resolved, examination = resolve(wanted, data)
    assert resolved.data.split is not None  # resolved
    together = _joined(resolved.data.split)
    if not 2 <= folds <= len(together.train):
        raise ConfigError(f"`folds` must be from 2 to the {len(together.train)} images to train with, got {folds}.")
    with new_run(out) as folder:
        write_config(folder, _with_split(resolved, together))
        write_fingerprint(folder, examination)
        table = {"folds": [f"fold-{k}" for k in range(folds)], "minutes": None if minutes is None else minutes / folds}
        (folder / FOLDS).write_text(json.dumps(table) + "\n", encoding="utf-8")
    return resume_folds(out, devices=devices, quiet=quiet)


def resume_folds(out: Path, *, devices: int | None = None, quiet: bool = False) -> Run:
    """Trains the folds that are not done yet, and goes on with one that was interrupted.

    Args:
        out: A folder that `train_folds` made.
        devices: On how many devices; all, if None.
        quiet: Show no progress.

    Raises:
        CheckpointError: It is no such folder, or the data have changed.
        ConfigError: Another process trains there.
    """
    _refuse_processes()
    config, table = read_run_config(out), read_folds(out)
    with held(out):
        return _resume_folds(out, config, table, devices=devices, quiet=quiet)


def _resume_folds(out: Path, config: Config, table: dict[str, Any], *, devices: int | None, quiet: bool) -> Run:
    assert config.data.split is not None  # as `train_folds` wrote it
    names = table["folds"]
    display = Display(0, quiet=quiet)
    results: list[Evaluation] = []
    for k, name in enumerate(names):
        fold, began = out / name, time.monotonic()
        if not (fold / EVALUATION).is_file():
            display.say(f"Fold {k + 1} of {len(names)}")
            if (fold / CONFIG).is_file():
                run = resume(fold, devices=devices, quiet=quiet)
            else:
                split = fold_of(config.data.split, k, len(names), seed=config.seed)
                one = dataclasses.replace(_with_split(config, split), seed=(config.seed + k) % 2**32)
                call: dict[str, Any] = {"config": fold / CONFIG, "settings": []}  # which holds the fold's split
                place = Path(config.data.folder)
                run = begin(
                    one,
                    place,
                    fold,
                    minutes=table["minutes"],
                    init=None,
                    call=call,
                    devices=devices,
                    quiet=quiet,
                    started=began,
                )
            if _ended(fold) == "stopped":
                display.say(f"Stopped; `tinyunet train --resume {out}` goes on.")
                return run
            evaluate(run, config.data.folder, split="val", quiet=quiet)
        results.append(Evaluation.from_dict(json.loads((fold / EVALUATION).read_text(encoding="utf-8"))))
    _note(out, results, display)
    write_report(out)
    return load(out)


def fold_of(split: Split, k: int, folds: int, *, seed: int) -> Split:
    """The split of one fold: every `folds`-th image in the order drawn from the seed validates, the others train.

    Example:
        >>> fold_of(Split(train=("a", "b", "c"), val=(), test=("d",)), 0, 3, seed=0).val
        ('c',)
    """
    order = draw_order(split.train, seed=seed)
    held = set(order[k::folds])
    return dataclasses.replace(
        split,
        train=tuple(name for name in split.train if name not in held),
        val=tuple(name for name in split.train if name in held),
        notes=(f"Fold {k + 1} of {folds}: {len(held)} of {len(order)} images are held out (seed {seed}).",),
    )


def _refuse_processes() -> None:
    if jax.process_count() > 1:
        raise ConfigError("Folds are trained by one process, on all its devices; start it without the others.")


def _joined(split: Split) -> Split:
    """Training and validation images together: every one of them is held out once."""
    return dataclasses.replace(split, train=tuple(sorted((*split.train, *split.val))), val=())


def _with_split(config: Config, split: Split) -> Config:
    return dataclasses.replace(config, data=dataclasses.replace(config.data, split=split))


def _ended(fold: Path) -> str | None:
    """Why a fold's training ended."""
    ends = [event["reason"] for event in read_log(fold / LOG) if event["event"] == "end"]
    return ends[-1] if ends else None


def _note(out: Path, results: Sequence[Evaluation], display: Display) -> None:
    """Says and records how the folds did."""
    scores = [focal_dice(result, result.pooled) for result in results]
    lines = [
        f"Fold {k + 1}: Dice {score:.3f} on the {len(result.images)} images it has not seen."
        for k, (score, result) in enumerate(zip(scores, results, strict=True))
    ]
    lines.append(f"All {len(scores)} folds: Dice {np.mean(scores):.3f} ± {np.std(scores):.3f} (standard deviation).")
    lines += _calibration_lines(results)
    write_text(out / LOG, "")
    for line in lines:
        Log(out / LOG).write("note", 0, text=line)
        display.say(line)


def _calibration_lines(results: Sequence[Evaluation]) -> list[str]:
    """What temperature scaling does in the folds; nothing where no probabilities are scaled."""
    scores = [result.calibration for result in results if result.calibration is not None]
    if all(one.temperature == 1 for one in scores):
        return []
    before, after = (np.mean([getattr(one, side).error for one in scores]) for side in ("before", "after"))
    temperatures = ", ".join(f"{one.temperature:.4g}" for one in scores)
    return [
        f"Calibration error {before:.3f} before temperature scaling and {after:.3f} after, on the images to which the "
        f"temperatures ({temperatures}) were fitted; means over the folds."
    ]
