"""What a page shows of a prediction: pictures of one size, to be laid one over the other."""

import io
import json
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Integer, UInt8
from PIL import Image

from tinyunet.data.readers import read_image
from tinyunet.evaluation.display import to_display
from tinyunet.evaluation.overlay import object_colors, outline, tints
from tinyunet.runs.predict import Job, plain_class
from tinyunet.runs.run import Run


def view_files(run: Run, job: Job, written: Mapping[str, bytes], notes: Sequence[str]) -> dict[str, bytes]:
    """The pictures of one prediction.

    Args:
        run: The trained network.
        job: The upload and the files that its prediction became.
        written: Their bytes.
        notes: What deserves a look.

    Returns:
        `view.json`, which says what there is; `picture.png`, the image as a screen shows it; `tint.png`, the labels in
        their colours, transparent where nothing was found; `probability-0.png` and so on, grey; and the labels and the
        table as they were written.
    """
    image = run.channels.apply(read_image(job.image, axes=run.config.data.axes), where="The upload")
    scores = np.load(io.BytesIO(written[job.probabilities.name]))
    files = {name: data for name, data in written.items() if name.startswith(("labels", "objects"))}
    if run.finds_objects:
        labels_name = next(name for name in files if name.startswith("labels"))
        labels = read_image(job.labels.with_name(labels_name))[..., 0].astype(np.int32)
        count = int(labels.max())
        colors, plain = object_colors(count), 0
    else:
        labels, colors, plain = run.decide(scores), run.labelling.colors, plain_class(run)
        count = None
    shown = tints(colors, background=plain)
    about = {
        "height": image.shape[0],
        "width": image.shape[1],
        "probabilities": list(run.classes),
        "objects": count,
        "colors": None if run.finds_objects else list(shown),
        "plain": plain,
        "shares": None if run.finds_objects else _shares(run, labels),
        "notes": list(notes),
    }
    pictures = {f"probability-{k}.png": _grey(scores[..., k]) for k in range(scores.shape[-1])}
    return {
        "view.json": json.dumps(about).encode(),
        "picture.png": png(to_display(image)),
        "tint.png": png(tint(labels, shown, plain=plain)),
        **{name: png(picture) for name, picture in pictures.items()},
        **files,
    }


def tint(labels: Integer[np.ndarray, "h w"], colors: Sequence[str], *, plain: int) -> UInt8[np.ndarray, "h w 4"]:
    """Labels in their colours: borders in full, what they enclose partly transparent, what is plain not at all.

    Args:
        labels: Ids of classes or objects.
        colors: One `#rrggbb` for each.
        plain: The label that is left out.

    Example:
        >>> tint(np.array([[0, 1, 1]]), ["#000000", "#ff8000"], plain=0)[0].tolist()
        [[0, 0, 0, 0], [255, 128, 0, 255], [255, 128, 0, 160]]
    """
    palette = np.array([[*bytes.fromhex(color[1:]), 160] for color in colors], np.uint8)
    picture = palette[labels]
    picture[outline(labels), 3] = 255
    picture[labels == plain] = 0
    return picture


def png(picture: UInt8[np.ndarray, "h w *c"]) -> bytes:
    """A picture as PNG, compressed quickly."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG", compress_level=2)
    return content.getvalue()


def _grey(scores: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    return np.round(255 * np.clip(scores, 0, 1)).astype(np.uint8)


def _shares(run: Run, labels: Integer[np.ndarray, "h w"]) -> list[float]:
    """Which part of the pixels each class has."""
    counts = np.bincount(labels.ravel(), minlength=run.labelling.num_classes)
    return [round(float(count) / labels.size, 6) for count in counts]
