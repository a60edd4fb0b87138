"""The example pictures: each panel of `previews/` cut into its tiles, and the legend of their colours."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tinyunet.data.readers import shown
from tinyunet.errors import CheckpointError
from tinyunet.evaluation.overlay import DIFFERENCE_COLORS, tints
from tinyunet.evaluation.panel import PANEL_GAP, PANEL_TILES
from tinyunet.evaluation.result import Evaluation
from tinyunet.runs.page.record import RunRecord
from tinyunet.runs.page.scores import focal_dice, focus
from tinyunet.runs.page.tables import score_text

_KINDS = ("best", "median", "worst")
_CAPTIONS = {"image": "Image", "truth": "Truth", "prediction": "Prediction", "difference": "Where they differ"}
_WIDE = 2  # times the height; two tiles of this shape share a row of the page, not four
_SMALL = 160  # pixels; a tile below this is shown with visible pixels rather than blurred


@dataclass(frozen=True)
class Tile:
    """One picture, ready for an `img`.

    Attributes:
        caption: What it shows.
        source: The PNG as a data URL.
        width: In pixels.
        height: In pixels.
    """

    caption: str
    source: str
    width: int
    height: int

    @property
    def small(self) -> bool:
        """Whether its pixels are large on the page and are to be seen as such."""
        return self.width < _SMALL

    @property
    def wide(self) -> bool:
        """Whether it needs more room than a quarter of the page's width, as the slices of a volume do."""
        return self.width > _WIDE * self.height


@dataclass(frozen=True)
class Example:
    """One image with its tiles.

    Attributes:
        title: Why it is shown: best, median, worst.
        name: The image's name.
        score: What it scored, in words; empty if that is unknown.
        tiles: Image, truth, prediction, difference; or the one picture, where it is no panel.
    """

    title: str
    name: str
    score: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Swatch:
    """One entry of the legend.

    Attributes:
        color: `#rrggbb`.
        text: What it means.
    """

    color: str
    text: str


def examples(record: RunRecord) -> tuple[Example, ...]:
    """The pictures of a run: the best first, then the median, the worst, and any others.

    Raises:
        CheckpointError: A file is no picture; the message names it.
    """
    order = {kind: i for i, kind in enumerate(_KINDS)}
    found = []
    for path in record.pictures:
        kind, _, name = path.stem.partition("_")
        if kind not in order:
            kind, name = "example", path.stem
        found.append((order.get(kind, len(order)), Example(kind, name, _score(record, name), _tiles(path))))
    return tuple(example for _, example in sorted(found, key=lambda item: item[0]))


def _score(record: RunRecord, name: str) -> str:
    evaluation = record.evaluation
    image = next((image for image in evaluation.images if image.name == name), None) if evaluation else None
    if evaluation is None or image is None:
        return ""
    what = "mean Dice" if focus(evaluation) is None else f"Dice of {evaluation.positive}"
    return f"{what} {score_text(focal_dice(evaluation, image))}"


def _tiles(path: Path) -> tuple[Tile, ...]:
    """A panel's tiles as pictures of their own, so that they find room beside or below each other on any screen."""
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            whole = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CheckpointError(f"{shown(path)} is no PNG picture: {error}. Remove it, or evaluate again.") from error
    count = len(PANEL_TILES)
    width = (whole.width - (count - 1) * PANEL_GAP) // count
    if width < 1 or count * width + (count - 1) * PANEL_GAP != whole.width:
        return (_tile(whole, "Picture"),)
    lefts = range(0, whole.width, width + PANEL_GAP)
    return tuple(
        _tile(whole.crop((left, 0, left + width, whole.height)), _CAPTIONS[name])
        for left, name in zip(lefts, PANEL_TILES, strict=True)
    )


def _tile(picture: Image.Image, caption: str) -> Tile:
    encoded = io.BytesIO()
    picture.save(encoded, "PNG", optimize=True)
    source = "data:image/png;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")
    return Tile(caption, source, picture.width, picture.height)


def class_legend(record: RunRecord) -> tuple[Swatch, ...]:
    """The colours of truth and prediction: all classes but the one that is left untinted."""
    if record.labelling is None or record.labelling.task == "instances":  # objects have no colours of their own
        return ()
    plain = background(record.evaluation)
    colors = tints(record.labelling.colors, background=plain)
    named = zip(colors, record.labelling.names, strict=True)
    return tuple(Swatch(color, name) for k, (color, name) in enumerate(named) if k != plain)


def difference_legend(record: RunRecord) -> tuple[Swatch, ...]:
    """The colours of the difference; what cannot occur in this run is left out."""
    classes: Sequence[object] = record.labelling.classes if record.labelling else ()
    ignores = record.labelling is not None and record.labelling.ignore is not None
    colors = DIFFERENCE_COLORS
    legend = [
        Swatch(colors.missed, "missed: true, but not predicted"),
        Swatch(colors.invented, "invented: predicted, but not true"),
        Swatch(colors.right, "right"),
    ]
    objects = record.labelling is not None and record.labelling.task == "instances"
    legend += [Swatch(colors.confused, "part of another object")] * objects
    legend += [Swatch(colors.confused, "one class taken for another")] * (len(classes) > 2)
    legend += [Swatch(colors.ignored, "takes no part")] * ignores
    return tuple(legend)


def background(evaluation: Evaluation | None) -> int:
    """The class that pictures leave untinted: the first, unless the first of two is the one that is looked for."""
    return 1 if evaluation is not None and focus(evaluation) == 0 else 0
