"""One training, put together from its configuration: the compiled programs, the data, the files."""

import dataclasses
import math
import statistics
import threading
import time
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jax

from tinyunet.data.augment.compose import AugmentConfig
from tinyunet.data.batches import Sampler, batches, visits_of
from tinyunet.data.folder import DataFolder
from tinyunet.errors import TrainingError
from tinyunet.models.segmenter import Segmenter
from tinyunet.runs.budget import Timing, validation_steps
from tinyunet.runs.build import build_model, build_probabilities, build_target, build_tiles, network_classes
from tinyunet.runs.calibrate import Temperature, calibrate
from tinyunet.runs.config import Config
from tinyunet.runs.display import Display
from tinyunet.runs.folder import CHECKPOINTS, WEIGHTS, write_config
from tinyunet.runs.machine import set_pieces_aside
from tinyunet.runs.prepare import open_store
from tinyunet.runs.processes import Wishes, is_main, tell_arrays
from tinyunet.runs.recorder import Best, Bystander, Recorder
from tinyunet.runs.validate import Validator
from tinyunet.runs.weights import write_weights
from tinyunet.training.checkpoint import Checkpoints
from tinyunet.training.loop import Done, run_steps
from tinyunet.training.losses import LossConfig
from tinyunet.training.optimiser import OptimiserConfig, learning_rate, optimiser
from tinyunet.training.placement import Placement
from tinyunet.training.state import Variables, initial_state, initial_variables
from tinyunet.training.step import Step, make_step

TIMED_SECONDS = 4.0
"""How long steps are timed before a training whose minutes are given."""


class Session:
    """A training that can be timed, and run from any step.

    Args:
        config: Resolved: nothing is left open.
        folder: The data set.
        common: The class with the most pixels, which forced patches do not look for.
        variables: To start from; None: initial ones from the seed.
        placement: On which devices; None: the first alone.

    Raises:
        ConfigError: The devices cannot share the batch.
    """

    def __init__(
        self,
        config: Config,
        folder: DataFolder,
        *,
        common: int,
        variables: Variables | None = None,
        placement: Placement | None = None,
    ):
        data = config.data
        self.placement = placement or Placement(jax.local_devices()[:1])
        self.placement.check(config.batches.batch)
        assert data.labelling is not None  # resolved
        assert data.channels is not None
        assert data.split is not None
        self.config = config
        self.names = network_classes(data.labelling)
        self.classes = len(self.names)
        self.model = build_model(config.model, classes=self.classes)
        target = build_target(config)
        train = open_store(config, folder, data.split.train, target=target)
        patch = config.patch
        self.sampler = Sampler(
            visits=tuple(visits_of(train.shape(i), patch=patch) for i in range(len(train))),
            read=train,
            config=config.batches,
            seed=config.seed,
            common=common,
        )
        self.optimiser = optimiser(config.optimiser)
        self.step = _compiled_step(
            self.model, config.optimiser, config.loss, config.augment, patch, data.spacing, self.placement.devices
        )
        self.key = jax.random.PRNGKey(config.seed)
        tiles = build_tiles(config.model, patch)
        self.variables = variables or initial_variables(
            self.model, config.seed, channels=data.channels.used, shape=tuple(axis.ladder[0] for axis in tiles)
        )
        self.validate = validator = Validator(
            build_probabilities(self.model),
            tiles,
            open_store(config, folder, data.split.val, target=target),
            classes=self.classes,
        )
        # Objects are found by thresholds on the probabilities, which scaling would move: theirs stay as they are.
        scaled = data.labelling.task != "instances"
        self.calibrate = partial(calibrate, validator, names=self.names, seed=config.seed) if scaled else _unscaled

    def measure(self, *, used: float, seconds: float = TIMED_SECONDS) -> Timing:
        """Times steps and a validation on a state that is thrown away.

        Of several processes, what process 0 measures counts.

        Args:
            used: Seconds since the process began, when this is called.
            seconds: How long to time steps.
        """
        began = time.monotonic()
        state = self.placement.everywhere(initial_state(self.variables, self.optimiser))
        times: list[float] = []
        last = began
        data = self._batches(0, 10_000)
        wishes = Wishes()
        # The very loop of the training, where the next batch is prepared while a step is computed.
        for done in run_steps(self.step, state, data, first=0, key=self.key, rate=lambda step: 0.0):
            now = time.monotonic()
            times.append(now - last)
            last = now
            if done.step == 1:
                _tidy(done)
            # The first call compiles, the second still warms up.
            if wishes(is_main() and len(times) > 6 and sum(times[2:]) > seconds)[0]:
                break
        validation = self.validate.measure(self.variables) if is_main() else 0.0
        used += time.monotonic() - began
        timing = Timing(used=used, step=statistics.median(times[2:]), validation=validation)
        # The temperature is fitted at the end, to the predictions of one more validation.
        return dataclasses.replace(timing, finish=timing.finish + validation)

    def _batches(self, first: int, last: int) -> Iterator[dict[str, Any]]:
        """What this process makes of the batches of steps first … last - 1."""
        return batches(self.sampler, first=first, last=last, rows=self.placement.rows(self.config.batches.batch))

    def save_start(self, folder: Path) -> None:
        """Saves the state before the first step, for a training whose initial weights do not follow from the seed.

        Args:
            folder: The run folder, while it is being made.
        """
        checkpoints = Checkpoints(folder / CHECKPOINTS)
        state = initial_state(self.variables, self.optimiser)
        checkpoints.save("last", 0, state, {"step": 0, **dataclasses.asdict(Best())})
        checkpoints.close()

    def run(
        self,
        out: Path,
        *,
        display: Display,
        stop: threading.Event,
        deadline: float | None = None,
    ) -> str:
        """Trains from the newest checkpoint in `out`, or from the beginning, to the end.

        Args:
            out: The run folder.
            display: What the user sees.
            stop: Set to end after the current step.
            deadline: On `time.monotonic`; past it the training stops early and the step is written down.

        Returns:
            Why it ended: `finished`, `stopped` or `time`.

        Raises:
            TrainingError: It diverged.
        """
        config = self.config
        rate = partial(learning_rate, config=config.optimiser, steps=config.train.steps)
        recorder: Recorder | Bystander = Bystander()
        if is_main():
            recorder = Recorder(out, config, validate=self.validate, names=self.names, display=display, rate=rate)
        state, first = tell_arrays(recorder.restore(initial_state(self.variables, self.optimiser)))
        state, first = self.placement.everywhere(state), int(first)
        wishes = Wishes()
        last = config.train.stop_after or config.train.steps
        # Those of the whole schedule, so that a training which ended early is repeated with the same looks.
        looks = {look for look in validation_steps(config.train.steps, config.train.validations) if look < last}
        data = self._batches(first, last)
        done, reason = Done(first, self.placement.here(state), math.nan, 0.0), "finished"
        try:
            for done in run_steps(self.step, state, data, first=first, key=self.key, rate=rate):
                done = done._replace(state=self.placement.here(done.state))
                recorder.step(done)
                if done.step == first + 1:
                    _tidy(done)
                late = is_main() and deadline is not None and time.monotonic() > deadline
                stopped, late = wishes(stop.is_set(), late)
                ending = done.step == last or late
                if done.step in looks or ending:
                    recorder.look(done)
                if done.step in looks or ending or stopped or recorder.due:
                    recorder.save(done)
                if done.step < last and (stopped or late):
                    reason = "stopped" if stopped else "time"
                    break
        except TrainingError as error:
            recorder.note(done.step, str(error))
            recorder.end(done, "diverged")
            raise
        if reason == "time":
            self.config = dataclasses.replace(config, train=dataclasses.replace(config.train, stop_after=done.step))
        if not is_main():
            return reason
        if reason == "time":
            write_config(out, self.config)
        chosen = recorder.chosen(done.state)
        write_weights(out / WEIGHTS, chosen, self.config)  # usable from here on, whatever happens to the rest
        temperature = self.calibrate(chosen)
        write_weights(out / WEIGHTS, chosen, self.config, temperature=temperature.value)
        recorder.calibrated(done, temperature)
        recorder.end(done, reason)
        return reason


def _tidy(done: Done) -> None:
    """After the first step, when nothing is computed: what compiling has left makes no later one slower."""
    jax.block_until_ready(done.pending)
    set_pieces_aside()


@lru_cache(maxsize=2)
def _compiled_step(
    model: Segmenter,
    optimiser_config: OptimiserConfig,
    loss_config: LossConfig,
    augment_config: AugmentConfig,
    patch: tuple[int, ...],
    spacing: tuple[float, ...],
    devices: tuple[jax.Device, ...],
) -> Step:
    """A step that trainings of the same kind in one process share, as those of folds: it is compiled once for all."""
    step = make_step(
        model,
        optimiser(optimiser_config),
        patch=patch,
        spacing=spacing,
        loss_config=loss_config,
        augment_config=augment_config,
        ema_decay=optimiser_config.ema_decay,
    )
    return Placement(devices).compile(step)


def _unscaled(variables: Variables) -> Temperature:
    return Temperature(1.0)
