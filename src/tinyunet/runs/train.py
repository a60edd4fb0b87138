"""Training a run, and going on with one."""

import dataclasses
import json
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from tinyunet.data.examination import Examination
from tinyunet.data.writers import replace_file
from tinyunet.errors import CheckpointError, ConfigError, TrainingError
from tinyunet.runs.budget import OVERRUN, plan_steps
from tinyunet.runs.companions import Companions
from tinyunet.runs.config import Config
from tinyunet.runs.display import Display, clock
from tinyunet.runs.folder import (
    FINGERPRINT,
    LOG,
    WEIGHTS,
    held,
    new_run,
    read_run_config,
    refuse_existing,
    write_config,
)
from tinyunet.runs.origin import command_of, origin_of
from tinyunet.runs.prepare import resolve
from tinyunet.runs.processes import agreed, is_main, tell, tell_arrays
from tinyunet.runs.report import write_report
from tinyunet.runs.request import Request, read_request
from tinyunet.runs.run import Run, load
from tinyunet.runs.session import Session
from tinyunet.runs.stop import stop_on_signal
from tinyunet.training.log import Log, read_log
from tinyunet.training.placement import placement
from tinyunet.training.state import Variables


def train(
    data: str | Path,
    out: str | Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    config: str | Path | None = None,
    settings: Sequence[str] = (),
    init: str | Path | None = None,
    overwrite: bool = False,
    devices: int | None = None,
    quiet: bool = False,
    started: float | None = None,
) -> Run:
    """Trains a segmenter on a data-set folder and writes a run folder.

    Where `jax.distributed` has joined several processes, all call this alike: they train together, process 0 writes.

    Args:
        data: The data set: `images/` and `masks/` with equal names.
        out: The run folder to make.
        minutes: How long all of it may take, from the start to the written weights; the number of steps is worked
            out from that, written to `config.toml`, and repeats the training as `steps`.
        steps: Number of steps instead; without either, the configuration's.
        seed: Of everything random; overrides the configuration's.
        config: A `config.toml` to start from instead of the defaults.
        settings: Single values over it, as `key=value`.
        init: A run whose weights are the initial ones.
        overwrite: Replace a run that is there.
        devices: On how many devices of this process; all, if None.
        quiet: Show no progress.
        started: When the process began, on `time.monotonic`; now, if None.

    Returns:
        The trained run.

    Raises:
        DataError: What is wrong with the data; no run folder is left behind.
        ConfigError: A value that cannot be used, or `out` exists.
        TrainingError: The training diverged; the run folder stays, and says so.
    """
    started = time.monotonic() if started is None else started
    data, out = Path(data), Path(out)
    with Companions(out):
        refuse_existing(out, overwrite=overwrite)
        wanted = with_length(read_request(Path(config) if config else None, settings), minutes, steps, seed)
        call = {"steps": steps, "seed": seed, "config": config, "settings": list(settings), "init": init}
        call["devices"] = devices
        return begin(
            wanted, data, out, minutes=minutes, init=init, call=call, devices=devices, quiet=quiet, started=started
        )


def begin(
    wanted: Request | Config,
    data: Path,
    out: Path,
    *,
    minutes: float | None,
    init: str | Path | None,
    call: dict[str, Any],
    devices: int | None = None,
    quiet: bool,
    started: float,
) -> Run:
    """Trains from a configuration, in a run folder that is free to be made.

    Args:
        wanted: What the user asked for.
        data: The data set.
        out: The run folder to make.
        minutes: As for `train`.
        init: As for `train`.
        call: The options of `train` that say the same, for the record.
        devices: As for `train`.
        quiet: Show no progress.
        started: When the work began, on `time.monotonic`.
    """
    quiet = quiet or not is_main()
    resolved, examination = agreed(*resolve(wanted, data))
    display = Display(0, quiet=quiet)
    for note in examination.notes:
        display.say(note)
    session = _session(resolved, examination, init, devices)
    if minutes is not None:
        display.say("Compiling, and timing a few steps…")
        timing = session.measure(used=time.monotonic() - started)
        count, validations = tell(plan_steps(minutes, timing, validations=resolved.train.validations))
        resolved = dataclasses.replace(
            resolved, train=dataclasses.replace(resolved.train, steps=count, validations=validations)
        )
        session.config = resolved
        display.say(f"{count} steps of {timing.step:.2f} s fit into {minutes:g} minutes.")
    tell(None)  # all have come so far, or none leaves a folder behind
    if is_main():
        _make_run(session, data, out, minutes=minutes, init=init, call=call, examination=examination)
    deadline = started + OVERRUN * 60 * minutes if minutes is not None else None
    with _held_once(out):
        return _finish(session, out, deadline=deadline, quiet=quiet)


def _make_run(
    session: Session,
    data: Path,
    out: Path,
    *,
    examination: Examination,
    minutes: float | None,
    init: str | Path | None,
    call: dict[str, Any],
) -> None:
    """Writes the run folder as it is before the first step."""
    resolved = session.config
    with new_run(out) as folder:
        write_config(folder, resolved)
        write_fingerprint(folder, examination)
        if init is not None:
            session.save_start(folder)
        if minutes is not None:  # what repeats it
            looks = f"train.validations={resolved.train.validations}"
            call = {**call, "steps": resolved.train.steps, "settings": [*call["settings"], looks]}
        Log(folder / LOG).write("start", 0, **origin_of(session), command=command_of(data, out, call))
        for note in examination.notes:
            Log(folder / LOG).write("note", 0, text=note)


def resume(out: str | Path, *, devices: int | None = None, quiet: bool = False) -> Run:
    """Goes on with a training that was stopped or killed, to the same weights as if it never had been.

    A finished training is left as it is. On another number of devices or processes the weights differ by the rounding
    of sums, and what training makes of it.

    Args:
        out: The run folder.
        devices: As for `train`.
        quiet: Show no progress.

    Raises:
        CheckpointError: It is no run folder, or its data have changed since.
        ConfigError: Another process trains there.
    """
    out, quiet = Path(out), quiet or not is_main()
    with Companions(out):
        config = read_run_config(out)
        last = config.train.stop_after or config.train.steps
        ended = [event for event in read_log(out / LOG) if event["event"] == "end"]
        if ended and ended[-1]["step"] >= last and (out / WEIGHTS).is_file():
            Display(0, quiet=quiet).say(f"{out} is finished ({last} steps); nothing to do.")
            return load(out)
        with _held_once(out):
            return _go_on(config, out, devices, quiet=quiet)


def _held_once(out: Path) -> AbstractContextManager[None]:
    """A run folder held against other trainings, by the first of several processes for all of them."""
    return held(out) if is_main() else nullcontext()


def _go_on(config: Config, out: Path, devices: int | None, *, quiet: bool) -> Run:
    resolved, examination = agreed(*resolve(config, Path(config.data.folder)))
    try:
        before = json.loads((out / FINGERPRINT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{out / FINGERPRINT} is missing or damaged, so it cannot be told whether the data are still the same "
            f"({error}); start a new training, with --init {out} to keep what was learnt."
        ) from error
    if before.get("digest") != examination.fingerprint.digest:
        raise CheckpointError(
            f"The data in {config.data.folder} have changed since {out} began, so it cannot go on as the same "
            f"training; start a new one, with --init {out} to keep what was learnt."
        )
    return _finish(_session(resolved, examination, None, devices), out, deadline=None, quiet=quiet)


def _finish(session: Session, out: Path, *, deadline: float | None, quiet: bool) -> Run:
    """Runs a session to its end, then writes the report."""
    began = time.monotonic()
    steps = session.config.train.stop_after or session.config.train.steps
    with stop_on_signal() as stop, Display(steps, quiet=quiet) as display:
        try:
            reason = session.run(out, display=display, stop=stop, deadline=deadline)
        except TrainingError:
            if is_main():
                write_report(out)
            raise
        if is_main():
            write_report(out)
        display.say(_LAST_WORDS[reason].format(out=out, time=clock(time.monotonic() - began)))
    run = load(out) if is_main() else Run(out, session.config, session.variables)
    return dataclasses.replace(run, variables=tell_arrays(run.variables), temperature=tell(run.temperature))


_LAST_WORDS = {
    "finished": "Trained in {time}: {out}",
    "stopped": "Stopped after {time}; {out} can be used, and goes on with `tinyunet train --resume {out}`.",
    "time": "Time was up after {time}, before the planned steps were done; {out} can be used.",
}


def write_fingerprint(folder: Path, examination: Examination) -> None:
    """Writes `fingerprint.json` into a run folder."""
    with replace_file(folder / FINGERPRINT) as temporary:
        temporary.write_text(json.dumps(examination.fingerprint.to_dict(), indent=1), encoding="utf-8")


def with_length(request: Request, minutes: float | None, steps: int | None, seed: int | None) -> Request:
    """What is asked for, with what the command line says of length and seed."""
    if minutes is not None and steps is not None:
        raise ConfigError("Give either --minutes or --steps, not both.")
    if minutes is not None and not 0 < minutes < 1e6:
        raise ConfigError(f"`minutes` must be positive, got {minutes}.")
    if steps is not None and steps < 1:
        raise ConfigError(f"`steps` must be at least 1, got {steps}.")
    if seed is not None and not 0 <= seed < 2**32:
        raise ConfigError(f"`seed` must be in [0, 2^32), got {seed}.")
    if seed is not None:
        request = request.set("seed", seed)
    if minutes is not None or steps is not None:  # a length of one's own is not cut short by the configuration's
        request = request.set("train.stop_after", 0)
    return request if steps is None else request.set("train.steps", steps)


def _session(config: Config, examination: Examination, init: str | Path | None, devices: int | None) -> Session:
    common = int(np.argmax(examination.fingerprint.train_class_pixels))
    session = Session(config, examination.folder, common=common, placement=placement(devices))
    if init is not None:
        session.variables = _transfer(session.variables, load(init))
    return session


def _transfer(fresh: Variables, run: Run) -> Variables:
    """The variables of a run in place of fresh ones; a head for other classes stays fresh.

    Raises:
        CheckpointError: The networks differ elsewhere, naming the first tensor that does.
    """
    old, new = (flatten_dict(variables, sep="/") for variables in (run.variables, fresh))
    for name, value in new.items():
        if name in old and old[name].shape == value.shape:
            new[name] = jax.numpy.asarray(old[name])
        elif "/head/" not in name:
            found = old[name].shape if name in old else "nothing"
            raise CheckpointError(
                f"The weights of {run.path} do not fit: {name} is {found} there and {value.shape} here; "
                "use the same model options and channels."
            )
    return unflatten_dict(new, sep="/")
