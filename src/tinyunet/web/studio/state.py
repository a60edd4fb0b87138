"""What the page is told: everything that it shows, but for the pictures."""

import dataclasses
from pathlib import Path
from typing import Any

from tinyunet.data.readers import shown
from tinyunet.web.studio.studio import Studio

ENOUGH = 0.02
"""An image of which so much has been painted is not suggested any more."""


def state_of(studio: Studio) -> dict[str, Any]:
    """The whole state, ready for JSON."""
    status = dataclasses.asdict(studio.training.status)
    revision = studio.revision  # before all that it speaks of: what changes meanwhile is told next
    if studio.masks.problem is not None:
        status["detail"] = studio.masks.problem
    images = []
    best: tuple[float, str] | None = None
    for entry in studio.folder.entries:
        if entry.stem not in studio.gallery:
            continue
        canvas, prediction = studio.canvas(entry), studio.training.shown(entry.stem)
        painted = canvas.painted / (entry.shape[0] * entry.shape[1])
        doubt = None if prediction is None else prediction.mean_doubt
        if doubt is not None and entry.learns and painted < ENOUGH:
            wanting = doubt * (1 - painted / ENOUGH), entry.id
            best = wanting if best is None else max(best, wanting)
        images.append(
            {
                "id": entry.id,
                "name": entry.name,
                "width": entry.shape[1],
                "height": entry.shape[0],
                "painted": painted,
                "labelRevision": canvas.revision,
                "predictionVersion": None if prediction is None else prediction.version,
                "predictionNumber": None if prediction is None else prediction.number,
                "doubt": doubt,
            }
        )
    colours = enumerate(studio.folder.labelling.classes)
    return {
        "folder": shown(Path(studio.folder.root.resolve().name)),
        "revision": revision,
        "classes": [{"id": k, "name": one.name, "color": one.color} for k, one in colours],
        "images": images,
        "suggestion": None if best is None else best[1],
        "training": status,
    }
