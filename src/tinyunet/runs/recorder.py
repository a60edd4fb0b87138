"""What a training leaves behind as it goes on: its log, its checkpoints, its best weights, and what the user sees."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tinyunet.runs.calibrate import Temperature
from tinyunet.runs.config import Config
from tinyunet.runs.display import Display
from tinyunet.runs.folder import CHECKPOINTS, LOG
from tinyunet.runs.machine import peak_memory
from tinyunet.runs.validate import Validation, collapsed
from tinyunet.training.checkpoint import Checkpoints
from tinyunet.training.log import Log
from tinyunet.training.loop import Done
from tinyunet.training.state import TrainState, Variables

EVENTS = 200
"""About how many times a training writes its loss into the log."""


class Recorder:
    """Keeps the records of one training in its run folder.

    Args:
        out: The run folder.
        config: Of the training.
        validate: Scores weights.
        names: Of the classes.
        display: What the user sees.
        rate: From the steps done before to the learning rate.
    """

    def __init__(
        self,
        out: Path,
        config: Config,
        *,
        validate: Callable[[Variables], Validation],
        names: Sequence[str],
        display: Display,
        rate: Callable[[int], float],
    ):
        self.config = config
        self.validate = validate
        self.names = names
        self.display = display
        self.rate = rate
        self._log = Log(out / LOG)
        self._checkpoints = Checkpoints(out / CHECKPOINTS)
        self._best = Best()
        self._score: float | None = None
        self._clock = Clock()
        self._every = max(1, config.train.steps // EVENTS)
        self._began = self._saved = time.monotonic()

    def restore(self, state: TrainState) -> tuple[TrainState, int]:
        """The newest checkpointed state and the steps done by then, or `state` and 0; the log is cut to fit."""
        first = 0
        if (found := self._checkpoints.restore("last", state)) is not None:
            state, facts = TrainState(*found[0]), found[1]
            first, self._best = int(facts["step"]), Best(facts["best_score"], facts["best_step"])
            self.display.say(f"Going on after step {first}.")
        self._log.cut(first)
        return state, first

    def step(self, done: Done) -> None:
        """Shows a step, and now and then logs the one before, whose loss is known."""
        self._clock.tick(done)
        self.display.update(done.step, loss=done.loss, score=self._score, waiting=self._clock.waiting)
        if math.isfinite(done.loss) and (done.step - 1) % self._every == 0:
            self._log_loss(done.step - 1, done.loss)

    @property
    def _seconds(self) -> float:
        """Since the training began, or went on."""
        return time.monotonic() - self._began

    def _log_loss(self, step: int, loss: float) -> None:
        self._log.write(
            "train",
            step,
            loss=loss,
            learning_rate=self.rate(step - 1),
            steps_per_second=self._clock.speed,
            waiting=self._clock.waiting,
            seconds=self._seconds,
        )

    def look(self, done: Done) -> None:
        """Validates the averaged weights, keeps them if none were better so far, and warns of a collapse."""
        validation = self.validate(done.state.average)
        self._score = validation.score
        better = validation.score >= self._best.best_score
        if better:
            self._best = Best(validation.score, done.step)
            self._checkpoints.save(
                "best", done.step, done.state.average, {"step": done.step, "score": validation.score}
            )
        self._log.write(
            "validate",
            done.step,
            loss=validation.loss,
            dice=[float(d) for d in validation.dice],
            score=validation.score,
            best=better,
            seconds=self._seconds,
        )
        scores = "  ".join(f"{name} {d:.3f}" for name, d in zip(self.names, validation.dice, strict=True))
        self.display.say(f"step {done.step}: validation loss {validation.loss:.3f}, Dice {scores}")
        self._warn(done.step, validation)

    def _warn(self, step: int, validation: Validation) -> None:
        k = collapsed(validation)
        if k is None or 3 * step < self.config.train.steps:
            return
        text = (
            f"After step {step} every validation pixel is given to {self.names[k]!r}, though the masks hold other "
            "classes: the training has collapsed. Usual reasons: masks that do not belong to their images (look at "
            "`tinyunet check`), a class so rare that it needs a higher batches.rare_share or loss.class_weights, or a "
            "learning rate that is too high (optimiser.learning_rate)."
        )
        self.note(step, text)
        self.display.say(text)

    def note(self, step: int, text: str) -> None:
        """Writes a remark into the log, and so into the report."""
        self._log.write("note", step, text=text)

    @property
    def due(self) -> bool:
        """Whether so much time has passed since the last checkpoint that another is due."""
        return time.monotonic() - self._saved > self.config.train.checkpoint_seconds

    def save(self, done: Done) -> None:
        """Saves the state to go on from."""
        self._checkpoints.save("last", done.step, done.state, {"step": done.step, **dataclasses.asdict(self._best)})
        self._saved = time.monotonic()

    def chosen(self, state: TrainState) -> Variables:
        """The best weights of all validations; without one, the average as it is."""
        if self._best.best_step and (found := self._checkpoints.restore("best", state.average)) is not None:
            return dict(found[0])
        return dict(state.average)

    def calibrated(self, done: Done, temperature: Temperature) -> None:
        """Logs the temperature that probabilities are scaled by, and says why if none was fitted."""
        self._log.write("calibrate", done.step, temperature=temperature.value)
        if temperature.note is not None:
            self.note(done.step, temperature.note)
            self.display.say(temperature.note)

    def end(self, done: Done, reason: str) -> None:
        """Logs the last loss, if it is one, then closes the log and the checkpoints."""
        if done.pending is not None and math.isfinite(loss := float(done.pending)):
            self._log_loss(done.step, loss)
        self._log.write(
            "end",
            done.step,
            reason=reason,
            seconds=self._seconds,
            peak_memory_bytes=peak_memory(),
        )
        self._checkpoints.close()


@dataclasses.dataclass(frozen=True)
class Best:
    """The best validation so far, as a checkpoint keeps it."""

    best_score: float = -1.0
    best_step: int = 0


class Clock:
    """Speed, and the share of time spent waiting, over all steps since the first, which compiles."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._began = 0.0
        self._waited = 0.0
        self.speed = 0.0
        self.waiting = 0.0

    def tick(self, done: Done) -> None:
        """Counts a step."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._began = done.step, now
            return
        self._waited += done.waited
        elapsed = max(1e-9, now - self._began)
        self.speed = (done.step - self._first) / elapsed
        self.waiting = min(1.0, self._waited / elapsed)


class Bystander:
    """What a process has instead that is not the first of several: it keeps no records, and looks at nothing."""

    due = False

    def restore(self, state: TrainState) -> tuple[TrainState, int]:
        """The state as it is: process 0 knows better."""
        return state, 0

    def step(self, done: Done) -> None:
        """Nothing."""

    look = save = step

    def note(self, step: int, text: str) -> None:
        """Nothing."""

    def chosen(self, state: TrainState) -> Variables:
        """The average: process 0 knows better."""
        return dict(state.average)

    def calibrated(self, done: Done, temperature: Temperature) -> None:
        """Nothing."""

    def end(self, done: Done, reason: str) -> None:
        """Nothing."""
