"""One training, put together from its configuration: the compiled programs, the data, the files."""

import dataclasses
import math
import resource
import threading
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from tinyunet.data.batches import Sampler, batches
from tinyunet.data.folder import DataFolder
from tinyunet.errors import TrainingError
from tinyunet.runs.budget import Timing, validation_steps
from tinyunet.runs.build import build_model, build_probabilities, build_tiles
from tinyunet.runs.config import Config
from tinyunet.runs.display import Display
from tinyunet.runs.folder import CHECKPOINTS, LOG, WEIGHTS, write_config
from tinyunet.runs.prepare import open_store
from tinyunet.runs.validate import Validation, Validator, collapsed
from tinyunet.runs.weights import write_weights
from tinyunet.training.checkpoint import Checkpoints
from tinyunet.training.log import Log
from tinyunet.training.loop import Done, run_steps
from tinyunet.training.optimiser import learning_rate, optimiser
from tinyunet.training.state import TrainState, Variables, initial_state, initial_variables
from tinyunet.training.step import Batch, make_step

TIMED_SECONDS = 4.0
"""How long steps are timed before a training whose minutes are given."""


class Session:
    """A training that can be timed, and run from any step.

    Args:
        config: Resolved: nothing is left open.
        folder: The data set.
        common: The class with the most pixels, which forced patches do not look for.
        variables: To start from; None: initial ones from the seed.
    """

    def __init__(self, config: Config, folder: DataFolder, *, common: int, variables: Variables | None = None):
        data = config.data
        assert data.labelling is not None  # resolved
        assert data.channels is not None
        assert data.split is not None
        self.config = config
        self.classes = data.labelling.num_classes
        self.names = data.labelling.names
        self.model = build_model(config.model, classes=self.classes)
        train = open_store(config, folder, data.split.train)
        self.sampler = Sampler(
            images=len(train),
            read=train,
            config=config.batches,
            seed=config.seed,
            common=common,
        )
        self.optimiser = optimiser(config.optimiser)
        step = make_step(
            self.model,
            self.optimiser,
            patch=(config.batches.patch,) * 2,
            loss_config=config.loss,
            augment_config=config.augment,
            ema_decay=config.optimiser.ema_decay,
        )
        self.step = jax.jit(step, donate_argnums=0)
        self.key = jax.random.PRNGKey(config.seed)
        tiles = build_tiles(config.model)
        self.variables = variables or initial_variables(
            self.model, config.seed, channels=data.channels.used, size=tiles.ladder[0]
        )
        self.validate = Validator(
            build_probabilities(self.model), tiles, open_store(config, folder, data.split.val), classes=self.classes
        )

    def measure(self, *, used: float, seconds: float = TIMED_SECONDS) -> Timing:
        """Times steps and a validation on a state that is thrown away.

        Args:
            used: Seconds since the process began, when this is called.
            seconds: How long to time steps.
        """
        began = time.monotonic()
        state = initial_state(jax.tree.map(jnp.copy, self.variables), self.optimiser)
        times: list[float] = []
        for batch in batches(self.sampler, first=0, last=10_000):
            start = time.monotonic()
            state, loss = self.step(state, Batch(**batch), self.key, jnp.float32(0))
            loss.block_until_ready()
            times.append(time.monotonic() - start)
            # The first call compiles, the second still warms up.
            if len(times) > 6 and sum(times[2:]) > seconds:
                break
        self.validate(self.variables)
        start = time.monotonic()
        self.validate(self.variables)
        now = time.monotonic()
        return Timing(used=used + now - began, step=sum(times[2:]) / len(times[2:]), validation=now - start)

    def save_start(self, folder: Path) -> None:
        """Saves the state before the first step, for a training whose initial weights do not follow from the seed.

        Args:
            folder: The run folder, while it is being made.
        """
        checkpoints = Checkpoints(folder / CHECKPOINTS)
        state = initial_state(self.variables, self.optimiser)
        checkpoints.save("last", 0, state, {"step": 0, **_Best().facts()})
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
        config, log = self.config, Log(out / LOG)
        # A copy: the first step takes its memory away.
        state = initial_state(jax.tree.map(jnp.copy, self.variables), self.optimiser)
        checkpoints = Checkpoints(out / CHECKPOINTS)
        best = _Best()
        first = 0
        if (found := checkpoints.restore("last", state)) is not None:
            state, facts = TrainState(*found[0]), found[1]
            first, best = int(facts["step"]), _Best(facts["best_score"], facts["best_step"])
            display.say(f"Going on after step {first}.")
        log.cut(first)
        last = config.train.stop_after or config.train.steps
        # Those of the whole schedule, so that a training which ended early is repeated with the same looks.
        looks = {step for step in validation_steps(config.train.steps, config.train.validations) if step < last} | {
            last
        }
        rate = partial(learning_rate, config=config.optimiser, steps=config.train.steps)
        began, saved, reason, score = time.monotonic(), time.monotonic(), "finished", None
        clock = _Clock()
        done = Done(first, state, math.nan, 0.0)
        try:
            data = batches(self.sampler, first=first, last=last)
            for done in run_steps(self.step, state, data, first=first, key=self.key, rate=rate):
                clock.tick(done)
                display.update(done.step, loss=done.loss, score=score, waiting=clock.waiting)
                if done.step % max(1, last // 200) == 0:
                    log.write(
                        "train",
                        done.step,
                        loss=done.loss,
                        learning_rate=rate(done.step - 1),
                        steps_per_second=clock.speed,
                        waiting=clock.waiting,
                    )
                late = deadline is not None and time.monotonic() > deadline
                ending = done.step == last or stop.is_set() or late
                if done.step in looks or (ending and not stop.is_set()):
                    score = self._look(done, best, checkpoints, log, display)
                if ending or done.step in looks or time.monotonic() - saved > config.train.checkpoint_seconds:
                    checkpoints.save("last", done.step, done.state, {"step": done.step, **best.facts()})
                    saved = time.monotonic()
                if ending and done.step < last:
                    reason = "stopped" if stop.is_set() else "time"
                    break
        except TrainingError as error:
            log.write("note", done.step, text=str(error))
            log.write("end", done.step, reason="diverged", seconds=time.monotonic() - began)
            raise
        if reason == "time":
            self.config = dataclasses.replace(config, train=dataclasses.replace(config.train, stop_after=done.step))
            write_config(out, self.config)
        self._write(out, done.state, best, checkpoints)
        checkpoints.close()
        log.write(
            "end",
            done.step,
            reason=reason,
            seconds=time.monotonic() - began,
            peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        )
        return reason

    def _look(self, done: Done, best: "_Best", checkpoints: Checkpoints, log: Log, display: Display) -> float:
        """Validates the averaged weights, keeps them if they are the best so far, and warns of a collapse."""
        validation = self.validate(done.state.average)
        better = validation.score >= best.score
        if better:
            best.score, best.step = validation.score, done.step
            checkpoints.save("best", done.step, done.state.average, {"step": done.step, "score": validation.score})
        log.write(
            "validate",
            done.step,
            loss=validation.loss,
            dice=[float(d) for d in validation.dice],
            score=validation.score,
            best=better,
        )
        scores = "  ".join(f"{name} {d:.3f}" for name, d in zip(self.names, validation.dice, strict=True))
        display.say(f"step {done.step}: validation loss {validation.loss:.3f}, Dice {scores}")
        self._warn(done.step, validation, log, display)
        return validation.score

    def _warn(self, step: int, validation: Validation, log: Log, display: Display) -> None:
        k = collapsed(validation)
        if k is None or 3 * step < self.config.train.steps:
            return
        text = (
            f"After step {step} every validation pixel is given to {self.names[k]!r}, though the masks hold other "
            "classes: the training has collapsed. Usual reasons: masks that do not belong to their images (look at "
            "`tinyunet check`), a class so rare that it needs a higher batches.rare_share or loss.class_weights, or a "
            "learning rate that is too high (optimiser.learning_rate)."
        )
        log.write("note", step, text=text)
        display.say(text)

    def _write(self, out: Path, state: TrainState, best: "_Best", checkpoints: Checkpoints) -> None:
        """Writes the best weights of all validations; of none, the average as it is."""
        chosen = state.average
        if best.step and (found := checkpoints.restore("best", state.average)) is not None:
            chosen = found[0]
        write_weights(out / WEIGHTS, chosen, self.config)


@dataclasses.dataclass
class _Best:
    """The best validation so far."""

    score: float = -1.0
    step: int = 0

    def facts(self) -> dict[str, float | int]:
        return {"best_score": self.score, "best_step": self.step}


class _Clock:
    """Speed, and the share of time spent waiting, over all steps since the second."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._began = 0.0
        self._waited = 0.0
        self.speed = 0.0
        self.waiting = 0.0

    def tick(self, done: Done) -> None:
        now = time.monotonic()
        if self._first is None:  # the first step compiles
            self._first, self._began = done.step, now
            return
        self._waited += done.waited
        elapsed = max(1e-9, now - self._began)
        self.speed = (done.step - self._first) / elapsed
        self.waiting = min(1.0, self._waited / elapsed)
