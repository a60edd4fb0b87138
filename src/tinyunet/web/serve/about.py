"""What a served network is, for programs and for the page."""

from typing import Any

from tinyunet import __version__
from tinyunet.runs.run import Run
from tinyunet.web.uploads import UploadLimits


def describe(run: Run, limits: UploadLimits) -> dict[str, Any]:
    """A network in plain values.

    Args:
        run: The trained network.
        limits: How large an upload may be.

    Returns:
        `name`; `task`; `dimensions`, of images 2; `classes` with the value and colour that labels have;
        `probabilities`, the names of their channels; `channels` of the images it takes; `network`, `seed` and
        `engine`; `limits`; and `results`, what can be asked for.
    """
    model = run.config.model
    results = ["labels", "probabilities", "overlay", "uncertainty", "all"]
    results += ["objects", "objects.json"] * run.finds_objects + ["view"] * (run.dimensions == 2)
    return {
        "name": run.path.name if run.path.is_dir() else run.path.stem,
        "tinyunet": __version__,
        "task": run.labelling.task,
        "dimensions": run.dimensions,
        "classes": [{"name": c.name, "value": c.value, "color": c.color} for c in run.labelling.classes],
        "ignore": run.labelling.ignore,
        "probabilities": list(run.classes),
        "channels": {
            "used": run.channels.used,
            "drop_alpha": run.channels.drop_alpha,
            "collapse_grey": run.channels.collapse_grey,
        },
        "network": {
            "features": model.features,
            "depth": model.depth,
            "networks": 1 + len(run.others),
            "normalise": run.config.data.normalise,
            "temperature": run.temperature,
        },
        "seed": run.config.seed,
        "engine": run.engine.words,
        "tta": bool(run.config.augment.flips or run.config.augment.quarter_turns),
        "results": results,
        "limits": {"max_bytes": limits.max_bytes, "max_pixels": limits.max_pixels},
    }
