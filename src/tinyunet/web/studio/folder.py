"""The data-set folder of a studio: images, masks and classes as any tool of ours reads them, and the bookkeeping."""

import dataclasses
import hashlib
import io
import json
import re
import secrets
import threading
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import tomli_w
from jaxtyping import Shaped, UInt8
from PIL import Image

from tinyunet.data.folder import scan_folder
from tinyunet.data.header import Header
from tinyunet.data.labelfile import LABEL_SUFFIXES, write_labels
from tinyunet.data.labelling import IGNORE, Labelling
from tinyunet.data.lock import Lock
from tinyunet.data.normalise import ChannelRule
from tinyunet.data.readers import read_header, shown, stem, suffix
from tinyunet.data.sample import Sample, sample_mask
from tinyunet.data.writers import explained_writing, write_bytes, write_text
from tinyunet.errors import ConfigError, DataError
from tinyunet.runs.live.canvas import MOST_CLASSES, UNPAINTED
from tinyunet.web.studio.classes import at_the_start, with_ignore
from tinyunet.web.studio.meaning import images_of, meaning_of

BOOKS = ".studio"
"""The folder inside the data set in which the studio keeps what is its own."""

MOST_PIXELS = 2**24
"""Of an image: 4096²."""

_STEM = re.compile(r"image-(\d{4,})")


@dataclass(frozen=True)
class Entry:
    """An image of the studio.

    Args:
        id: By which the page knows it: letters that follow from its stem, and are others in another folder.
        stem: Name of its files without their suffix.
        path: Of the image.
        mask: Where its mask is, or will be.
        name: What the user calls it; text that is shown and never a path.
        shape: Height and width in pixels.
        part: What `split.csv` says of it: train, val, test or unlabelled; None where it says nothing.
    """

    id: str
    stem: str
    path: Path
    mask: Path
    name: str
    shape: tuple[int, int]
    part: str | None = None

    @property
    def learns(self) -> bool:
        """Whether its paint is learnt from: what is kept for validation or a test is not."""
        return self.part not in ("val", "test")


class StudioFolder:
    """A folder that is open in this studio and no other. Several threads may use it at once.

    Args:
        root: The folder; made if it is not there.

    Attributes:
        labelling: The classes.
        channels: Which channels of the images are used; None while there is no image.

    Raises:
        ConfigError: It is open in another studio, or holds what a studio cannot paint.
        DataError: It cannot be read, or not be written.
    """

    def __init__(self, root: Path):
        self.root = root
        _check_layout(root)
        with explained_writing(root):
            for part in ("images", "masks", BOOKS):
                (root / part).mkdir(parents=True, exist_ok=True)
        self._books = root / BOOKS
        self._lock = threading.RLock()
        refusal = f"{shown(root)} is open in another studio: use that one, stop it first, or open another folder."
        self._folder_lock = Lock(self._books / "lock", refusal=refusal)
        try:
            self._open()
        except BaseException:
            self._folder_lock.release()
            raise

    def _open(self) -> None:
        index = self._read_index()
        folder, problems = scan_folder(self.root, minimum_pairs=0)
        files = images_of(self.root)
        for path in files:
            if suffix(path) == ".zarr" or len(read_header(path).shape) != 2:
                raise ConfigError(f"{shown(path)} is no image of two axes; the studio paints only those.")
        # Masks that are missing, and images that `split.csv` does not list, are what a kill leaves, and mended here.
        problems = [line for line in problems if "must have a mask" not in line and "must list every image" not in line]
        if problems:
            raise DataError(*problems)
        meaning = meaning_of(self.root, index.get("labelling"))
        self.labelling = with_ignore(meaning.labelling or at_the_start())
        self.channels = ChannelRule(**index["channels"]) if "channels" in index else meaning.channels
        if self.labelling.num_classes > MOST_CLASSES:
            raise ConfigError(
                f"{shown(self.root)} has {self.labelling.num_classes} classes; {MOST_CLASSES} can be painted."
            )
        self._salt = str(index.get("salt", secrets.token_hex(8)))
        self._names: dict[str, str] = dict(index.get("names", {}))
        self._removed: dict[str, dict[str, str]] = dict(index.get("removed", {}))
        self._entries: dict[str, Entry] = {}
        declared = folder.declared or {}
        masks = {sample.name: sample.mask for sample in folder.samples}
        for path in files:
            self._take(Sample(stem(path), path, masks.get(stem(path))), declared.get(stem(path)))
        self._write_spec()
        self._write_index()

    def _read_index(self) -> dict[str, Any]:
        path = self._books / "studio.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            return found if isinstance(found, dict) else {}
        except (OSError, ValueError) as error:
            raise DataError(f"{shown(path)} is damaged ({error}); remove it: names that were shown are lost.") from None

    def _take(self, sample: Sample, part: str | None) -> Entry:
        mask = sample.mask if sample.mask is not None else self._mask_beside(sample.name)
        entry = Entry(
            id=self._id_of(sample.name),
            stem=sample.name,
            path=sample.image,
            mask=mask,
            name=self._names.setdefault(sample.name, sample.image.name),
            shape=_shape(read_header(sample.image)),
            part=part,
        )
        self._entries[entry.id] = entry
        return entry

    def _mask_beside(self, stem: str) -> Path:
        """The mask of an image: the one that is there, else where one is written."""
        there = [
            path for path in (self.root / "masks").glob("*") if path.stem == stem and suffix(path) in LABEL_SUFFIXES
        ]
        return min(there, default=self.root / "masks" / f"{stem}.png")

    def _id_of(self, stem: str) -> str:
        digest = hashlib.sha256(f"{self._salt}/{stem}".encode("utf-8", "surrogateescape")).hexdigest()
        return next(
            digest[:length]
            for length in range(8, 65)
            if (taken := self._entries.get(digest[:length])) is None or taken.stem == stem
        )

    @property
    def entries(self) -> list[Entry]:
        """All images, in the order of their stems."""
        with self._lock:
            return sorted(self._entries.values(), key=lambda entry: entry.stem)

    def get(self, identity: str) -> Entry | None:
        """The image of an id."""
        return self._entries.get(identity)

    def read_paint(self, entry: Entry) -> UInt8[np.ndarray, "h w"]:
        """What the mask of an image holds: class ids and `UNPAINTED`.

        Raises:
            DataError: It cannot be read, has another size, or values that no class has.
        """
        if not entry.mask.exists():
            return np.full(entry.shape, UNPAINTED, np.uint8)
        raw = sample_mask(Sample(entry.stem, entry.path, entry.mask))
        labels = self.labelling.encode(raw, where=shown(entry.mask))
        if labels.shape != entry.shape:
            raise DataError(
                f"{shown(entry.mask)} has another size than its image: remove it, or put the right one there."
            )
        return np.where(labels == IGNORE, UNPAINTED, labels).astype(np.uint8)

    def write_paint(self, entry: Entry, paint: UInt8[np.ndarray, "h w"]) -> None:
        """Writes the mask of an image, whole or not at all.

        Raises:
            DataError: It cannot be written.
        """
        labels = np.where(paint == UNPAINTED, IGNORE, paint.astype(np.int32)).astype(np.int32)
        write_labels(entry.mask, labels, self.labelling)

    def write_split(self, painted: set[str]) -> None:
        """Writes `split.csv`: painted images are for training, others unlabelled; val and test stay what they are.

        Args:
            painted: Stems of the images with paint.

        Raises:
            DataError: It cannot be written.
        """
        with self._lock:
            lines = ["name,split"]
            for entry in self.entries:
                part = entry.part if not entry.learns else "train" if entry.stem in painted else "unlabelled"
                lines.append(f"{_quoted(entry.stem)},{part}")
            content = "\n".join(lines) + "\n"
            path = self.root / "split.csv"
            if not path.exists() or path.read_text(encoding="utf-8-sig") != content:
                write_text(path, content)

    def add(self, image: Shaped[np.ndarray, "h w c"], name: str) -> Entry:
        """Keeps an image under a name of ours.

        Args:
            image: Pixels, with the channels that are used.
            name: What the user calls it.

        Raises:
            DataError: It cannot be written.
        """
        with self._lock:
            stem = f"image-{self._next_number():04d}"
            kind, content = _file_of(image)
            path = self.root / "images" / f"{stem}{kind}"
            write_bytes(path, content, lasting=True)
            self._names[stem] = name
            if self.channels is None:
                self.channels = ChannelRule(drop_alpha=False, collapse_grey=False, used=image.shape[-1])
            entry = self._take(Sample(stem, path, None), None)
            self._write_index()
            return entry

    def _next_number(self) -> int:
        stems = [*(entry.stem for entry in self._entries.values()), *self._removed]
        return 1 + max((int(found[1]) for stem in stems if (found := _STEM.fullmatch(stem))), default=0)

    def remove(self, identity: str) -> Entry:
        """Moves an image and its mask out of the data set, from where `restore` takes them back."""
        with self._lock, explained_writing(self._books):
            entry = self._entries[identity]
            place = self._books / "removed"
            place.mkdir(exist_ok=True)
            facts = {"id": identity, "image": entry.path.name, "mask": entry.mask.name, "part": entry.part or ""}
            self._removed[entry.stem] = facts
            self._write_index()
            if entry.mask.exists():
                entry.mask.replace(place / f"mask-{entry.mask.name}")
            entry.path.replace(place / f"image-{entry.path.name}")
            del self._entries[identity]
            return entry

    def restore(self, identity: str) -> Entry | None:
        """Takes back an image that was removed; None where there is none of that id."""
        with self._lock, explained_writing(self._books):
            found = next(((s, facts) for s, facts in self._removed.items() if facts["id"] == identity), None)
            if found is None:
                return None
            stem, facts = found
            place = self._books / "removed"
            image, mask = self.root / "images" / facts["image"], self.root / "masks" / facts["mask"]
            if (place / f"mask-{mask.name}").exists():
                (place / f"mask-{mask.name}").replace(mask)
            if not (place / f"image-{image.name}").exists():
                return None
            (place / f"image-{image.name}").replace(image)
            del self._removed[stem]
            entry = self._take(Sample(stem, image, mask if mask.exists() else None), facts["part"] or None)
            self._write_index()
            return entry

    def set_labelling(self, labelling: Labelling) -> None:
        """Puts other classes in the place of those that there are.

        Raises:
            DataError: They cannot be written; those that there were stay.
        """
        with self._lock:
            before, self.labelling = self.labelling, labelling
            try:
                self._write_spec()
                self._write_index()
            except DataError:
                self.labelling = before
                raise

    def _write_spec(self) -> None:
        """Writes `dataset.toml`; what the user has written into it besides stays."""
        path = self.root / "dataset.toml"
        before = tomllib.loads(path.read_text(encoding="utf-8-sig")) if path.exists() else {}
        plain = {key: value for key, value in self.labelling.to_dict().items() if key != "kind"}
        after = {**before, **plain}
        if after != before:
            write_text(path, tomli_w.dumps(after))

    def _write_index(self) -> None:
        index = {
            "channels": None if self.channels is None else dataclasses.asdict(self.channels),
            "labelling": self.labelling.to_dict(),
            "names": self._names,
            "removed": self._removed,
            "salt": self._salt,
        }
        content = json.dumps({key: value for key, value in index.items() if value is not None}, indent=1)
        write_bytes(self._books / "studio.json", content.encode(), lasting=True)

    def close(self) -> None:
        """Lets others open the folder."""
        self._folder_lock.release()


def _check_layout(root: Path) -> None:
    """Refuses a folder that is none, or of another layout, before anything is written into it."""
    if not root.exists():
        return
    if not root.is_dir():
        raise ConfigError(f"{shown(root)} is a file; give a folder, or the name of one to be made.")
    inside = {path.name for path in root.iterdir() if not path.name.startswith(".")}
    if ("images" in inside and inside & {"train", "val", "test", "imagesTr"}) or not inside or "images" in inside:
        return
    raise ConfigError(
        f"{shown(root)} must be empty or a data set with images/ and masks/, got {', '.join(sorted(inside)[:3])}: give "
        "the name of a new folder, and drop the images into the page."
    )


def _shape(header: Header) -> tuple[int, int]:
    return header.shape[0], header.shape[1]


def _quoted(name: str) -> str:
    return f'"{name.replace(chr(34), 2 * chr(34))}"' if re.search('[",\n\r]', name) else name


def _file_of(image: Shaped[np.ndarray, "h w c"]) -> tuple[str, bytes]:
    """A suffix and the content of a file that holds exactly these pixels."""
    plain = np.ascontiguousarray(image[..., 0] if image.shape[-1] == 1 else image)
    buffer = io.BytesIO()
    if plain.dtype == np.uint8 and image.shape[-1] in (1, 3):
        Image.fromarray(plain).save(buffer, "PNG", compress_level=3)
        return ".png", buffer.getvalue()
    colours = image.shape[-1] == 3
    tifffile.imwrite(buffer, plain, photometric="rgb" if colours else "minisblack", compression="zlib", metadata=None)
    return ".tif", buffer.getvalue()
