"""A training beside the painter: it learns what is painted, shows it, and rests when nothing changes."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tinyunet.data.labelling import Labelling
from tinyunet.data.normalise import ChannelRule, Normalisation
from tinyunet.data.split import Split
from tinyunet.errors import ConfigError, TinyUNetError, TrainingError
from tinyunet.runs.build import network_classes
from tinyunet.runs.config import Config
from tinyunet.runs.live.gallery import Gallery
from tinyunet.runs.live.network import Network
from tinyunet.runs.live.pace import Pace
from tinyunet.runs.live.patches import Patches
from tinyunet.runs.live.record import Record
from tinyunet.runs.live.showing import Showing, Shown, View
from tinyunet.training.state import Variables

State = Literal["waiting", "compiling", "training", "paused", "failed"]

SAVE_SECONDS = 15.0
"""So often what was learnt is written down."""

USUAL_SHAPE = (512, 512)
"""For images of this size, what predicts is compiled before there are any."""

OTHERS_SHARE = 0.2
"""Share of the time that goes into predicting images which nobody looks at."""

FOCUS_SHARE = 0.35
"""Of the time of a burst, so much may go into predicting the image that is looked at…"""

FOCUS_SECONDS = 1.5
"""…or so long: the tiles of a large image that are left come after the next burst."""


@dataclass(frozen=True)
class Status:
    """Where a training stands.

    Attributes:
        state: `waiting` for paint, `compiling`, `training`, `paused`, or `failed`.
        detail: The same in one line for people.
        step: Steps done.
        seconds: Of training, those of earlier starts too.
        loss: Mean of the last burst; None before.
        version: Of the newest weights that have predicted.
        agreement: Share of the painted pixels that the newest predictions label as painted; None before there are any.
    """

    state: State = "waiting"
    detail: str = "Drop images in to begin."
    step: int = 0
    seconds: float = 0.0
    loss: float | None = None
    version: int = 0
    agreement: float | None = None


class LiveTraining:
    """Trains in a thread of its own, from `start` to `close`; every method may be called from any thread.

    Args:
        config: Model, sizes, optimiser, seed and the folder of the data.
        gallery: The images; those that come or go are told by `changed`.
        record: Where all is written down.
        labelling: The classes.
        channels: Which channels of the images are used.
        on_change: Called, from the training's thread, whenever `status` or a prediction has changed.

    Attributes:
        status: Where it stands.
        showing: The predictions.

    Raises:
        CheckpointError: What `record` holds cannot be gone on with.
        ConfigError: It was trained with another network than `config` asks for.
    """

    def __init__(
        self,
        config: Config,
        gallery: Gallery,
        record: Record,
        *,
        labelling: Labelling,
        channels: ChannelRule,
        on_change: Callable[[], None] = lambda: None,
    ):
        self.config = config
        self.gallery = gallery
        self.record = record
        self.on_change = on_change
        self.labelling, self.channels = labelling, channels
        self.status = Status()
        self._network: Network | None = None
        self._patches = Patches(gallery, config.batches, seed=config.seed)
        self._pace = Pace()
        self.showing = Showing(gallery, on_shown=self._note_agreement)
        self._running, self._closing, self._hurry = True, False, False
        self._wake = threading.Condition()
        self._news = self._known = 0
        self._saving = threading.Lock()
        self._learnt: tuple[Variables, Config, Status] | None = None
        self._saved_at = 0.0
        self._credit = 0.0
        self._start: Variables | None = None
        self._restore()
        self._thread = threading.Thread(target=self._work, name="live-training", daemon=True)

    def _restore(self) -> None:
        if (found := self.record.restore()) is None:
            return
        weights, place = found
        if weights.config.model != self.config.model:
            raise ConfigError(
                f"The network in {self.record.path} is another one than was asked for; leave the options of the "
                "network out, or move that folder away to begin anew."
            )
        known, old = self.channels, weights.config.data.channels
        if old is not None and old.used == known.used:
            self._start = weights.variables
            self.status = Status(**place, detail="Going on with what was learnt.")

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def close(self) -> None:
        """Ends after the current step, and writes down what was learnt.

        Raises:
            DataError: It cannot be written.
        """
        with self._wake:
            self._closing = self._hurry = True
            self._tell()
        if self._thread.ident is not None:
            self._thread.join()
        self.save(ended=True)

    def changed(self, *, labelling: Labelling | None = None, channels: ChannelRule | None = None) -> None:
        """Tells of new paint, of images that came or went, or of other classes and channels."""
        with self._wake:
            if labelling is not None:
                # Names and colours alone are no news to the network.
                if labelling.num_classes != self.labelling.num_classes:
                    self._hurry = True
                self.labelling = labelling
            if channels is not None:
                self._hurry = self._hurry or channels.used != self.channels.used
                self.channels = channels
            self._pace.change(self.status.step)
            self._tell()

    def focus(self, name: str, view: View | None = None) -> None:
        """Says which image is looked at, and which part of it is seen: it is predicted first."""
        with self._wake:
            if self.showing.focus != name:
                self._hurry = True
            self.showing.focus, self.showing.view = name, view
            self._tell()

    def run(self, running: bool) -> None:
        """Lets the training go on, or rest."""
        with self._wake:
            self._running, self._hurry = running, not running
            self._pace.change(self.status.step)
            self._tell()

    def _tell(self) -> None:
        """Wakes the thread, or has it look once more before it rests; the lock is held."""
        self._news += 1
        self._wake.notify_all()

    def shown(self, name: str) -> Shown | None:
        """The newest prediction of an image."""
        return self.showing.get(name)

    def forget(self, name: str) -> None:
        """Drops the prediction of an image that has gone."""
        self.showing.forget(name)

    def save(self, *, ended: bool = False) -> None:
        """Writes down what was learnt, if anything was.

        Raises:
            DataError: It cannot be written.
        """
        with self._saving:
            if (learnt := self._learnt) is None:
                return
            variables, config, status = learnt
            self.record.save(
                variables, config, step=status.step, seconds=status.seconds, version=status.version, ended=ended
            )
            self.record.save_fingerprint(config)
            self._saved_at = time.monotonic()

    def _work(self) -> None:
        """The thread."""
        while not self._closing:
            try:
                self._turn()
            except TrainingError:
                self._network = None  # the next one starts from the last weights that were numbers
                self._fail("The training diverged; it goes on from before when something is painted.")
            except TinyUNetError as error:
                self._fail(str(error).splitlines()[0])
            except Exception as error:
                self._network = None
                self._fail(f"A fault of tinyunet: {type(error).__name__}: {' '.join(str(error).split())}")

    def _fail(self, detail: str) -> None:
        self._say("failed", detail)
        self._wait()

    def _turn(self) -> None:
        """One burst of training and what it shows, or waiting for a reason to do more."""
        with self._wake:
            self._known = self._news
        network = self._ready()
        if (missing := self._missing()) is not None:
            self._rest("waiting", missing)
        elif not self._running:
            self._rest("paused", "Paused: press play to go on.")
        elif (settled := self._pace.settled(self.status.step)) is not None:
            self._rest("paused", settled)
        else:
            self._burst(network)

    def _ready(self) -> Network:
        """The network for the classes and channels that there are now, compiled."""
        classes, channels = len(network_classes(self.labelling)), self.channels.used
        network = self._network
        if network is not None and (network.classes, network.channels) == (classes, channels):
            return network
        self._say("compiling", "Compiling the network: a few seconds, once.")
        start = self._start
        if network is not None:
            start = network.variables if network.channels == channels else None
        self._network = network = Network(
            self.config, channels=channels, classes=classes, start=start, step=self.status.step
        )
        if start is not None:  # what was learnt before is shown at once
            self._publish(network, loss=None)
            self._show_some(network, 1.0)
            self._say("compiling", "Compiling the training: a few seconds, once.")
        network.warm()
        if start is None:
            # Predicting needs programs of its own, which are compiled now rather than under the first paint.
            sizes = {picture.shape: picture.name for picture in self.gallery.pictures}
            for name in list(sizes.values())[:4]:
                network.predict(self.gallery.prepared(name))
            if not sizes:
                network.predict(np.zeros((*USUAL_SHAPE, channels), np.float32))
        return network

    def _missing(self) -> str | None:
        """What is wanted before anything can be learnt, in words."""
        pictures = self.gallery.pictures
        if not pictures:
            return "Drop images in to begin."
        names = self.labelling.names
        have = {k for picture in pictures if picture.learns for k in picture.canvas.classes if k < len(names)}
        if len(have) >= 2:
            return None
        if not have:
            return "Paint a few strokes of two classes to begin."
        return f"Paint something that is not {names[have.pop()]!r}, too."

    def _rest(self, state: State, detail: str) -> None:
        """Predicts what the newest weights have not predicted yet; where all is done, waits until something happens."""
        version = self.status.version
        if self._network is not None and version and (name := self.showing.stale(version)) is not None:
            self._say(state, detail)
            self.showing.predict(self._network, name, version, stop=lambda: self._news != self._known)
            return
        self._say(state, detail)
        if time.monotonic() - self._saved_at > SAVE_SECONDS:
            self._save_quietly()
        with self._wake:
            self._hurry = False
        self._wait()

    def _wait(self) -> None:
        """Until something happens that was not known at the beginning of this turn."""
        with self._wake:
            while self._news == self._known and not self._closing:
                self._wake.wait()

    def _burst(self, network: Network) -> None:
        """Some steps, then predictions."""
        began = time.monotonic()
        with self._wake:
            self._hurry = False
            length = self._pace.seconds
        self._say("training", self._words())
        losses = []
        first = network.step
        for done in network.train(self._batches(network)):
            losses.append(done.loss)
            enough = done.step - first >= self._pace.least_steps
            if self._closing or (self._hurry and enough) or (enough and time.monotonic() - began > length):
                break
        if not losses:
            return
        trained = time.monotonic() - began
        known = np.array(losses[1:] or losses)
        loss = float(np.nanmean(known)) if np.isfinite(known).any() else None
        self._publish(network, loss=loss, seconds=trained)
        if not self._closing:
            self._show_some(network, trained)
        took = time.monotonic() - began
        self.status = dataclasses.replace(
            self.status, seconds=self.status.seconds + took - trained, agreement=self.showing.agreement()
        )
        self._pace.burst(self.status.step, loss=loss, agreement=self.status.agreement, shown=took - trained)
        speed = len(losses) / max(trained, 1e-6)
        self.record.note(
            network.step,
            loss=loss,
            learning_rate=network.rate(network.step),
            steps_per_second=speed,
            waiting=0.0,
            seconds=self.status.seconds,
        )
        self.on_change()
        if time.monotonic() - self._saved_at > SAVE_SECONDS:
            self._save_quietly()

    def _batches(self, network: Network) -> Iterator[dict[str, Any]]:
        """Batches without end, each of the paint that there is when it is drawn."""
        step = network.step
        while (batch := self._patches(step, classes=network.classes)) is not None:
            yield batch
            step += 1

    def _publish(self, network: Network, *, loss: float | None, seconds: float = 0.0) -> None:
        """Makes the weights as they are now those that predict."""
        before = self.status
        self.status = dataclasses.replace(
            before,
            step=network.step,
            seconds=before.seconds + seconds,
            version=before.version + 1,
            loss=before.loss if loss is None else loss,
        )
        variables = network.host_variables()
        self._start = variables
        with self._saving:
            self._learnt = variables, self._resolved(), self.status

    def _resolved(self) -> Config:
        """The configuration as a run has it."""
        pictures = self.gallery.pictures
        train = tuple(sorted(p.name for p in pictures if p.learns and p.canvas.painted))
        rest = tuple(sorted(p.name for p in pictures if p.name not in train))
        data = dataclasses.replace(
            self.config.data,
            task=self.labelling.task,
            normalise="image",
            labelling=self.labelling,
            channels=self.channels,
            normalisation=Normalisation("image"),
            split=Split(train=train, val=(), test=(), unlabelled=rest),
        )
        steps = dataclasses.replace(self.config.train, steps=max(1, self.status.step))
        return dataclasses.replace(self.config, data=data, train=steps)

    def _show_some(self, network: Network, trained: float) -> None:
        """Predicts the image that is looked at, and of the others as many as their share of the time allows."""
        showing, version = self.showing, self.status.version

        def hurry() -> bool:
            return self._hurry or self._closing

        if showing.focus is not None:
            showing.predict(
                network, showing.focus, version, seconds=max(FOCUS_SECONDS, FOCUS_SHARE * trained), stop=hurry
            )
        self._credit = min(self._credit + OTHERS_SHARE * trained, 10.0)
        began = time.monotonic()
        while self._credit > 0 and not hurry() and (name := showing.stale(version)) is not None:
            showing.predict(network, name, version, seconds=self._credit, stop=hurry)
            now = time.monotonic()
            self._credit, began = self._credit - (now - began), now

    def _note_agreement(self) -> None:
        """Something new is shown."""
        self.status = dataclasses.replace(self.status, agreement=self.showing.agreement())
        self.on_change()

    def _words(self) -> str:
        agreement = self.status.agreement
        if agreement is None:
            return "Training on what is painted."
        return f"Training: {agreement:.0%} of the paint is predicted as painted."

    def _say(self, state: State, detail: str) -> None:
        if (self.status.state, self.status.detail) != (state, detail):
            self.status = dataclasses.replace(self.status, state=state, detail=detail)
            self.on_change()

    def _save_quietly(self) -> None:
        """Saves; a disk that is full is no reason to stop training."""
        try:
            self.save()
        except TinyUNetError as error:
            self._saved_at = time.monotonic()
            self._say(self.status.state, f"What was learnt cannot be written down: {str(error).splitlines()[0]}")
