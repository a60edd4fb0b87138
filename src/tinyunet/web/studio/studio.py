"""A folder that is painted, and the training beside it: all that the interface asks for."""

import os
import shlex
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from tinyunet.data.labelling import Labelling
from tinyunet.data.normalise import ChannelRule, has_opaque_alpha, is_grey
from tinyunet.data.readers import read_image, shown
from tinyunet.errors import DataError
from tinyunet.runs.config import Config
from tinyunet.runs.live.canvas import UNPAINTED, Canvas
from tinyunet.runs.live.gallery import Gallery, Picture
from tinyunet.runs.live.record import Record
from tinyunet.runs.live.training import LiveTraining
from tinyunet.runs.machine import installed_memory
from tinyunet.runs.prepare import CACHE_SHARE
from tinyunet.web.studio import classes, pictures
from tinyunet.web.studio.folder import BOOKS, Entry, StudioFolder
from tinyunet.web.studio.journal import Entry as Line
from tinyunet.web.studio.journal import Journal
from tinyunet.web.studio.masks import MaskWriter
from tinyunet.web.studio.strokes import Stroke, labels_png, read_labels

RUN = "run"
"""Name of the run folder inside the data set."""

_LONG_JOURNAL = 2**22
"""Bytes from which on a journal is begun anew, once all masks are written."""

_KNOWN_STROKES = 4096
"""So many strokes are known again when they come a second time."""


class Studio:
    """What is painted, learnt and shown. Every method may be called from any thread.

    Args:
        root: The folder.
        config: Of the network and its training.

    Attributes:
        revision: Grows with every change that `state` shows.

    Raises:
        ConfigError: The folder cannot be painted, or is open elsewhere, or its network is another one.
        DataError: It cannot be read or written.
        CheckpointError: Its run is damaged.
    """

    def __init__(self, root: Path, config: Config):
        self.folder = StudioFolder(root)
        try:
            self._open(root, config)
        except BaseException:
            self.folder.close()
            raise

    def _open(self, root: Path, config: Config) -> None:
        self.revision = 0
        self._paint = threading.RLock()
        self._strokes: OrderedDict[str, int] = OrderedDict()
        self._written: dict[str, int] = {}
        self._gone: dict[str, int] = {}  # revisions of images that are not there now
        self._shown = pictures.Shelf(2**27)
        self._thumbnails = pictures.Shelf(2**25)
        self.gallery = Gallery(max_bytes=int(CACHE_SHARE * installed_memory()))
        for entry in self.folder.entries:
            self._hang(entry, self.folder.read_paint(entry))
        self.journal = Journal(root / BOOKS / "journal")
        self._replay()
        record = Record(root / RUN, command=_command())
        self.training = LiveTraining(
            config,
            self.gallery,
            record,
            labelling=self.folder.labelling,
            channels=self.folder.channels or ChannelRule(drop_alpha=False, collapse_grey=False, used=1),
            on_change=self.touch,
        )
        if (root / "split.csv").exists() or not self.folder.entries:
            self._write_split()
        self.masks = MaskWriter(self.write_masks)

    def start(self) -> None:
        """Begins to train, once there is paint."""
        self.training.start()

    def close(self) -> None:
        """Ends the training and writes everything down.

        Raises:
            DataError: Something cannot be written; paint is in the journal whatever happens.
        """
        try:
            self.training.close()
        finally:
            try:
                self.masks.close()
                self._begin_journal()
            finally:
                self.journal.close()
                self.folder.close()

    def touch(self) -> None:
        """Something has changed that `state` shows."""
        self.revision += 1

    def _hang(self, entry: Entry, paint: Shaped[np.ndarray, "h w"], *, revision: int = 0) -> None:
        """Shows an image to the training."""
        bare = not (paint != UNPAINTED).any()
        canvas = Canvas(entry.shape, None if bare else paint, revision=revision)
        self._written[entry.id] = revision
        # Under the name that its files have, as a run records it.
        self.gallery.add(Picture(entry.stem, lambda: self.pixels(entry), canvas, learns=entry.learns))

    def pixels(self, entry: Entry) -> Shaped[np.ndarray, "h w c"]:
        """An image, with the channels that are used."""
        image = read_image(entry.path)
        rule = self.folder.channels
        return image if rule is None else rule.apply(image, where=shown(entry.path))

    def canvas(self, entry: Entry) -> Canvas:
        """The paint on an image."""
        return self.gallery[entry.stem].canvas

    # Painting

    def paint(self, entry: Entry, stroke: Stroke) -> int:
        """Puts a stroke on an image, and returns its revision once the disk has it.

        Raises:
            DataError: It cannot be written; then it is not painted.
        """
        with self._paint:
            if stroke.identity and stroke.identity in self._strokes:
                return self._strokes[stroke.identity]
            canvas = self.canvas(entry)
            (top, left), (height, width) = stroke.corner, stroke.pixels.shape
            revision = canvas.revision + 1
            head: dict[str, Any] = {"stem": entry.stem, "box": [top, left, height, width], "revision": revision}
            self.journal.append({**head, "id": stroke.identity}, labels_png(stroke.pixels))
            bare = canvas.painted == 0
            canvas.merge(stroke.corner, stroke.pixels, now=self.training.status.step)
            self._remember(stroke.identity, revision)
        if bare:
            self._write_split_quietly()
        self.training.changed()
        self.touch()
        return revision

    def _remember(self, identity: str, revision: int) -> None:
        if identity:
            self._strokes[identity] = revision
            while len(self._strokes) > _KNOWN_STROKES:
                self._strokes.popitem(last=False)

    def _replay(self) -> None:
        """Paints again what the masks of the last start may lack."""
        entries = {entry.stem: entry for entry in self.folder.entries}
        for line in self.journal.entries():
            head = line.head
            for identity, revision in head.get("strokes", []):
                self._remember(identity, revision)
            for stem, revision in head.get("revisions", {}).items():
                if stem in entries:
                    canvas = self.canvas(entries[stem])
                    canvas.revision = self._written[entries[stem].id] = revision
                else:
                    self._gone[stem] = revision
            if "box" not in head:
                continue
            if head["stem"] not in entries:
                self._gone[head["stem"]] = head["revision"]
                continue
            top, left, height, width = head["box"]
            canvas = self.canvas(entries[head["stem"]])
            canvas.merge((top, left), read_labels(line.body, shape=(height, width)))
            canvas.revision = head["revision"]
            self._remember(head["id"], head["revision"])

    def _begin_journal(self) -> None:
        """Empties the journal, if the masks hold all that is in it."""
        with self._paint:
            entries = self.folder.entries
            revisions = {entry.stem: self.canvas(entry).revision for entry in entries}
            if any(self._written.get(entry.id) != revisions[entry.stem] for entry in entries):
                return
            revisions = {**self._gone, **revisions}
            self.journal.replace([Line({"revisions": revisions, "strokes": list(self._strokes.items())}, b"")])

    def write_masks(self) -> None:
        """Writes the masks whose paint is newer than their files.

        Raises:
            DataError: One cannot be written.
        """
        for entry in self.folder.entries:
            if entry.stem in self.gallery and self._written.get(entry.id) != self.canvas(entry).revision:
                paint, revision = self.canvas(entry).snapshot()
                self.folder.write_paint(entry, paint)
                self._written[entry.id] = revision
        if self.journal.size > _LONG_JOURNAL:
            self._begin_journal()

    def _write_split(self) -> None:
        self.folder.write_split({e.stem for e in self.folder.entries if self.canvas(e).painted})

    def _write_split_quietly(self) -> None:
        """The split follows from the masks, and is written again at the next change."""
        try:
            self._write_split()
        except DataError as error:
            self.masks.problem = str(error)

    # Images and classes

    def add(self, image: Shaped[np.ndarray, "h w c"], name: str) -> Entry:
        """Takes an image in.

        Raises:
            DataError: Its channels are not those of the others, or it cannot be written.
        """
        rule = self.folder.channels
        if rule is None:
            image = first_channels(image)
        elif rule.used == 3 and image.shape[-1] == 1:
            image = np.repeat(image, 3, axis=-1)
        else:
            image = rule.apply(image, where="It")
        entry = self.folder.add(image, name)
        self._hang(entry, np.full(entry.shape, UNPAINTED, np.uint8))
        self._write_split_quietly()
        self.training.changed(channels=self.folder.channels)
        self.touch()
        return entry

    def remove(self, entry: Entry) -> None:
        """Puts an image and its paint aside."""
        with self._paint:
            paint, revision = self.canvas(entry).snapshot()
            if revision != self._written.get(entry.id):
                self.folder.write_paint(entry, paint)
            self.folder.remove(entry.id)
            self.gallery.remove(entry.stem)
            self._gone[entry.stem] = revision
        self.training.forget(entry.stem)
        self._write_split_quietly()
        self.training.changed()
        self.touch()

    def restore(self, identity: str) -> Entry | None:
        """Takes back an image that was removed; None where there is none of that id."""
        with self._paint:
            entry = self.folder.restore(identity)
            if entry is None:
                return None
            self._hang(entry, self.folder.read_paint(entry), revision=self._gone.pop(entry.stem, 0))
        self._write_split_quietly()
        self.training.changed()
        self.touch()
        return entry

    def add_class(self, name: str, color: str) -> None:
        """Adds a class."""
        self._set_labelling(classes.with_class(self.folder.labelling, name, color))

    def change_class(self, k: int, *, name: str | None, color: str | None) -> None:
        """Gives a class another name or colour."""
        self._set_labelling(classes.changed(self.folder.labelling, k, name=name, color=color))

    def _set_labelling(self, labelling: Labelling) -> None:
        with self._paint:
            self.folder.set_labelling(labelling)
        self.training.changed(labelling=labelling)
        self.touch()

    # Pictures

    def picture(self, entry: Entry) -> bytes:
        """An image as PNG to look at."""
        return self._shown.get(entry.id, lambda: pictures.png_of(self.pixels(entry)))

    def thumbnail(self, entry: Entry) -> bytes:
        """The same, small."""
        return self._thumbnails.get(entry.id, lambda: pictures.thumbnail_of(self.pixels(entry)))


def first_channels(image: Shaped[np.ndarray, "h w c"]) -> Shaped[np.ndarray, "h w used"]:
    """The channels of the first image that are worth keeping: no opaque alpha, one of three that are equal."""
    kept = image[..., :-1] if has_opaque_alpha(image) else image
    return kept[..., :1] if is_grey(kept) and kept.shape[-1] == 3 else kept


def _command() -> str:
    """What began this process, for the report."""
    return shlex.join(["tinyunet", *sys.argv[1:]]) if os.path.basename(sys.argv[0]) == "tinyunet" else "tinyunet studio"
